//! The files that tell the server how to be: written at each start, so that an upgraded daemon brings its own.

use super::{Account, USER};
use std::{fmt::Write, path::Path};

/// PostgreSQL's settings for an edge device.
const EDGE: &str = include_str!("../../../ops/postgresql/edge.conf");

/// Read by postgresql.conf, which stays as initdb wrote it but for the line that includes this.
pub(super) const FILE: &str = "trainmaster.conf";

/// The line at the end of postgresql.conf.
pub(super) const INCLUDE: &str = "\ninclude 'trainmaster.conf'\n";

/// `trainmaster.conf`.
pub(super) fn settings(socket_directory: &Path, extra: Option<&Path>) -> String {
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
    if let Some(path) = extra {
        let _ = write!(out, "\ninclude {}\n", quoted(path));
    }
    out
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
        for role in [USER, "mistudio"] {
            let _ = writeln!(out, "trainmaster \"{name}\" \"{role}\"");
        }
    }
    out
}

/// A value of a PostgreSQL configuration file.
fn quoted(path: &Path) -> String {
    let text = path
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace('\'', "''");
    format!("'{text}'")
}
