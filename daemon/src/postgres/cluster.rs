//! The data directory: made once, prepared at each start.

use super::{
    Account, Binaries, DATABASE, PostgresError, USER,
    configuration::{self, Archive},
    pid_file::PidFile,
};
use crate::{
    config::PostgresSettings,
    state_directory::{StateDirectory, socket_directory},
};
use rustix::process::Signal;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::Command;
use trainmaster_projections::ReadModel;

/// The name of the socket in its directory, for port 5432.
const SOCKET: &str = ".s.PGSQL.5432";

/// A cluster that can be started.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub directory: PathBuf,
    pub socket_directory: PathBuf,
    pub account: Account,
    pub binaries: Binaries,
    /// Whether what runs for it ends with this process, however that ends.
    pub bound: bool,
}

impl Cluster {
    /// Finds the binaries, makes the cluster if there is none, and writes its configuration.
    pub async fn prepare(
        state: &StateDirectory,
        settings: &PostgresSettings,
    ) -> Result<Self, PostgresError> {
        let account = Account::of_server(settings.user.as_deref())?;
        let archive = match &settings.wal_archive {
            None => Archive::None,
            Some(directory) => Archive::Into(
                directory.clone(),
                settings.wal_archive_interval_seconds.duration(),
            ),
        };
        let socket = state.path().join("run/postgres");
        Self::prepare_at(state.postgres(), &socket, account, settings, archive, false).await
    }

    /// The same for a cluster beside the live one, which is being restored and may be thrown away.
    pub async fn prepare_beside(
        directory: PathBuf,
        state: &StateDirectory,
        settings: &PostgresSettings,
    ) -> Result<Self, PostgresError> {
        let account = Account::of_server(settings.user.as_deref())?;
        let archive = match settings.wal_archive {
            None => Archive::None,
            Some(_) => Archive::Held,
        };
        let socket = state.path().join("run/restore");
        Self::prepare_at(directory, &socket, account, settings, archive, true).await
    }

    async fn prepare_at(
        directory: PathBuf,
        socket: &Path,
        account: Account,
        settings: &PostgresSettings,
        mut archive: Archive,
        bound: bool,
    ) -> Result<Self, PostgresError> {
        let version = version(&directory)?;
        let binaries = Binaries::find(
            settings.binaries.as_deref(),
            version.map(|version| (directory.as_path(), version)),
        )?;
        account.reaches(&directory)?;
        let socket_directory = socket_directory(socket, SOCKET, account.uid);
        make_private(&socket_directory, &account)?;
        let cluster = Self {
            directory,
            socket_directory,
            account,
            binaries,
            bound,
        };
        if version.is_none() {
            cluster.init().await?;
        }
        if let Archive::Into(directory, _) = &mut archive {
            cluster.account.reaches(directory)?;
            make_archive(directory, &cluster.account)?;
            // Segments of another cluster may have the same names.
            *directory = archive_of(directory, &system_identifier(&cluster.directory)?);
            make_archive(directory, &cluster.account)?;
        }
        cluster.configure(settings, &archive)?;
        Ok(cluster)
    }

    /// How to connect to a database of it.
    pub fn options(&self, database: &str) -> PgConnectOptions {
        options(&self.socket_directory, database)
    }

    /// Where the server logs.
    pub fn logs(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// What the server says before its log is open.
    pub fn startup_log(&self) -> PathBuf {
        self.directory.join("startup.log")
    }

    /// Hands a file to the server's user.
    pub fn give(&self, path: &Path) -> std::io::Result<()> {
        give(path, &self.account)
    }

    /// Makes the daemon's database unless it is there, and the roles that applications read by. They may log in here: the socket and
    /// pg_ident.conf say who may be one of them.
    pub async fn make_database(&self) -> Result<(), PostgresError> {
        match self.options(DATABASE).connect().await {
            Ok(mut connection) => {
                make_roles(&mut connection).await?;
                let _ = connection.close().await;
                return Ok(());
            }
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("3D000") => {}
            Err(error) => return Err(PostgresError::Database(error)),
        }
        let mut connection = self
            .options("postgres")
            .connect()
            .await
            .map_err(PostgresError::Database)?;
        make_roles(&mut connection).await?;
        sqlx::query("CREATE DATABASE trainmaster")
            .execute(&mut connection)
            .await
            .map_err(PostgresError::Database)?;
        let _ = connection.close().await;
        Ok(())
    }

    /// A command that runs as the server's user, apart from the terminal's signals.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.program(program));
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .process_group(0);
        for (name, _) in std::env::vars_os() {
            // PGDATA and the like are about another server; what the service manager says is for the daemon.
            let name = name.to_string_lossy();
            if name.starts_with("PG")
                || [
                    "NOTIFY_SOCKET",
                    "WATCHDOG_PID",
                    "WATCHDOG_USEC",
                    "LISTEN_FDS",
                ]
                .contains(&&*name)
            {
                command.env_remove(&*name);
            }
        }
        if self.account.other {
            command.uid(self.account.uid).gid(self.account.gid);
        }
        if self.bound {
            bind(&mut command, Signal::QUIT);
        }
        command
    }

