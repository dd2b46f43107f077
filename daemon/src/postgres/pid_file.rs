//! `postmaster.pid`: which server runs on a cluster, if any.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What the file says (src/include/utils/pidfile.h of PostgreSQL).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    /// The postmaster.
    pub pid: u32,
    /// The directory of its socket.
    pub socket_directory: Option<PathBuf>,
    /// `starting`, `stopping`, `ready` or `standby`; empty before it says so.
    pub status: String,
}

impl PidFile {
    /// What the cluster's file says; none when there is none that can be understood.
    pub fn read(cluster: &Path) -> Option<Self> {
        let text = fs::read_to_string(path(cluster)).ok()?;
        let mut lines = text.lines();
        // A single-user backend writes its pid negated.
        let pid = lines.next()?.trim().parse::<i64>().ok()?.unsigned_abs();
        let mut rest = lines.skip(3);
        let socket_directory = rest
            .next()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(PathBuf::from);
        let status = rest.nth(2).unwrap_or_default().trim().to_owned();
        Some(Self {
            pid: u32::try_from(pid).ok()?,
            socket_directory,
            status,
        })
    }

    /// Whether the process is a server of this cluster, not another that has got the number since.
    pub fn is_alive(&self, cluster: &Path) -> bool {
        let process = PathBuf::from(format!("/proc/{}", self.pid));
        // A postmaster works in its data directory; a zombie works nowhere.
        let is_there = match fs::read_link(process.join("cwd")) {
            Ok(cwd) => cwd == cluster,
            // One of another user namespace (systemd's PrivateUsers) says nothing but whose it is.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let owner = |path: &Path| fs::metadata(path).map(|metadata| metadata.uid()).ok();
                owner(&process).is_some() && owner(&process) == owner(cluster)
            }
            Err(_) => false,
        };
        is_there && fs::read(process.join("comm")).is_ok_and(|name| name.starts_with(b"postgres"))
    }

    /// Whether it accepts connections.
    pub fn is_ready(&self) -> bool {
        self.status == "ready"
    }
}

/// Removes the file of a server that is gone, and the lock of its socket. Postgres does so itself unless the number is in use again, or is a
/// zombie's that nobody has waited for.
pub(super) fn remove_stale(cluster: &Path, socket_directory: &Path) -> std::io::Result<()> {
    let lock = socket_directory.join(".s.PGSQL.5432.lock");
    let held_by = fs::read_to_string(&lock)
        .ok()
        .and_then(|text| text.lines().next()?.trim().parse().ok());
    if let Some(pid) = held_by {
        let holder = PidFile {
            pid,
            socket_directory: None,
            status: String::new(),
        };
        if !holder.is_alive(cluster) {
            fs::remove_file(&lock)?;
        }
    }
    match PidFile::read(cluster) {
        Some(file) if !file.is_alive(cluster) => {
            tracing::warn!(
                pid = file.pid,
                "removing the postmaster.pid of a server that is gone"
            );
            fs::remove_file(path(cluster))
        }
        _ => Ok(()),
    }
}

fn path(cluster: &Path) -> PathBuf {
    cluster.join("postmaster.pid")
}
