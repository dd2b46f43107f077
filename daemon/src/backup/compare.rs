//! What a state directory has of a future that the log does not know, once the log was taken back.
//!
//! Leases begin again where the log was taken back to, so what the leases that it forgot left behind would be taken for what new ones
//! do: their lines in a journal, their checkpoints, their results. Such files are moved into `set-aside/` in the state directory, with
//! what belongs to streams that the log has never heard of; nothing is removed. What a lease that the log does know has done
//! since is read from its journal as ever: so a run that outlives a lost database loses nothing.

use super::BackupError;
use crate::{
    dispatch::work::known_lease,
    log::{Log, LogError},
    runner::ProcessIdentity,
    state_directory::StateDirectory,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};
use tracing::{info, warn};
use trainmaster_domain::{Category, Lease, StreamId, run::journal::JournalRecord};

/// Notes the restore after which the state directory was compared last.
const NOTE: &str = "compared-after-restore";
/// Where things go, by the restore's id.
const ASIDE: &str = "set-aside";

/// Folders of streams, and whose they can be.
const FOLDERS: [(&str, &[Category]); 3] = [
    (
        "runs",
        &[
            Category::Training,
            Category::Job,
            Category::Dataset,
            Category::Model,
        ],
    ),
    ("datasets", &[Category::Dataset]),
    ("models", &[Category::Model]),
];

/// What was put aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Where.
    pub aside: PathBuf,
    /// Directories of streams that the log does not know.
    pub unknown: usize,
    /// Runs whose later leases the log does not know.
    pub ahead: usize,
}

/// Compares the state directory with the log, if the log was restored since that was last done. To be called before anything is dispatched
/// or cleaned up; the caller holds the state directory's lock. None: it was not.
///
/// # Errors
/// The log cannot be read, or a file cannot be moved; then nothing is lost, and the next time goes on.
pub async fn put_aside(log: &Log, state: &StateDirectory) -> Result<Option<Compared>, BackupError> {
    let newest: Option<(String, String)> = sqlx::query_as(
        "SELECT id, restored_to FROM recovery.restores ORDER BY restored_at DESC, id DESC LIMIT 1",
    )
    .fetch_optional(log.pool())
    .await
    .map_err(BackupError::database("look for restores"))?;
    let Some((id, restored_to)) = newest else {
        return Ok(None);
    };
    let note = state.path().join(NOTE);
    if fs::read_to_string(&note).is_ok_and(|noted| noted.trim() == id) {
        return Ok(None);
    }
    info!(
        restore = id,
        position = restored_to,
        "the log was restored; files are compared with it"
    );
    let mut compared = Compared {
        aside: state.path().join(ASIDE).join(&id),
        ..Compared::default()
    };
    for (folder, categories) in FOLDERS {
        for name in names(&state.path().join(folder))? {
            let directory = state.path().join(folder).join(&name);
            let aside = compared.aside.join(folder).join(&name);
            match lease(log, categories, &name).await? {
                None => {
                    end_trainers(&directory, None);
                    put(&directory, &aside)?;
                    compared.unknown += 1;
                }
                Some(lease) if folder == "runs" && take_back(&directory, &aside, lease)? => {
                    compared.ahead += 1;
                }
                Some(_) => {}
            }
        }
    }
    if compared.unknown + compared.ahead > 0 {
        warn!(
            streams = compared.unknown,
            runs = compared.ahead,
            aside = %compared.aside.display(),
            "what belongs to a future that the log does not know was put aside; remove it when it is not missed"
        );
    }
    super::manifest::write_private(&note, format!("{id}\n").as_bytes())?;
    Ok(Some(compared))
}

/// The newest lease of a stream; none when the log does not know the stream.
async fn lease(log: &Log, categories: &[Category], id: &str) -> Result<Option<Lease>, BackupError> {
    for category in categories {
        let found = known_lease(log, &StreamId::new(*category, id)).await;
        if let Some(lease) = found.map_err(unreadable)? {
            return Ok(Some(lease));
        }
    }
    Ok(None)
}

fn unreadable(error: LogError) -> BackupError {
    BackupError::Database {
        action: "read the log",
        source: sqlx::Error::Configuration(Box::new(error)),
    }
}

