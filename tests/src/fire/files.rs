//! What is left on disk, and in memory.

use super::{arena::Arena, ledger::Ledger};
use sqlx::Row as _;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The daemon of a lab needs about 60 MB, unoptimised.
const DAEMON_MEMORY_KB: u64 = 300_000;

/// Directories of what has been deleted: they go after the event, and not always at once.
pub(super) async fn deleted_but_there(arena: &Arena) -> Vec<String> {
    let deleted: Vec<String> = sqlx::query_scalar(
        "SELECT stream_id FROM log.events WHERE type IN ('TrainingDeleted', 'DatasetDeleted', 'ModelDeleted')",
    )
    .fetch_all(arena.lab.pool())
    .await
    .unwrap_or_default();
    let mut there = Vec::new();
    for id in deleted {
        for folder in ["runs", "datasets", "models"] {
            let path = arena.lab.state().join(folder).join(&id);
            if path.exists() {
                there.push(format!("{} is of what was deleted", path.display()));
            }
        }
    }
    there
}

/// No file that is only half there, none of what nobody knows, none missing of what the log speaks of.
///
/// `orphans`: whether a text may be there that its client has given up on without an answer, and under no key to ask again.
pub(super) async fn check(arena: &Arena, orphans: bool, ledger: &Ledger) {
    let mut paths = Vec::new();
    list(arena.lab.state(), &mut paths);
    for path in &paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_half = [".partial", ".tmp", ".new", ".part", ".staged"]
            .iter()
            .any(|end| name.ends_with(end))
            || name.starts_with(".heartbeat.")
            || name.starts_with("spec.json.")
            || name.starts_with(".spec");
        if is_half {
            ledger.violation("no file is left over", path.display().to_string());
        }
    }
    let known: BTreeSet<String> = sqlx::query_scalar("SELECT DISTINCT stream_id FROM log.events")
        .fetch_all(arena.lab.pool())
        .await
        .unwrap_or_default()
        .into_iter()
        .collect();
    for folder in ["runs", "datasets", "models"] {
        let folder = arena.lab.state().join(folder);
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_orphan = orphans && name.starts_with("ds_");
            if !known.contains(&name) && !is_orphan {
                ledger.violation(
                    "no file is left over",
                    format!("{}: the log knows no such id", entry.path().display()),
                );
            }
        }
    }
    let kept = sqlx::query(
        "SELECT training_id, storage_path FROM mistudio.checkpoints
         UNION ALL
         SELECT stream_id, payload #>> '{result,path}' FROM log.events e
          WHERE type IN ('TrainingCompleted', 'TrainingStopped') AND payload #>> '{result,path}' IS NOT NULL
            AND NOT EXISTS (SELECT FROM log.events d WHERE d.stream_id = e.stream_id AND d.type = 'TrainingDeleted')",
    )
    .fetch_all(arena.lab.pool())
    .await
    .unwrap_or_default();
    for row in kept {
        let (id, path): (String, String) = (row.get(0), row.get(1));
        if !Path::new(&path).is_dir() {
            ledger.violation("what the log speaks of is there", format!("{id}: {path}"));
        }
    }
    check_checkpoints(arena, ledger).await;
}

/// Every checkpoint on disk is one that the log knows.
async fn check_checkpoints(arena: &Arena, ledger: &Ledger) {
    let known: BTreeSet<String> = sqlx::query_scalar(
        "SELECT payload ->> 'storage_path' FROM log.events WHERE type = 'CheckpointSaved'",
    )
    .fetch_all(arena.lab.pool())
    .await
    .unwrap_or_default()
    .into_iter()
    .collect();
    let runs = arena.lab.state().join("runs");
    for run in fs::read_dir(runs).into_iter().flatten().flatten() {
        let checkpoints = run.path().join("checkpoints");
        for checkpoint in fs::read_dir(checkpoints).into_iter().flatten().flatten() {
            let path = checkpoint.path();
            if !known.contains(&*path.to_string_lossy()) {
                ledger.violation(
                    "no file is left over",
                    format!(
                        "{}: a checkpoint that the log does not know",
                        path.display()
                    ),
                );
            }
        }
    }
}

fn list(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(&entry.path(), paths);
        }
        paths.push(entry.path());
    }
}

/// The daemon's memory in kB, which is bounded.
pub(super) fn daemon_memory(arena: &Arena, ledger: &Ledger) -> u64 {
    let Some(pid) = arena.keeper.pid() else {
        return 0;
    };
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let memory = status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or_default();
    if memory > DAEMON_MEMORY_KB {
        ledger.violation(
            "the daemon's memory is bounded",
            format!("it has {memory} kB"),
        );
    }
    memory
}

/// What a log file says after so many bytes, and how long it is now.
pub(super) fn said_since(path: &Path, bytes: u64) -> (String, u64) {
    let text = fs::read(path).unwrap_or_default();
    let begin = usize::try_from(bytes).unwrap_or_default().min(text.len());
    let said = String::from_utf8_lossy(&text[begin..]).into_owned();
    (said, text.len() as u64)
}
