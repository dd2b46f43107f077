//! The user that the server runs as: Postgres refuses root.

use super::PostgresError;
use rustix::process::{getegid, geteuid};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Tried in this order when `postgres.user` is unset.
const CANDIDATES: [&str; 3] = ["trainmaster", "postgres", "nobody"];

/// A user of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's name; as the system knows it.
    pub name: String,
    /// Numeric user id.
    pub uid: u32,
    /// Numeric id of the user's group.
    pub gid: u32,
    /// Whether it is another user than the one this process runs as.
    pub other: bool,
}

impl Account {
    /// This process's user, or, for root, the one that the server is to run as.
    ///
    /// # Errors
    /// This is root and `wanted`, or else any of the candidates, does not exist or is root too.
    pub fn of_server(wanted: Option<&str>) -> Result<Self, PostgresError> {
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        if uid != 0 {
            let name = by_id(uid).map_or_else(|| uid.to_string(), |entry| entry.0);
            return Ok(Self {
                name,
                uid,
                gid,
                other: false,
            });
        }
        let names: Vec<&str> = wanted.map_or_else(|| CANDIDATES.to_vec(), |name| vec![name]);
        names
            .iter()
            .find_map(|name| by_name(name))
            .filter(|(_, uid, _)| *uid != 0)
            .map(|(name, uid, gid)| Self {
                name,
                uid,
                gid,
                other: true,
            })
            .ok_or_else(|| PostgresError::NoAccount {
                tried: format!("there is no user {}", names.join(", ")),
            })
    }

    /// The name of this process's own user.
    #[must_use]
    pub fn own_name() -> Option<String> {
        by_id(geteuid().as_raw()).map(|entry| entry.0)
    }

    /// Whether the user may pass through every directory above `path`.
    ///
    /// # Errors
    /// The first that is closed.
    pub(super) fn reaches(&self, path: &Path) -> Result<(), PostgresError> {
        let closed = |directory: &&Path| {
            std::fs::metadata(directory).is_ok_and(|metadata| {
                let bit = match () {
                    () if metadata.uid() == self.uid => 0o100,
                    () if metadata.gid() == self.gid => 0o010,
                    () => 0o001,
                };
                metadata.mode() & bit == 0
            })
        };
        match path.ancestors().skip(1).filter(closed).last() {
            Some(directory) => Err(PostgresError::ClosedDirectory {
                user: self.name.clone(),
                directory: PathBuf::from(directory),
            }),
            None => Ok(()),
        }
    }
}

/// Name, user id, group id.
type Entry = (String, u32, u32);

fn by_name(name: &str) -> Option<Entry> {
    entry(name, |entry| entry.0 == name)
}

fn by_id(uid: u32) -> Option<Entry> {
    entry(&uid.to_string(), |entry| entry.1 == uid)
}

/// From /etc/passwd, or from wherever else the system has its users (getent).
fn entry(key: &str, wanted: impl Fn(&Entry) -> bool) -> Option<Entry> {
    let parse = |text: &str| {
        text.lines()
            .filter_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next()?.to_owned();
                let mut numbers = fields.skip(1);
                Some((
                    name,
                    numbers.next()?.parse().ok()?,
                    numbers.next()?.parse().ok()?,
                ))
            })
            .find(|entry| wanted(entry))
    };
    std::fs::read_to_string("/etc/passwd")
        .ok()
        .and_then(|text| parse(&text))
        .or_else(|| {
            let output = std::process::Command::new("getent")
                .args(["passwd", key])
                .output()
                .ok()?;
            parse(&String::from_utf8_lossy(&output.stdout))
        })
}