    /// Makes the cluster beside its place and moves it there whole, so that an interrupted initdb leaves nothing half done.
    async fn init(&self) -> Result<(), PostgresError> {
        let beside = self.directory.with_extension("initdb");
        if beside.exists() {
            fs::remove_dir_all(&beside).map_err(PostgresError::io("remove", &beside))?;
        }
        make_private(&beside, &self.account)?;
        tracing::info!(cluster = %self.directory.display(), version = self.binaries.version(), "making a PostgreSQL cluster");
        let initdb = |locale: &str| {
            let mut command = self.command("initdb");
            command
                .arg("--pgdata")
                .arg(&beside)
                .args(["--username", USER, "--encoding", "UTF8", "--locale", locale])
                .args(["--auth-local", "peer", "--auth-host", "scram-sha-256"])
                .args(["--data-checksums", "--no-instructions"]);
            command
        };
        let mut output = run(initdb("C.UTF-8")).await?;
        if !output.status.success() && said(&output).contains("locale") {
            output = run(initdb("C")).await?;
        }
        if !output.status.success() {
            let _ = fs::remove_dir_all(&beside);
            return Err(PostgresError::Initdb {
                cluster: self.directory.clone(),
                output: said(&output),
            });
        }
        let settings = beside.join("postgresql.conf");
        fs::OpenOptions::new()
            .append(true)
            .open(&settings)
            .and_then(|mut file| file.write_all(configuration::INCLUDE.as_bytes()))
            .map_err(PostgresError::io("write", &settings))?;
        if self.directory.exists() {
            fs::remove_dir(&self.directory)
                .map_err(PostgresError::io("replace", &self.directory))?;
        }
        fs::rename(&beside, &self.directory).map_err(PostgresError::io(
            "move the new cluster to",
            &self.directory,
        ))
    }

    fn configure(
        &self,
        settings: &PostgresSettings,
        archive: &Archive,
    ) -> Result<(), PostgresError> {
        let extra = match &settings.extra_settings {
            Some(path) => Some(fs::canonicalize(path).map_err(PostgresError::io("read", path))?),
            None => None,
        };
        let own_name = Account::own_name();
        for (name, text) in [
            (
                configuration::FILE,
                configuration::settings(
                    &self.socket_directory,
                    self.binaries.has_library("pg_stat_statements"),
                    extra.as_deref(),
                    archive,
                ),
            ),
            ("pg_hba.conf", configuration::access().to_owned()),
            (
                "pg_ident.conf",
                configuration::identities(&self.account, own_name.as_deref()),
            ),
        ] {
            self.write(name, &text)?;
        }
        Ok(())
    }

    /// Replaces a file of the cluster, whole or not at all.
    fn write(&self, name: &str, text: &str) -> Result<(), PostgresError> {
        let path = self.directory.join(name);
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        let beside = self.directory.join(format!("{name}.new"));
        let write = || {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            give(&beside, &self.account)?;
            fs::rename(&beside, &path)
        };
        write().map_err(PostgresError::io("write", &path))
    }
}

/// One for each read model; those that are there stay as they are.
async fn make_roles(connection: &mut PgConnection) -> Result<(), PostgresError> {
    for read_model in ReadModel::ALL {
        let role = read_model.name();
        // The name is the program's own.
        sqlx::raw_sql(AssertSqlSafe(format!(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} LOGIN; END IF; END $$"
        )))
        .execute(&mut *connection)
        .await
        .map_err(PostgresError::Database)?;
    }
    Ok(())
}

