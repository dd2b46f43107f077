//! What a file is, by its name.

use std::path::Path;

/// For people.
pub(super) const ENDINGS: &str = ".txt, .jsonl, .jsonl.gz, .csv, .parquet or .arrow";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Jsonl,
    JsonlGz,
    Csv,
    Parquet,
    Arrow,
}

/// None for a file that is not read.
pub(super) fn kind_of(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    [
        (".txt", Kind::Text),
        (".jsonl", Kind::Jsonl),
        (".jsonl.gz", Kind::JsonlGz),
        (".csv", Kind::Csv),
        (".parquet", Kind::Parquet),
        (".arrow", Kind::Arrow),
    ]
    .into_iter()
    .find(|(ending, _)| name.len() > ending.len() && name.ends_with(ending))
    .map(|(_, kind)| kind)
}
