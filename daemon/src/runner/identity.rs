//! Which process a run is: a process id alone is used again, one with the time at which it began is not.

use std::{fs, io, path::Path};
use trainmaster_domain::Lease;

/// A process of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Its id.
    pub pid: i32,
    /// The machine's boot and the clock tick at which the process began.
    pub started: String,
}

impl ProcessIdentity {
    /// The process that has this id now; none when there is none.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn of(pid: i32) -> io::Result<Option<Self>> {
        let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // ESRCH: it went while it was read.
            Err(error) if error.raw_os_error() == Some(3) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (state, ticks) = state_and_start(&stat).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "/proc/<pid>/stat has no start time",
            )
        })?;
        if matches!(state, 'Z' | 'X') {
            return Ok(None);
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Ok(Some(Self {
            pid,
            started: format!("{}:{ticks}", boot.trim()),
        }))
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        matches!(Self::of(self.pid), Ok(Some(now)) if now == *self)
    }

    /// The trainer that works on a run directory under a lease, looked for among all processes: for a daemon that died
    /// after it had started one and before it had written that down.
    #[must_use]
    pub fn find(directory: &Path, lease: Lease) -> Option<Self> {
        Self::all_of(directory)
            .into_iter()
            .find_map(|(identity, of)| (of == lease).then_some(identity))
    }

    /// The trainers that work on a run directory, with their leases.
    #[must_use]
    pub fn all_of(directory: &Path) -> Vec<(Self, Lease)> {
        let directory = directory.as_os_str().as_encoded_bytes();
        let processes = fs::read_dir("/proc").into_iter().flatten();
        processes
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
            .filter_map(|pid| {
                let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
                let arguments: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
                let lease = arguments.windows(4).find_map(|window| match window {
                    [b"run", at, b"--lease", number] if *at == directory => {
                        std::str::from_utf8(number).ok()?.parse().ok().map(Lease)
                    }
                    _ => None,
                })?;
                Some((Self::of(pid).ok()??, lease))
            })
            .collect()
    }
}

/// The third and the twenty-second field of `/proc/<pid>/stat`. The second is the command's name in parentheses, which may
/// itself hold spaces and parentheses.
fn state_and_start(stat: &str) -> Option<(char, u64)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let ticks = fields.nth(18)?.parse().ok()?;
    Some((state, ticks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_known_by_id_and_beginning() {
        let own = ProcessIdentity::of(std::process::id().cast_signed())
            .unwrap()
            .unwrap();
        assert!(own.is_alive());
        let another = ProcessIdentity {
            started: "another boot:1".to_owned(),
            ..own
        };
        assert!(!another.is_alive());
    }

    #[test]
    fn a_process_that_has_ended_is_gone_before_it_is_reaped() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id().cast_signed();
        let identity = ProcessIdentity::of(pid).unwrap();
        while ProcessIdentity::of(pid).unwrap().is_some() {
            std::thread::yield_now();
        }
        if let Some(identity) = identity {
            assert!(!identity.is_alive());
        }
        child.wait().unwrap();
    }

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let stat = "12 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(state_and_start(stat), Some(('S', 4711)));
    }
}
