//! Where the server's programs are, and as whom they may run.

use std::{
    env, fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

/// The directory of `initdb`, `pg_ctl` and `postgres`: the newest that Debian installed, or that of `PATH`, or what
/// `pg_config` says.
pub(super) fn directory() -> PathBuf {
    debian()
        .or_else(on_path)
        .or_else(pg_config)
        .expect("no Postgres server found: install it (Debian: apt install postgresql) or put initdb, pg_ctl and postgres on PATH")
}

fn is_complete(directory: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"]
        .iter()
        .all(|program| directory.join(program).exists())
}

fn debian() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, directory)| is_complete(directory))
        .collect();
    versions.sort();
    versions.pop().map(|(_, directory)| directory)
}

fn on_path() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).find(|directory| is_complete(directory))
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let directory = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    is_complete(&directory).then_some(directory)
}

/// Who runs the server: whoever runs the tests, unless that is root, whom Postgres refuses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    switch: bool,
}

impl Account {
    pub(super) fn find() -> Self {
        let me = fs::metadata("/proc/self").expect("no /proc: cannot tell who runs the tests");
        if me.uid() != 0 {
            return Self {
                uid: me.uid(),
                gid: me.gid(),
                switch: false,
            };
        }
        let accounts = fs::read_to_string("/etc/passwd").expect("cannot read /etc/passwd");
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| {
                let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
                let mut fields = line.split(':').skip(2).map(|field| field.parse().ok());
                Some(Self {
                    uid: fields.next()??,
                    gid: fields.next()??,
                    switch: true,
                })
            })
            .expect("Postgres refuses to run as root, and there is neither a postgres nor a nobody account to run it as")
    }

    /// A command that runs as this account, away from the caller's directory, which the account may not enter.
    pub(super) fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if self.switch {
            command.uid(self.uid).gid(self.gid);
        }
        command.current_dir("/");
        command
    }
}