/// Puts aside what leases after `known` left of a run. False: nothing.
fn take_back(run: &Path, aside: &Path, known: Lease) -> Result<bool, BackupError> {
    let journal = run.join("journal.jsonl");
    let checkpoints = run.join("checkpoints");
    let later = |name: &str| {
        let lease = name
            .rsplit_once('-')
            .and_then(|(_, lease)| lease.parse().ok());
        lease.is_some_and(|lease: u64| lease > known.0)
    };
    let mut later_checkpoints = names(&checkpoints)?;
    later_checkpoints.retain(|name| later(name));
    let is_ahead = reaches_beyond(&journal, known).map_err(BackupError::io("read", &journal))?;
    if !is_ahead && later_checkpoints.is_empty() {
        return Ok(false);
    }
    end_trainers(run, Some(known));
    for name in later_checkpoints {
        put(
            &checkpoints.join(&name),
            &aside.join("checkpoints").join(&name),
        )?;
    }
    if is_ahead {
        // What a run makes at its end is that of the last lease. The journal is last: it says that there is something to do.
        for name in names(run)? {
            if !["checkpoints", "journal.jsonl", "spec.json", "trainer.log"].contains(&&*name) {
                put(&run.join(&name), &aside.join(&name))?;
            }
        }
        let kept = run.join(".journal.jsonl.kept");
        keep_lines(&journal, &kept, known).map_err(BackupError::io("write", &kept))?;
        put_copy(&journal, &aside.join("journal.jsonl"))?;
        fs::rename(&kept, &journal).map_err(BackupError::io("replace", &journal))?;
    }
    Ok(true)
}

fn reaches_beyond(journal: &Path, known: Lease) -> io::Result<bool> {
    let mut is_ahead = false;
    lines(journal, |_, lease| is_ahead |= lease > Some(known))?;
    Ok(is_ahead)
}

/// The lines of leases that are known, up to the first that is not.
fn keep_lines(journal: &Path, kept: &Path, known: Lease) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(kept)?);
    let (mut beyond, mut written) = (false, Ok(()));
    lines(journal, |line, lease| {
        beyond |= lease > Some(known);
        if !beyond && written.is_ok() {
            written = out.write_all(line);
        }
    })?;
    written?;
    out.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()
}

/// Each line of a journal with its lease; a torn one has none. No journal has no lines.
fn lines(journal: &Path, mut each: impl FnMut(&[u8], Option<Lease>)) -> io::Result<()> {
    let mut reader = match File::open(journal) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => BufReader::new(file?),
    };
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let record = serde_json::from_slice::<JournalRecord>(&line).ok();
        each(&line, record.map(|record| record.lease));
        line.clear();
    }
    Ok(())
}

/// Ends the trainers that work on a run under leases after `known`, or at all.
fn end_trainers(run: &Path, known: Option<Lease>) {
    for (process, lease) in ProcessIdentity::all_of(run) {
        if known.is_none_or(|known| lease > known)
            && let Some(pid) = Pid::from_raw(process.pid)
        {
            warn!(pid = process.pid, %lease, run = %run.display(), "ending a run that the log does not know");
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn put(from: &Path, to: &Path) -> Result<(), BackupError> {
    make_folder_of(to)?;
    fs::rename(from, to).map_err(BackupError::io("put aside", from))
}

fn put_copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    make_folder_of(to)?;
    super::artifacts::copy_private(from, to)
}

fn make_folder_of(path: &Path) -> Result<(), BackupError> {
    let folder = path.parent().unwrap_or(path);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(BackupError::io("make the directory", folder))
}

/// The names in a directory that are not hidden; none when it is not there.
fn names(directory: &Path) -> Result<Vec<String>, BackupError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries.map_err(BackupError::io("list", directory))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(BackupError::io("list", directory))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.retain(|name| !name.starts_with('.'));
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(lease: u64, seq: u64) -> String {
        format!(
            "{{\"lease\":{lease},\"seq\":{seq},\"written_at\":\"2026-01-01T00:00:00Z\",\"record\":\"progress\",\"stage\":\"loading\",\"percent\":1.0}}\n"
        )
    }

    #[test]
    fn what_a_forgotten_lease_left_is_put_aside_and_what_a_known_one_did_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (run, aside) = (folder.path().join("tr_1"), folder.path().join("aside/tr_1"));
        for directory in ["checkpoints/20-1", "checkpoints/40-2", "result"] {
            fs::create_dir_all(run.join(directory)).unwrap();
        }
        let known = line(1, 1) + &line(1, 2);
        let journal = known.clone() + &line(2, 1) + "torn";
        fs::write(run.join("journal.jsonl"), &journal).unwrap();
        fs::write(run.join("spec.json"), "{}").unwrap();
        assert!(take_back(&run, &aside, Lease(1)).unwrap());
        assert_eq!(
            fs::read_to_string(run.join("journal.jsonl")).unwrap(),
            known
        );
        assert_eq!(
            fs::read_to_string(aside.join("journal.jsonl")).unwrap(),
            journal
        );
        assert!(run.join("checkpoints/20-1").is_dir() && run.join("spec.json").is_file());
        assert!(aside.join("checkpoints/40-2").is_dir() && aside.join("result").is_dir());
        assert!(!run.join("checkpoints/40-2").exists() && !run.join("result").exists());
        assert!(!take_back(&run, &aside, Lease(1)).unwrap());
        assert!(!take_back(&run, &aside, Lease(2)).unwrap());
    }
}
