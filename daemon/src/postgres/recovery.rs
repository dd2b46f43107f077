//! Archive recovery: what a copy of a cluster is told before it starts, and forgets afterwards.

use super::{PostgresError, configuration};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

/// How far to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// As far as the write-ahead log reaches.
    End,
    /// To the last transaction committed by then.
    Time(String),
    /// To the commit of a transaction, by its 32-bit number.
    Transaction(u32),
}

/// Where the write-ahead log is, and how far to go.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    /// The archive.
    pub archive: PathBuf,
    /// The cluster that is being replaced: it may have what was not archived yet.
    pub replaced: PathBuf,
    /// How far.
    pub target: Target,
    /// Along which of the archive's histories: `latest`, or a number.
    pub timeline: String,
}

/// What the cluster said before; put back by [`forget`].
const BEFORE: &str = "postgresql.auto.conf.before-recovery";
const SETTINGS: &str = "postgresql.auto.conf";

/// Has the copy of a cluster recover when it starts. What its settings say already stays.
pub(crate) fn ask(cluster: &Path, recovery: &Recovery) -> Result<(), PostgresError> {
    let mut text = String::from("\n# Recovery, until it is done\n");
    let mut set = |name, value: &str| text.push_str(&configuration::assignment(name, value));
    set(
        "restore_command",
        &configuration::restore_command(&recovery.archive, &recovery.replaced),
    );
    set("recovery_target_timeline", &recovery.timeline);
    // Until it is done, it is not ready for anybody.
    set("hot_standby", "off");
    match &recovery.target {
        Target::End => {}
        Target::Time(time) => set("recovery_target_time", time),
        Target::Transaction(number) => set("recovery_target_xid", &number.to_string()),
    }
    if recovery.target != Target::End {
        set("recovery_target_action", "promote");
    }
    let path = cluster.join(SETTINGS);
    fs::copy(&path, cluster.join(BEFORE))
        .and_then(|_| OpenOptions::new().append(true).open(&path))
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(PostgresError::io("write", &path))?;
    let signal = cluster.join("recovery.signal");
    fs::write(&signal, "").map_err(PostgresError::io("write", &signal))
}

/// Puts the settings back as they were.
pub(crate) fn forget(cluster: &Path) -> Result<(), PostgresError> {
    let path = cluster.join(SETTINGS);
    match fs::rename(cluster.join(BEFORE), &path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(PostgresError::io("put back", path)(error))
        }
        _ => Ok(()),
    }
}
