//! Where a lab under fire lives: small disks of its own where that can be had, gone with the value or with the process.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Room on each small disk: the sooner it is full.
const ROOM: &str = "size=192m,mode=0755";

/// Directories for the state, for Postgres and for what is about them.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Whether state and Postgres are on small disks (tmpfs) that can be filled, and mounts can be made: it takes root.
    mounts: bool,
    /// Undoes it all as soon as its standard input ends, however this process does.
    watcher: Child,
}

/// One of the disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    State,
    Postgres,
}

/// Undoes something when dropped.
pub(super) struct Undo(Option<Box<dyn FnOnce() + Send>>);

impl Undo {
    fn new(undo: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(undo)))
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(undo) = self.0.take() {
            undo();
        }
    }
}

impl Place {
    /// # Errors
    /// There is no temporary directory to be had.
    pub(super) fn new() -> io::Result<Self> {
        const SCRIPT: &str = r#"read -r _; umount -l "$1/state" "$1/postgres" 2>/dev/null; rm -rf --one-file-system "$1""#;
        let path = tempfile::Builder::new()
            .prefix("fire-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()?
            .keep();
        let watcher = Command::new("sh")
            .args(["-c", SCRIPT, "watcher"])
            .arg(&path)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut place = Self {
            path,
            mounts: true,
            watcher,
        };
        for folder in ["about", "proxy", "state", "postgres"] {
            fs::create_dir(place.path.join(folder))?;
        }
        place.mounts = [Disk::State, Disk::Postgres].iter().all(|disk| {
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", ROOM, "none"]);
            succeeds(mount.arg(place.disk(*disk)))
        });
        Ok(place)
    }

    /// A directory for what is neither state nor Postgres': `about`, `proxy`.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn disk(&self, disk: Disk) -> PathBuf {
        self.path.join(match disk {
            Disk::State => "state",
            Disk::Postgres => "postgres",
        })
    }

    pub(super) const fn has_mounts(&self) -> bool {
        self.mounts
    }

    /// Fills a disk to its last byte until the value is dropped. None where that would fill somebody else's disk too.
    pub(super) fn fill(&self, disk: Disk) -> Option<Undo> {
        if !self.mounts {
            return None;
        }
        let ballast = self.disk(disk).join("ballast");
        if let Ok(mut file) = fs::File::create(&ballast) {
            // First by much, then by little: to the last byte.
            for size in [4 << 20, 4 << 10, 1] {
                let zeros = vec![0; size];
                while file.write_all(&zeros).is_ok() {}
            }
        }
        Some(Undo::new(move || {
            let _ = fs::remove_file(ballast);
        }))
    }

    /// Makes a directory one that cannot be written to, until the value is dropped. None where that cannot be had.
    pub(super) fn protect(&self, directory: &Path) -> Option<Undo> {
        let directory = directory.to_owned();
        if self.mounts {
            let bind = |options: &str| {
                let mut mount = Command::new("mount");
                succeeds(mount.args(["-o", options]).arg(&directory).arg(&directory))
            };
            if !bind("bind") {
                return None;
            }
            let undo = {
                let directory = directory.clone();
                Undo::new(move || {
                    succeeds(Command::new("umount").arg("-l").arg(directory));
                })
            };
            return bind("remount,ro,bind").then_some(undo);
        }
        let is_root = fs::metadata("/proc/self").is_ok_and(|own| {
            use std::os::unix::fs::MetadataExt as _;
            own.uid() == 0
        });
        // Root writes whatever the permissions say.
        if is_root || fs::set_permissions(&directory, fs::Permissions::from_mode(0o555)).is_err() {
            return None;
        }
        Some(Undo::new(move || {
            let _ = fs::set_permissions(directory, fs::Permissions::from_mode(0o755));
        }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
    }
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
