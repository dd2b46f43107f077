//! Restoring the embedded Postgres: a cluster beside the live one, made from the backup, and swapped in when it is proved.

use super::{Proof, Restore};
use crate::{
    backup::{
        BackupError, Kind, Progress, Target,
        artifacts::Returned,
        logical::DUMP,
        own_server::{make_roles, pg_restore},
        physical::BASE,
        programs::Programs,
        store::{free_bytes, size_of},
    },
    config::Settings,
    database::Database,
    postgres::{
        Account, DATABASE, Embedded, PostgresError, Stop, archive_of, end_left,
        recovery::{self, Recovery},
        swap,
    },
};
use chrono::Utc;
use std::{
    fs,
    os::unix::fs::{DirBuilderExt, chown},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// What clusters that are being restored are called; the id of the restore follows.
const NAME: &str = "postgres-restore-";
/// Replaying weeks of write-ahead log takes a while.
const RECOVERY_LIMIT: Duration = Duration::from_secs(24 * 3600);
const MARGIN_BYTES: u64 = 64 << 20;

/// A cluster that is being restored. It goes when it is not put in place.
struct Beside {
    directory: PathBuf,
    is_proved: bool,
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.is_proved {
            let _ = fs::remove_dir_all(&self.directory);
            let _ = fs::remove_dir_all(self.directory.with_extension("initdb"));
        }
    }
}

/// Restores, and says what the live cluster is called now.
pub(super) async fn restore(
    restore: &Restore,
    backup: &Path,
    progress: &Progress,
) -> Result<(Proof, Option<String>, Returned), BackupError> {
    let (state, settings) = (&restore.state, &restore.settings);
    let limit = settings.postgres.stop_timeout_seconds.duration();
    remove_left(state.path(), limit).await?;
    if !restore.rehearsal {
        end_left(&state.postgres(), limit).await?;
    }
    let name = format!(
        "{NAME}{}",
        ulid::Ulid::generate().to_string().to_lowercase()
    );
    let mut beside = Beside {
        directory: state.path().join(&name),
        is_proved: false,
    };
    let embedded = match restore.manifest.kind {
        Kind::Logical => {
            Embedded::start_beside(
                beside.directory.clone(),
                state,
                &settings.postgres,
                settings.postgres.start_timeout_seconds.duration(),
            )
            .await?
        }
        Kind::Physical => recover(restore, &backup.join(BASE), &beside.directory, progress).await?,
    };
    let proved = fill_and_prove(restore, &embedded, backup, progress).await;
    let stopped = embedded.stop(Stop::Fast, &CancellationToken::new()).await;
    let proof = proved?;
    stopped?;
    if restore.rehearsal {
        return Ok((proof, None, Returned::default()));
    }
    let aside = format!(
        "postgres.before-restore-{}",
        Utc::now().format("%Y%m%dT%H%M%SZ")
    );
    let had_one = state.postgres().exists();
    let files = restore.put_files_back(backup, progress)?;
    progress.begin("putting it in place");
    beside.is_proved = true;
    swap::swap(state, &name, &aside)?;
    let aside = had_one.then(|| state.path().join(aside).to_string_lossy().into_owned());
    Ok((proof, aside, files))
}

async fn fill_and_prove(
    restore: &Restore,
    embedded: &Embedded,
    backup: &Path,
    progress: &Progress,
) -> Result<Proof, BackupError> {
    let settings = &restore.settings;
    let database = Database::connect_with(embedded.options(), &settings.database).await?;
    let proved = async {
        if restore.manifest.kind == Kind::Logical {
            make_roles(database.owner_pool(), &restore.manifest.roles).await?;
            let programs = Programs::find(settings, restore.manifest.server_major)?;
            pg_restore(
                settings,
                &programs,
                &embedded.options(),
                DATABASE,
                &backup.join(DUMP),
                progress,
            )
            .await?;
        }
        restore.prove(&database, progress).await
    }
    .await;
    database.close().await;
    proved
}