/// Has a process signalled when the thread that starts it ends, and with it this process.
pub(crate) fn bind(command: &mut Command, signal: Signal) {
    // SAFETY: prctl is async-signal-safe, and nothing else is done between fork and exec.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(signal)).map_err(Into::into)
        });
    }
}

/// Where the write-ahead log of a cluster is kept, in the directory of the settings.
pub(crate) fn archive_of(directory: &Path, system_identifier: &str) -> PathBuf {
    directory.join(system_identifier)
}

/// What no other cluster has: the first field of its control file.
fn system_identifier(cluster: &Path) -> Result<String, PostgresError> {
    let path = cluster.join("global/pg_control");
    let mut number = [0; 8];
    fs::File::open(&path)
        .and_then(|mut file| file.read_exact(&mut number))
        .map_err(PostgresError::io("read", &path))?;
    Ok(u64::from_ne_bytes(number).to_string())
}

/// Makes the directory of the write-ahead log's archive, which must be the server's.
fn make_archive(path: &Path, account: &Account) -> Result<(), PostgresError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(PostgresError::io("make the directory", parent))?;
    }
    make_private(path, account).map_err(|error| match error {
        PostgresError::ForeignSocketDirectory { path } => PostgresError::ForeignArchive {
            path,
            user: account.name.clone(),
        },
        error => error,
    })
}

/// The options of the server that runs on the cluster of `state`, if one does.
pub(super) fn running(
    state: &StateDirectory,
    settings: &PostgresSettings,
) -> Option<PgConnectOptions> {
    let directory = state.postgres();
    let account = Account::of_server(settings.user.as_deref()).ok()?;
    let file = PidFile::read(&directory)?;
    // Its working directory is hidden from users other than root and its own.
    let alive = file.is_alive(&directory) && file.is_ready();
    let socket_directory = file
        .socket_directory
        .unwrap_or_else(|| directory_of_socket(state, &account));
    alive.then(|| options(&socket_directory, DATABASE))
}

fn options(socket_directory: &Path, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_directory)
        .port(5432)
        .username(USER)
        .database(database)
}

fn directory_of_socket(state: &StateDirectory, account: &Account) -> PathBuf {
    socket_directory(&state.path().join("run/postgres"), SOCKET, account.uid)
}

/// The major version of the cluster; none when there is no cluster.
fn version(directory: &Path) -> Result<Option<u32>, PostgresError> {
    let not_a_cluster = || PostgresError::NotACluster {
        path: directory.to_owned(),
    };
    match fs::read_to_string(directory.join("PG_VERSION")) {
        Ok(text) => Ok(Some(text.trim().parse().map_err(|_| not_a_cluster())?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            match fs::read_dir(directory).map(|mut entries| entries.next().is_some()) {
                Ok(true) => Err(not_a_cluster()),
                _ => Ok(None),
            }
        }
        Err(error) => Err(PostgresError::io("read", directory.join("PG_VERSION"))(
            error,
        )),
    }
}

/// Makes a directory that is the account's alone. One that is there already must be so.
fn make_private(path: &Path, account: &Account) -> Result<(), PostgresError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => give(path, account).map_err(PostgresError::io("hand over", path)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let metadata =
                fs::symlink_metadata(path).map_err(PostgresError::io("look at", path))?;
            if !metadata.is_dir() || metadata.uid() != account.uid {
                return Err(PostgresError::ForeignSocketDirectory {
                    path: path.to_owned(),
                });
            }
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
                .map_err(PostgresError::io("close", path))
        }
        Err(error) => Err(PostgresError::io("make the directory", path)(error)),
    }
}

fn give(path: &Path, account: &Account) -> std::io::Result<()> {
    if account.other {
        chown(path, Some(account.uid), Some(account.gid))
    } else {
        Ok(())
    }
}

async fn run(mut command: Command) -> Result<std::process::Output, PostgresError> {
    let program = PathBuf::from(command.as_std().get_program());
    command
        .output()
        .await
        .map_err(|error| PostgresError::Program {
            program,
            reason: error.to_string(),
        })
}

/// What a program said, on one line.
fn said(output: &std::process::Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}
