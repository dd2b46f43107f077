//! A cluster: data directory, socket and server, gone with the value or with the process, however that ends.

use super::{
    TestDatabase,
    binaries::{self, Account},
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, postgres::PgConnectOptions};
use std::{
    env,
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// A server of its own, listening on a Unix socket only.
#[derive(Debug)]
pub struct Cluster {
    account: Account,
    programs: PathBuf,
    directory: PathBuf,
    databases: AtomicU32,
    /// What the server's environment has besides this process'.
    environment: Vec<(String, String)>,
    /// Stops the server and removes the directory as soon as its standard input ends: when this value is dropped, and
    /// also when this process dies of whatever.
    watcher: Child,
}

impl Cluster {
    /// A running cluster that trades durability for speed (`fsync` off).
    ///
    /// # Panics
    /// When there is no Postgres to be had; the message says what is missing.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
        ])
    }

    /// A running cluster with the given settings (`name=value`).
    ///
    /// # Panics
    /// As [`Cluster::start`].
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Self {
        Self::start_in(&env::temp_dir(), settings, &[])
    }

    /// A running cluster below a directory, with the given settings (`name=value`) and with more in its environment.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    #[must_use]
    pub fn start_in(parent: &Path, settings: &[&str], environment: &[(&str, &str)]) -> Self {
        let account = Account::find();
        let programs = binaries::directory();
        let directory = private_directory(account, parent);
        let watcher = watch(account, &programs, &directory);
        let template = template(account, &programs);
        run(account
            .command("cp")
            .args(["-a", "--reflink=auto"])
            .arg(&template)
            .arg(directory.join("data")));
        // No autovacuum: its transactions come and go by themselves, and tests look at which are open.
        let mut configuration = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nmax_connections = 200\n\
             autovacuum = off\nlogging_collector = off\nlog_line_prefix = '%t [%p] %d '\n",
            directory.display()
        );
        for setting in settings {
            configuration.push_str(setting);
            configuration.push('\n');
        }
        let file = directory.join("data/postgresql.auto.conf");
        fs::write(&file, configuration).expect("cannot write the cluster's settings");
        let cluster = Self {
            account,
            programs,
            directory,
            databases: AtomicU32::new(0),
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            watcher,
        };
        cluster.boot();
        cluster
    }

    /// An empty database of its own.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn database(&self) -> TestDatabase {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = self
            .options("postgres")
            .connect()
            .await
            .expect("cannot connect to the test cluster");
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .expect("cannot create the test's database");
        connection.close().await.expect("cannot close a connection");
        TestDatabase {
            options: self.options(&name),
            url: format!(
                "postgres://postgres@localhost/{name}?host={}",
                self.directory.display()
            ),
        }
    }

    /// The directory that holds the socket.
    #[must_use]
    pub fn socket_directory(&self) -> &Path {
        &self.directory
    }

    /// The directory of the server's programs (`pg_dump`, `psql`, …).
    #[must_use]
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Starts the server after [`Cluster::stop`].
    ///
    /// # Panics
    /// When it does not start; the message shows its log.
    pub fn boot(&self) {
        run(self
            .pg_ctl("start")
            .arg("-l")
            .arg(self.directory.join("server.log")));
    }

    /// Begins to start the server after [`Cluster::stop`], and does not wait for it. It may fail: the disk may be full.
    pub fn begin_to_boot(&self) {
        let _ = self
            .pg_ctl("start")
            .args(["-W", "-l"])
            .arg(self.directory.join("server.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }

    /// Whether the server runs: a full disk may have ended it.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.pg_ctl("status")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Restarts the server with files put into its data directory (`pg_hba.conf`, a certificate and its key) and further settings.
    ///
    /// # Panics
    /// When it does not start; the message shows its log.
    pub fn restart_with(&self, settings: &[&str], files: &[(&str, &[u8])]) {
        use std::{io::Write, os::unix::fs::PermissionsExt};
        self.stop();
        for (name, content) in files {
            let path = self.directory.join("data").join(name);
            fs::write(&path, content).expect("cannot write a file of the cluster");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
                .and_then(|()| chown(&path, Some(self.account.uid), Some(self.account.gid)))
                .expect("cannot hand a file to the server's account");
        }
        let mut configuration = File::options()
            .append(true)
            .open(self.directory.join("data/postgresql.auto.conf"))
            .expect("cannot open the cluster's settings");
        for setting in settings {
            writeln!(configuration, "{setting}").expect("cannot write the cluster's settings");
        }
        self.boot();
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("server.log")).unwrap_or_default()
    }

    /// Stops the server as a power cut would, without a checkpoint; every connection breaks.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(&self) {
        run(self.pg_ctl("stop").args(["-m", "immediate"]));
    }

    fn pg_ctl(&self, action: &str) -> Command {
        let mut command = self.account.command(self.programs.join("pg_ctl"));
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .args([action, "-s", "-w", "-t", "60", "-D"])
            .arg(self.directory.join("data"));
        command
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.directory)
            .username("postgres")
            .database(database)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        self.watcher.wait().ok();
    }
}