/// Copies the backup's cluster and lets it recover.
async fn recover(
    restore: &Restore,
    base: &Path,
    to: &Path,
    progress: &Progress,
) -> Result<Embedded, BackupError> {
    let settings: &Settings = &restore.settings;
    let account = Account::of_server(settings.postgres.user.as_deref())?;
    let size = size_of(base);
    if let Some(free) = free_bytes(restore.state.path())
        && free < size.saturating_add(MARGIN_BYTES)
    {
        return Err(BackupError::DiskFull {
            path: restore.state.path().to_owned(),
            detail: format!(
                " for a copy of the cluster: {} MiB are free, {} are needed",
                free >> 20,
                (size + MARGIN_BYTES) >> 20
            ),
        });
    }
    let mut copied = 0;
    copy_tree(base, to, &account, &mut |bytes| {
        copied += bytes;
        progress.at("copying the cluster", Some(copied), Some(size));
    })?;
    if let (Some(archive), Some(copy)) =
        (&settings.postgres.wal_archive, &restore.manifest.physical)
    {
        let target = match restore.target {
            None => recovery::Target::End,
            Some(Target::Time(time)) => {
                recovery::Target::Time(time.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string())
            }
            Some(Target::Position(position)) => {
                recovery::Target::Transaction(transaction(restore, position.transaction)?)
            }
        };
        recovery::ask(
            to,
            &Recovery {
                archive: archive_of(archive, &copy.system_identifier),
                replaced: restore.state.postgres(),
                target,
                timeline: restore.timeline.clone(),
            },
        )?;
        hand_over(to, &account)?;
    }
    progress.begin("replaying the write-ahead log");
    let started = Embedded::start_beside(
        to.to_owned(),
        &restore.state,
        &settings.postgres,
        RECOVERY_LIMIT,
    )
    .await;
    let embedded = started.map_err(|error| match (&error, restore.target) {
        (PostgresError::NotStarted { log, .. }, Some(target))
            if log.contains("before configured recovery target") =>
        {
            BackupError::Wal {
                what: format!("it ends before {target}; leave --to out to go as far as it leads"),
            }
        }
        _ => error.into(),
    })?;
    recovery::forget(to)?;
    Ok(embedded)
}

/// The cluster's own number of the transaction that appended an event.
fn transaction(restore: &Restore, of_position: u64) -> Result<u32, BackupError> {
    let base = restore.manifest.head.transaction_base.unsigned_abs();
    let own = of_position.checked_sub(base);
    // Beyond this, the base was raised since the backup: what it was is in no backup.
    let own = own.filter(|own| *own < 1 << 41);
    match own {
        // Recovery compares the lower half.
        Some(own) => Ok((own & u64::from(u32::MAX)) as u32),
        None => Err(BackupError::Refused(format!(
            "which transaction appended the event is not known from backup {}: give the time of the event instead",
            restore.manifest.id
        ))),
    }
}

/// Removes what restores that were killed left, and stops their servers.
async fn remove_left(state: &Path, limit: Duration) -> Result<(), BackupError> {
    let entries = fs::read_dir(state).map_err(BackupError::io("list", state))?;
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(NAME) {
            let path = entry.path();
            end_left(&path, limit).await?;
            fs::remove_dir_all(&path).map_err(BackupError::io("remove", path))?;
        }
    }
    Ok(())
}

/// Copies a directory for the server's user. The file system may share the content of files.
fn copy_tree(
    from: &Path,
    to: &Path,
    account: &Account,
    copied: &mut impl FnMut(u64),
) -> Result<(), BackupError> {
    fs::DirBuilder::new()
        .mode(0o700)
        .create(to)
        .map_err(BackupError::io("make the directory", to))?;
    let give = |path: &Path| match account.other {
        true => chown(path, Some(account.uid), Some(account.gid)),
        false => Ok(()),
    };
    give(to).map_err(BackupError::io("hand over", to))?;
    for entry in fs::read_dir(from).map_err(BackupError::io("list", from))? {
        let entry = entry.map_err(BackupError::io("list", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry
            .file_type()
            .map_err(BackupError::io("look at", &source))?;
        if kind.is_dir() {
            copy_tree(&source, &target, account, copied)?;
        } else {
            let bytes = fs::copy(&source, &target)
                .and_then(|bytes| give(&target).map(|()| bytes))
                .map_err(BackupError::io("copy", &source))?;
            copied(bytes);
        }
    }
    Ok(())
}

/// Gives what was written into the copy to the server's user.
fn hand_over(cluster: &Path, account: &Account) -> Result<(), BackupError> {
    if !account.other {
        return Ok(());
    }
    for entry in fs::read_dir(cluster)
        .map_err(BackupError::io("list", cluster))?
        .flatten()
    {
        let path = entry.path();
        chown(&path, Some(account.uid), Some(account.gid))
            .map_err(BackupError::io("hand over", &path))?;
    }
    Ok(())
}
