//! Finding the programs of a PostgreSQL server.

use super::PostgresError;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The oldest major version that the migrations work on.
const OLDEST: u32 = 14;

/// A directory with `postgres` and `initdb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    directory: PathBuf,
    version: u32,
}

impl Binaries {
    /// Those of `configured`, or the newest that are installed; of the major version `wanted` when it is given.
    ///
    /// # Errors
    /// There are none, none of that version, or they are too old.
    pub fn find(
        configured: Option<&Path>,
        cluster: Option<(&Path, u32)>,
    ) -> Result<Self, PostgresError> {
        let found = match configured {
            Some(directory) => vec![Self::configured(directory)?],
            None => installed(),
        };
        let Some(newest) = found.iter().max_by_key(|binaries| binaries.version) else {
            return Err(PostgresError::NoBinaries {
                searched: "/usr/lib/postgresql/*/bin, /usr/pgsql-*/bin, /usr/local/pgsql/bin, pg_config, $PATH".into(),
            });
        };
        let chosen = match cluster {
            None => newest,
            Some((path, version)) => found
                .iter()
                .find(|binaries| binaries.version == version)
                .ok_or_else(|| PostgresError::OtherVersion {
                    cluster: path.to_owned(),
                    version,
                    found: found
                        .iter()
                        .map(|b| b.version.to_string())
                        .collect::<Vec<_>>()
                        .join(", "),
                })?,
        };
        if chosen.version < OLDEST {
            return Err(PostgresError::TooOld {
                program: chosen.program("postgres"),
                version: chosen.version,
            });
        }
        Ok(chosen.clone())
    }

    fn configured(directory: &Path) -> Result<Self, PostgresError> {
        let with_bin = directory.join("bin");
        let directory = if with_bin.join("postgres").exists() {
            &with_bin
        } else {
            directory
        };
        Self::at(directory)
    }

    /// The programs in `directory`.
    fn at(directory: &Path) -> Result<Self, PostgresError> {
        let program = directory.join("postgres");
        let failed = |reason: String| PostgresError::Program {
            program: program.clone(),
            reason,
        };
        if !directory.join("initdb").is_file() {
            return Err(failed("initdb is not beside it".into()));
        }
        let output = Command::new(&program)
            .arg("--version")
            .output()
            .map_err(|error| failed(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)
        let version = text
            .split_whitespace()
            .find_map(|word| {
                word.split(|c: char| !c.is_ascii_digit())
                    .next()?
                    .parse()
                    .ok()
            })
            .ok_or_else(|| {
                failed(format!(
                    "it says {:?} when asked for its version",
                    text.trim()
                ))
            })?;
        let directory =
            std::fs::canonicalize(directory).map_err(PostgresError::io("resolve", directory))?;
        Ok(Self { directory, version })
    }

    /// The full path of one of the programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where they are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether a library that the server can load is installed: beside the programs, as the usual packages have it.
    #[must_use]
    pub(super) fn has_library(&self, name: &str) -> bool {
        let file = format!("{name}.so");
        ["lib", "lib/postgresql", "lib64", "lib64/pgsql"]
            .iter()
            .any(|folder| self.directory.join("..").join(folder).join(&file).is_file())
    }

    /// The major version.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }
}

/// Everything that is installed, each directory once. What cannot be run is left out.
fn installed() -> Vec<Binaries> {
    let mut directories = Vec::new();
    for (parent, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")] {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        directories.extend(
            entries
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
                .map(|entry| entry.path().join("bin"))
                .filter(|directory| directory.join("postgres").is_file()),
        );
    }
    directories.push(PathBuf::from("/usr/local/pgsql/bin"));
    directories.extend(
        std::env::var_os("PATH")
            .iter()
            .flat_map(std::env::split_paths),
    );
    let with_server = |directories: &[PathBuf]| -> Vec<Binaries> {
        let mut found: Vec<Binaries> = Vec::new();
        for directory in directories
            .iter()
            .filter(|d| d.join("postgres").is_file() && d.join("initdb").is_file())
        {
            if let Ok(binaries) = Binaries::at(directory)
                && !found.contains(&binaries)
            {
                found.push(binaries);
            }
        }
        found
    };
    let found = with_server(&directories);
    if !found.is_empty() {
        return found;
    }
    let asked = Command::new("pg_config").arg("--bindir").output().ok();
    let directory =
        asked.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    with_server(directory.as_slice())
}