/// A directory of 0700 that belongs to `account`, with a name short enough for a socket.
fn private_directory(account: Account, parent: &Path) -> PathBuf {
    let directory = tempfile::Builder::new()
        .prefix("trainmaster-")
        .tempdir_in(parent)
        .expect("cannot make a temporary directory")
        .keep();
    chown(&directory, Some(account.uid), Some(account.gid))
        .expect("cannot hand the directory to the server's account");
    directory
}

/// In a process group of its own, so that an interrupt from the terminal does not take it down with the tests. Its name
/// for the directory is an argument, never part of the script.
fn watch(account: Account, programs: &Path, directory: &Path) -> Child {
    const SCRIPT: &str =
        r#"read -r _; "$1/pg_ctl" stop -s -w -m immediate -D "$2/data"; rm -rf "$2""#;
    account
        .command("sh")
        .args(["-c", SCRIPT, "watcher"])
        .arg(programs)
        .arg(directory)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("cannot start sh")
}

/// An initialised data directory to copy: `initdb` takes most of a second, a copy some milliseconds. Kept in the
/// temporary directory from one run to the next, one for each account and version of Postgres.
fn template(account: Account, programs: &Path) -> PathBuf {
    let version = Command::new(programs.join("initdb"))
        .arg("--version")
        .output()
        .expect("cannot run initdb");
    let mut hasher = DefaultHasher::new();
    (programs, version.stdout, INITDB).hash(&mut hasher);
    let cache = env::temp_dir().join(format!("trainmaster-initdb-{}", account.uid));
    if fs::DirBuilder::new().mode(0o700).create(&cache).is_ok() {
        chown(&cache, Some(account.uid), Some(account.gid))
            .expect("cannot hand the directory to the server's account");
    }
    let owner = fs::symlink_metadata(&cache).expect("cannot make a temporary directory");
    assert!(
        owner.is_dir() && owner.uid() == account.uid,
        "{} belongs to someone else: remove it",
        cache.display()
    );
    let lock = File::create(cache.join("lock")).expect("cannot create a lock file");
    lock.lock().expect("cannot lock");
    let finished = cache.join(format!("{:016x}", hasher.finish()));
    if !finished.exists() {
        let unfinished = cache.join("unfinished");
        fs::remove_dir_all(&unfinished).ok();
        run(account
            .command(programs.join("initdb"))
            .args(INITDB)
            .arg(&unfinished));
        fs::rename(&unfinished, &finished).expect("cannot rename the new data directory");
    }
    finished
}

const INITDB: [&str; 7] = [
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--wal-segsize=1",
    "--no-sync",
    "--pgdata",
];

fn run(command: &mut Command) {
    // A server that pg_ctl starts inherits standard output and error: a pipe there would never end.
    let mut errors = tempfile::tempfile().expect("cannot make a temporary file");
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors.try_clone().expect("cannot duplicate a file"))
        .status()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    if !status.success() {
        use std::io::{Read, Seek};
        let mut said = String::new();
        errors.rewind().ok();
        errors.read_to_string(&mut said).ok();
        panic!("{command:?} failed ({status}): {said}");
    }
}
