//! PostgreSQL's own programs: found, started, listened to.
//!
//! A password reaches them through their environment, which only this user and root can read, and never through an argument.

use super::BackupError;
use crate::{
    config::{DatabaseSettings, Settings},
    postgres::bind,
};
use rustix::process::Signal;
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};
use tokio::process::Command;

/// Of what a program says, this much of the end is kept.
const LAST_WORDS: usize = 1_000;

/// A directory of programs that can deal with a server of some major version.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    directory: PathBuf,
    major: u32,
}

impl Programs {
    /// Those for a server of this major version: of the same, or else of the next newer.
    pub fn find(settings: &Settings, major: u32) -> Result<Self, BackupError> {
        let mut directories: Vec<PathBuf> = Vec::new();
        match &settings.postgres.binaries {
            Some(configured) => {
                directories.extend([configured.join("bin"), configured.clone()]);
            }
            None => {
                for (parent, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")] {
                    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
                    directories.extend(
                        entries
                            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
                            .map(|entry| entry.path().join("bin")),
                    );
                }
                directories.push(PathBuf::from("/usr/local/pgsql/bin"));
                let path = std::env::var_os("PATH");
                directories.extend(path.iter().flat_map(std::env::split_paths));
            }
        }
        let found: Vec<(u32, PathBuf)> = directories
            .into_iter()
            .filter_map(|directory| Some((version(&directory.join("pg_dump"))?, directory)))
            .collect();
        let chosen = found
            .iter()
            .filter(|(version, _)| *version >= major)
            .min_by_key(|(version, _)| *version);
        match chosen {
            Some((_, directory)) => Ok(Self {
                directory: directory.clone(),
                major,
            }),
            None => Err(BackupError::NoProgram {
                program: "pg_dump",
                major,
                found: match found.iter().map(|(version, _)| version).max() {
                    Some(newest) => {
                        format!("that of {newest}, which is too old, is the newest here")
                    }
                    None => "none is here".to_owned(),
                },
            }),
        }
    }

    /// A command that ends with this process, with nothing of this process's own settings for PostgreSQL.
    pub fn command(&self, program: &'static str) -> Result<Command, BackupError> {
        let path = self.directory.join(program);
        if !path.is_file() {
            return Err(BackupError::NoProgram {
                program,
                major: self.major,
                found: format!("is not in {}", self.directory.display()),
            });
        }
        let mut command = Command::new(path);
        command.stdin(Stdio::null()).kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            // ~/.pgpass is the user's, and so is its variable.
            if name.starts_with("PG") && name != "PGPASSFILE" {
                command.env_remove(&*name);
            }
        }
        command.env("LC_ALL", "C.UTF-8");
        bind(&mut command, Signal::TERM);
        Ok(command)
    }
}

fn version(program: &Path) -> Option<u32> {
    let output = std::process::Command::new(program)
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().find_map(|word| {
        word.split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    })
}

/// The environment in which libpq connects as these options say, to `database`.
pub(super) fn environment(
    options: &PgConnectOptions,
    settings: &DatabaseSettings,
    database: &str,
) -> Vec<(&'static str, String)> {
    let url = options.to_url_lossy();
    let host = match options.get_socket() {
        Some(socket) => socket.to_string_lossy().into_owned(),
        None => options.get_host().to_owned(),
    };
    let mut environment = vec![
        ("PGHOST", host),
        ("PGPORT", options.get_port().to_string()),
        ("PGUSER", options.get_username().to_owned()),
        ("PGDATABASE", database.to_owned()),
        ("PGAPPNAME", "trainmaster backup".to_owned()),
        ("PGCONNECT_TIMEOUT", "30".to_owned()),
        // A dump takes as long as it takes.
        ("PGOPTIONS", "-c statement_timeout=0".to_owned()),
    ];
    if let Some(password) = url.password() {
        environment.push(("PGPASSWORD", percent_decoded(password)));
    }
    for (key, value) in url.query_pairs() {
        let name = match &*key {
            "sslmode" => "PGSSLMODE",
            "sslcert" => "PGSSLCERT",
            "sslkey" => "PGSSLKEY",
            _ => continue,
        };
        environment.push((name, value.into_owned()));
    }
    // Where no authority is named, the daemon trusts the public ones; libpq would look into the user's home.
    const PUBLIC: &str = "/etc/ssl/certs/ca-certificates.crt";
    let root = settings.sslrootcert.clone().or_else(|| {
        let named = url.query_pairs().find(|(key, _)| key == "sslrootcert");
        named.map(|(_, value)| PathBuf::from(value.trim_start_matches("file: ")))
    });
    let root = root.or_else(|| Some(PathBuf::from(PUBLIC)).filter(|path| path.exists()));
    if let Some(root) = root {
        environment.push(("PGSSLROOTCERT", root.to_string_lossy().into_owned()));
    }
    environment
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs a program to its end, calling `tick` some times a second, and answers with what it printed. `writes` is where a full disk
/// would be.
pub(super) async fn run(
    mut command: Command,
    program: &'static str,
    writes: &Path,
    mut tick: impl FnMut(),
) -> Result<Output, BackupError> {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| BackupError::Program {
            program,
            said: error.to_string(),
        })?;
    let output = child.wait_with_output();
    tokio::pin!(output);
    let output = loop {
        tokio::select! {
            output = &mut output => break output,
            () = tokio::time::sleep(Duration::from_millis(500)) => tick(),
        }
    };
    let output = output.map_err(|error| BackupError::Program {
        program,
        said: error.to_string(),
    })?;
    if output.status.success() {
        return Ok(output);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    if text.contains("No space left on device") {
        return Err(BackupError::DiskFull {
            path: writes.to_owned(),
            detail: String::new(),
        });
    }
    let words: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let words = words.join("; ");
    let from = words.len().saturating_sub(LAST_WORDS);
    let from = (from..words.len()).find(|at| words.is_char_boundary(*at));
    let said = match words.get(from.unwrap_or(0)..) {
        None | Some("") => format!("it ended with {}", output.status),
        Some(said) => said.to_owned(),
    };
    Err(BackupError::Program { program, said })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    #[test]
    fn a_password_is_in_the_environment_as_it_is() {
        let options = PgConnectOptions::from_str(
            "postgres://backup:p%40ss%25w%2Frd@db.example:5433/lab?sslmode=verify-full",
        )
        .unwrap();
        let environment = environment(&options, &DatabaseSettings::default(), "lab");
        for (name, value) in [
            ("PGHOST", "db.example"),
            ("PGPORT", "5433"),
            ("PGUSER", "backup"),
            ("PGDATABASE", "lab"),
            ("PGPASSWORD", "p@ss%w/rd"),
            ("PGSSLMODE", "verify-full"),
        ] {
            assert!(
                environment.contains(&(name, value.to_owned())),
                "{name} in {environment:?}"
            );
        }
    }
}
