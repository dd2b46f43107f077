//! Are the segments of the log that have left the database where they should be?

use super::Report;
use crate::{
    archive::{SegmentState, segments},
    config::Settings,
    database::Database,
};
use std::{collections::BTreeSet, fs, path::Path};

pub(super) async fn examine(report: &mut Report, settings: &Settings, database: &Database) {
    // Before the first start there is nothing to look at.
    let Ok(segments) = segments(database.owner_pool()).await else {
        return;
    };
    let directory = settings.archive_directory();
    let mut named = BTreeSet::new();
    let mut wrong = false;
    let mut bytes = 0;
    for segment in segments {
        if segment.state != SegmentState::Archived {
            continue;
        }
        let (Some(file), Some(expected)) = (segment.file, segment.bytes) else {
            continue;
        };
        let path = directory.join(&file);
        let found = fs::metadata(&path).map(|metadata| metadata.len());
        if !matches!(found, Ok(found) if found == expected.unsigned_abs()) {
            wrong = true;
            let what = match found {
                Ok(found) => format!("has {found} bytes instead of {expected}"),
                Err(error) => format!("cannot be read: {error}"),
            };
            report.fail(
                "archive",
                format!(
                    "{}, which holds segment {} of the log, {what}",
                    path.display(),
                    segment.number
                ),
                "bring it back from a backup, or set archive.directory to where it is",
            );
        }
        bytes += expected;
        named.insert(file);
    }
    let strays = strays(&directory, &named);
    if strays > 0 {
        report.warning(
            "archive",
            format!(
                "{strays} file(s) in {} belong to no segment that the database names",
                directory.display()
            ),
            "the database was restored to an earlier time, perhaps: keep them until that is certain",
        );
    }
    if !wrong && !named.is_empty() {
        report.ok(
            "archive",
            format!(
                "{} segment(s) of the log, {bytes} bytes, in {} (trainmaster log verify reads them)",
                named.len(),
                directory.display()
            ),
        );
    }
}

/// Segment files that nobody knows.
fn strays(directory: &Path, named: &BTreeSet<String>) -> usize {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".events.zst") && !named.contains(name))
        .count()
}
