//! The files that tell the server how to be: written at each start, so that an upgraded daemon brings its own.

use super::{Account, USER};
use std::{
    fmt::Write,
    path::{Path, PathBuf},
    time::Duration,
};
use trainmaster_projections::ReadModel;

/// PostgreSQL's settings for an edge device.
const EDGE: &str = include_str!("../../../ops/postgresql/edge.conf");

/// Read by postgresql.conf, which stays as initdb wrote it but for the line that includes this.
pub(super) const FILE: &str = "trainmaster.conf";

/// The line at the end of postgresql.conf.
pub(super) const INCLUDE: &str = "\ninclude 'trainmaster.conf'\n";

/// What becomes of the server's write-ahead log when it is not needed for crash recovery any more.
#[derive(Clone, Debug)]
pub(super) enum Archive {
    /// It is used again.
    None,
    /// It is copied into a directory, at least so often while something is written.
    Into(PathBuf, Duration),
    /// It stays where it is, for a later start that copies it: the cluster may yet be thrown away.
    Held,
}

/// `trainmaster.conf`.
pub(super) fn settings(
    socket_directory: &Path,
    has_statement_statistics: bool,
    extra: Option<&Path>,
    archive: &Archive,
) -> String {
    let mut out = String::from(
        "# Written by trainmaster at each start. Settings of your own: postgres.extra_settings.\n\n",
    );
    out.push_str(EDGE);
    let _ = write!(
        out,
        "
# Reached through a socket in a private directory and by nothing else
listen_addresses = ''
unix_socket_directories = {}
unix_socket_permissions = 0700
port = 5432
password_encryption = 'scram-sha-256'
cluster_name = 'trainmaster'

# A week of logs, a file a day
logging_collector = on
log_directory = 'log'
log_filename = 'postgresql-%a.log'
log_file_mode = 0600
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
log_timezone = 'UTC'
timezone = 'UTC'
lc_messages = 'C'
",
        quoted(socket_directory)
    );
    if has_statement_statistics {
        out.push_str("\nshared_preload_libraries = 'pg_stat_statements'\n");
    }
    if let Some(path) = extra {
        let _ = write!(out, "\ninclude {}\n", quoted(path));
    }
    // Last: a backup that cannot be gone back to for somebody's setting would be found out too late.
    match archive {
        Archive::None => {}
        Archive::Into(directory, interval) => {
            let _ = write!(
                out,
                "\n# The write-ahead log is kept: postgres.wal_archive\nwal_level = replica\narchive_mode = on\narchive_timeout = {}\n\
                 archive_command = {}\n",
                interval.as_secs().max(1),
                quoted_text(&archive_command(directory)),
            );
        }
        Archive::Held => out.push_str(
            "\n# Being restored: the write-ahead log waits here\nwal_level = replica\narchive_mode = on\narchive_command = ''\n",
        ),
    }
    out
}

/// Copies a segment beside its place, compressed and synced, and moves it there. One that is there already must be the same: a crash between
/// the move and the server's note of it has it copied again.
fn archive_command(directory: &Path) -> String {
    let to = for_shell(directory);
    format!(
        "umask 077; d={to}; if test -f \"$d/%f.gz\"; then gzip -dc \"$d/%f.gz\" | cmp -s - \"%p\"; else gzip -1 -c \"%p\" > \"$d/.%f.new\" \
         && sync \"$d/.%f.new\" && mv \"$d/.%f.new\" \"$d/%f.gz\" && sync \"$d\"; fi"
    )
}

/// The command that fetches a segment: from the archive, else from the cluster that is being replaced, which may have what was not copied yet.
pub(super) fn restore_command(archive: &Path, replaced: &Path) -> String {
    let archive = for_shell(archive);
    let replaced = for_shell(&replaced.join("pg_wal"));
    format!(
        "a={archive}; r={replaced}; if test -f \"$a/%f.gz\"; then gzip -dc \"$a/%f.gz\" > \"%p\"; else cp \"$r/%f\" \"%p\"; fi"
    )
}

/// Lines for a cluster's postgresql.auto.conf.
pub(super) fn assignment(name: &str, value: &str) -> String {
    format!("{name} = {}\n", quoted_text(value))
}

/// A word of a command line in which the server replaces %f and the like.
fn for_shell(path: &Path) -> String {
    let text = path
        .to_string_lossy()
        .replace('%', "%%")
        .replace('\'', r"'\''");
    format!("'{text}'")
}

/// `pg_hba.conf`: the daemon's user and the server's, known by the kernel, on the socket; a password should TCP be switched on.
pub(super) fn access() -> &'static str {
    "# Written by trainmaster at each start.\n\
     local all all peer map=trainmaster\n\
     local replication all peer map=trainmaster\n\
     host all all 127.0.0.1/32 scram-sha-256\n\
     host all all ::1/128 scram-sha-256\n"
}

/// `pg_ident.conf`: who may be whom on the socket.
pub(super) fn identities(server: &Account, own_name: Option<&str>) -> String {
    let mut out = String::from("# Written by trainmaster at each start.\n");
    let mut names = vec![server.name.as_str()];
    names.extend(own_name.filter(|name| *name != server.name));
    for name in names {
        for role in std::iter::once(USER).chain(ReadModel::ALL.map(ReadModel::name)) {
            let _ = writeln!(out, "trainmaster \"{name}\" \"{role}\"");
        }
    }
    out
}

/// A value of a PostgreSQL configuration file.
fn quoted(path: &Path) -> String {
    quoted_text(&path.to_string_lossy())
}

fn quoted_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// As the server does: %p and %f are replaced, %% is a %, and a shell runs the rest.
    fn run(command: &str, path: &Path, file: &str) -> bool {
        let command = command
            .replace("%p", &path.to_string_lossy())
            .replace("%f", file)
            .replace("%%", "%");
        Command::new("sh")
            .args(["-c", &command])
            .status()
            .unwrap()
            .success()
    }

    #[test]
    fn a_segment_is_kept_once_and_another_of_its_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("it's 100% \"odd\" $HOME");
        std::fs::create_dir(&archive).unwrap();
        let segment = folder.path().join("segment");
        std::fs::write(&segment, vec![7; 100_000]).unwrap();
        let command = archive_command(&archive);
        assert!(run(&command, &segment, "000000010000000000000001"));
        assert!(run(&command, &segment, "000000010000000000000001"));
        let fetched = folder.path().join("fetched");
        let fetch = restore_command(&archive, folder.path());
        assert!(run(&fetch, &fetched, "000000010000000000000001"));
        assert_eq!(std::fs::read(&fetched).unwrap(), vec![7; 100_000]);
        assert!(!run(&fetch, &fetched, "000000010000000000000002"));
        std::fs::write(&segment, vec![8; 100_000]).unwrap();
        assert!(!run(&command, &segment, "000000010000000000000001"));
        assert_eq!(std::fs::read_dir(&archive).unwrap().count(), 1);
    }
}
