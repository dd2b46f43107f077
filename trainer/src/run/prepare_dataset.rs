//! Fetching, reading and tokenising a dataset.

use super::failure::RunError;
use super::watched::watched;
use super::{Run, durable};
use crate::dataset::{self, DatasetError, Statistics, ingest, reuse, tokenize};
use crate::hub::{self, Hub};
use crate::tokenizer::Tokenizer;
use std::path::{Path, PathBuf};
use trainmaster_domain::run::journal::{DatasetTokenized, Record};
use trainmaster_domain::run::spec::PrepareDataset;

/// Fetches the files where they are to be fetched, reads all text, then tokenises it or finds that it has been tokenised before;
/// each is announced.
///
/// # Errors
/// [`RunError`]: the run ends without a result.
pub(super) fn prepare_dataset(run: &mut Run, prepare: &PrepareDataset) -> Result<(), RunError> {
    let source = Path::new(&prepare.source_path);
    if let Some(from) = &prepare.download {
        let fetched = watched(run, "downloading", |watch| {
            hub::fetch_dataset(&Hub::from_environment()?, from, source, watch)
        })?;
        run.still_ours()?;
        run.say(Record::Downloaded(fetched), true)?;
    }
    let ingested = watched(run, "ingesting", |watch| {
        ingest(source, &prepare.text_column, watch)
    })?;
    let content = ingested.content_sha256.clone().unwrap_or_default();
    if let Some(before) = &prepare.content_sha256
        && *before != content
    {
        return Err(RunError::ContentChanged {
            path: source.to_owned(),
        });
    }
    run.say(Record::DatasetIngested(ingested), true)?;

    let tokenizer = Tokenizer::open(Path::new(&prepare.tokenizer_path))?;
    let key = dataset::key(&content, &tokenizer, prepare.context_length);
    let output = Path::new(&prepare.output_path).join(&key);
    let found = match tokenized_before(run, prepare, &output, &key)? {
        Some(found) => found,
        None => tokenize_anew(run, prepare, &tokenizer, &output, &content)?,
    };
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    run.say(
        Record::DatasetTokenized(DatasetTokenized {
            tokenized_path: output.to_string_lossy().into_owned(),
            num_tokens: count(found.num_tokens),
            vocab_size: count(found.vocab_size),
            avg_sequence_length: found.avg_sequence_length,
            num_sequences: count(found.num_sequences),
            sha256: found.sha256,
        }),
        true,
    )
}

fn tokenize_anew(
    run: &mut Run,
    prepare: &PrepareDataset,
    tokenizer: &Tokenizer,
    output: &Path,
    content: &str,
) -> Result<Statistics, RunError> {
    let source = Path::new(&prepare.source_path);
    let threads = run.spec.resources.cpu_threads.max(1);
    let mut statistics: Option<Statistics> = None;
    durable::write_directory(output, |directory| {
        let found = watched(run, "tokenizing", |watch| {
            tokenize(
                source,
                &prepare.text_column,
                tokenizer,
                prepare.context_length,
                threads,
                directory,
                watch,
            )
        })?;
        if found.content_sha256 != content {
            return Err(RunError::from(DatasetError::Changed {
                path: source.to_owned(),
            }));
        }
        statistics = Some(found);
        run.still_ours()
    })?;
    statistics.ok_or_else(|| RunError::Internal {
        what: "the dataset was tokenised without statistics".into(),
    })
}

/// The same text, tokenised by the same tokenizer into sequences of the same length: by an earlier attempt, for another model, or of
/// another dataset.
fn tokenized_before(
    run: &mut Run,
    prepare: &PrepareDataset,
    output: &Path,
    key: &str,
) -> Result<Option<Statistics>, RunError> {
    run.say_progress("tokenizing", 0.0)?;
    if let Ok(own) = dataset::TokenizedDataset::open(output)
        && own.verify().is_ok()
    {
        return Ok(Some(own.statistics().clone()));
    }
    for other in others(prepare, key) {
        if other == output || !other.is_dir() {
            continue;
        }
        run.life.progress();
        let mut statistics = None;
        let made = durable::write_directory(output, |directory| {
            statistics = reuse(&other, directory)?;
            run.still_ours()?;
            match &statistics {
                Some(_) => Ok(()),
                None => Err(RunError::Internal {
                    what: format!("{} is not whole", other.display()),
                }),
            }
        });
        match (made, statistics) {
            (Ok(_), Some(found)) => return Ok(Some(found)),
            (Err(error), Some(_)) => return Err(error),
            (_, None) => {}
        }
    }
    Ok(None)
}

/// Where other datasets would keep it, in the order of their names.
fn others(prepare: &PrepareDataset, key: &str) -> Vec<PathBuf> {
    let Some(datasets) = &prepare.datasets_path else {
        return vec![];
    };
    let Ok(entries) = std::fs::read_dir(datasets) else {
        return vec![];
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path().join("tokenized").join(key)))
        .collect();
    found.sort();
    found
}
