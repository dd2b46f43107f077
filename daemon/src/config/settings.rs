//! Every setting, with its default for a small machine.

use super::{
    ClusterTable, Field, Seconds, Secret,
    field::section,
    kind::{Kind, quoted},
};
use crate::state_directory::socket_directory;
use serde::Deserialize;
use std::{
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

section! {
    /// Where the daemon keeps what is its own.
    [state] StateSettings {
        /// The directory of the embedded Postgres, the runs, the tokenised datasets and the socket. Unset: $STATE_DIRECTORY
        /// (systemd sets it), else /var/lib/trainmaster for root, else $XDG_STATE_HOME/trainmaster or
        /// ~/.local/state/trainmaster.
        directory: Option<PathBuf> = None;
    }
}

section! {
    /// The Postgres that holds the log, the queue and the read models.
    [database] DatabaseSettings {
        /// postgres://user@host:5432/database?sslmode=verify-full of a server of your own. Unset: the daemon runs an embedded
        /// Postgres of its own under the state directory (see [postgres]). Where it is unset, $DB_HOST, $DB_PORT, $DB_NAME, $DB_USER and
        /// $DB_PASSWORD say it as well, once $DB_HOST or $DB_NAME is set.
        url: Option<Secret> = None;
        /// The password for `url`. Better in a file of its own (`password_file`), a systemd credential called database_password, or
        /// ~/.pgpass ($PGPASSFILE).
        password: Option<Secret> = None;
        /// A file that holds the password for `url` and nothing else. Refused when anybody but its owner may read it.
        password_file: Option<PathBuf> = None;
        /// The same database for the user who owns it, reached without a pooler: migrations, rebuilds, and listening for notifications.
        /// Then `url` may be that of a user with the daemon's rights alone. Unset: `url`.
        direct_url: Option<Secret> = None;
        /// A file with the password for `direct_url`; else the systemd credential database_direct_password, else ~/.pgpass.
        direct_password_file: Option<PathBuf> = None;
        /// "transaction" when `url` leads to a pooler on this machine that lends connections for a transaction each (PgBouncer with
        /// pool_mode = transaction); it needs `direct_url`, and a user in `url` who has the daemon's rights by itself.
        pooler: Option<PoolerMode> = None;
        /// How the connection is secured, as libpq's sslmode. Unset: what the URL says, else prefer.
        sslmode: Option<SslMode> = None;
        /// A file with the certificates of the authorities to trust. Unset: what the URL says, else the public authorities.
        sslrootcert: Option<PathBuf> = None;
        /// The role that the daemon works as (SET ROLE), when it exists and the connecting user is a member of it. The connecting user
        /// itself migrates the database.
        role: String = "trainmaster_daemon".to_owned();
        /// Connections of the pool at most. A listener and the migrations use up to 3 more. Also $DB_MAX_CONNECTIONS.
        max_connections: u32 = 5;
        /// How long a caller waits for a connection. Also $DB_CONNECTION_TIMEOUT.
        acquire_timeout_seconds: Seconds = Seconds::new(30);
        /// An idle connection is closed after this time. Also $DB_STALE_TIMEOUT.
        idle_timeout_seconds: Seconds = Seconds::new(300);
        /// A connection is replaced after this time, idle or not.
        max_lifetime_seconds: Seconds = Seconds::new(1800);
        /// Whether a connection is tried before each use, so that a restarted server is noticed.
        pre_ping: bool = true;
        /// A statement of the daemon is cancelled after this time; 0: never. Migrations and rebuilds are exempt.
        statement_timeout_seconds: Seconds = Seconds::new(60);
        /// How long the daemon waits at its start for a database that cannot be reached yet. Also $DB_CONNECTION_TIMEOUT.
        connect_timeout_seconds: Seconds = Seconds::new(30);
    }
}

section! {
    /// The embedded Postgres, used when database.url is unset.
    [postgres] PostgresSettings {
        /// The directory with initdb, postgres and pg_ctl (or one whose bin/ holds them). Unset: the newest of
        /// /usr/lib/postgresql/*/bin, pg_config --bindir and $PATH; an existing cluster decides the version.
        binaries: Option<PathBuf> = None;
        /// The user that the server runs as when the daemon runs as root (Postgres refuses root). Unset: trainmaster, else postgres,
        /// else nobody, whichever exists. Ignored when the daemon does not run as root.
        user: Option<String> = None;
        /// A file of settings that is read after the daemon's own (512 MB of shared buffers and the like); what it says wins.
        extra_settings: Option<PathBuf> = None;
        /// A directory into which the server's write-ahead log is kept, compressed, so that `trainmaster restore --to` can go back to any
        /// moment since the oldest physical backup; best on another disk. It takes effect when the server starts. Unset: none is kept.
        wal_archive: Option<PathBuf> = None;
        /// While something is written, the log is kept at least this often: what is lost with the disk is no older.
        wal_archive_interval_seconds: Seconds = Seconds::new(300);
        /// How long the server may take to start, crash recovery included.
        start_timeout_seconds: Seconds = Seconds::new(300);
        /// How long the server may take to stop before it is ended at once.
        stop_timeout_seconds: Seconds = Seconds::new(20);
    }
}

section! {
    /// The HTTP interface.
    [http] HttpSettings {
        /// The Unix socket that the command line uses. Unset: run/trainmaster.sock in the state directory.
        socket: Option<PathBuf> = None;
        /// Whether the socket's group may use it as well as the daemon's user (mode 0660 instead of 0600).
        socket_for_group: bool = false;
        /// A loopback address to listen on as well, such as "127.0.0.1:7423"; it needs a token. Unset: the socket alone.
        listen: Option<SocketAddr> = None;
        /// The bearer token that requests over TCP must carry, at least 16 characters.
        token: Option<Secret> = None;
        /// A request body may have this many bytes.
        max_body_bytes: u64 = 256 * 1024;
        /// A request is answered with a time-out after this time.
        request_timeout_seconds: Seconds = Seconds::new(30);
    }
}

section! {
    /// How trainings are run on this machine.
    [runner] RunnerSettings {
        /// The trainer program. Unset: trainmaster-trainer beside this program, else in $PATH.
        program: Option<PathBuf> = None;
        /// The name under which this machine's runs are known; a daemon of another name cannot end them, only supersede them. Unset: the
        /// host name.
        host: Option<String> = None;
        /// The device that runs use: cpu, cuda:0 and so on, or auto (the first CUDA device when there is one).
        device: String = "auto".to_owned();
        /// Runs at once on the device.
        concurrency: u32 = 1;
        /// Threads of a run. Unset: as many as the machine has processors.
        cpu_threads: Option<u32> = None;
        /// How nice a run is to the rest of the machine, 0 to 19.
        nice: i32 = 5;
        /// A run may have this many bytes of memory. Unset: no limit.
        memory_limit_bytes: Option<u64> = None;
        /// How often a run shows that it is alive.
        heartbeat_interval_seconds: Seconds = Seconds::new(1);
        /// A run that was not heard of for this time is taken for dead.
        heartbeat_timeout_seconds: Seconds = Seconds::new(30);
        /// A run that is alive but got nowhere for this time is taken for hung.
        progress_timeout_seconds: Seconds = Seconds::new(600);
        /// A run that was asked to pause or stop and has not after this time is ended; it goes on later from its last checkpoint.
        pause_deadline_seconds: Seconds = Seconds::new(120);
        /// A run that ends this often in a row without getting further is given up.
        max_crashes: u32 = 5;
        /// The wait before the second attempt; it doubles with each further one.
        retry_delay_seconds: Seconds = Seconds::new(1);
        /// The longest wait before an attempt.
        retry_delay_max_seconds: Seconds = Seconds::new(300);
    }
}

section! {
    /// SLURM clusters, to which runs can be sent. A cluster is a table [slurm.clusters.<name>] with, all of them optional: conf (its
    /// slurm.conf), cluster (its name in an accounting database that several share), programs (the directory of sbatch and the others),
    /// trainer (the trainer's path on its nodes), completion_file (where its controller writes down jobs that ended), and what jobs ask for
    /// where a request leaves it open: partition, account, qos, cpus, memory_mib, gpus, time_limit_minutes, array_limit. Without any table,
    /// but with sbatch in $PATH or $SLURM_CONF, there is one cluster called default. The state directory must be on a file system that
    /// the nodes share.
    [slurm] SlurmSettings {
        /// How often a cluster is asked about all jobs at once, while there are any. Also $SLURM_POLL_INTERVAL.
        poll_interval_seconds: Seconds = Seconds::new(30);
        /// How often the journal and the heartbeat of a running job are looked at.
        look_interval_seconds: Seconds = Seconds::new(5);
        /// A running job whose heartbeat has not been seen for this time is taken for dead. Shared file systems show it late.
        heartbeat_timeout_seconds: Seconds = Seconds::new(180);
        /// A job is told so long before its time limit, to write a checkpoint and ask for another turn; SLURM may tell it up to a minute earlier.
        /// Of a short limit, a third at most. 0 to 65535.
        signal_before_end_seconds: u32 = 120;
        /// A job that has been put back into the queue waits on its node this long for the daemon to hand it the run again.
        handover_timeout_seconds: Seconds = Seconds::new(600);
        /// A program of SLURM may take this long.
        call_timeout_seconds: Seconds = Seconds::new(60);
        /// Jobs in the queue of a cluster at once, at most; what is queued beyond that waits here.
        most_jobs: u32 = 1000;
        /// The script that trainings are submitted as (ops/slurm/ has examples). Unset: a plain one. Also $TRAINING_TEMPLATE_PATH.
        training_template: Option<PathBuf> = None;
        /// The same for predictions and other uses of what was trained. Also $INFERENCE_TEMPLATE_PATH.
        inference_template: Option<PathBuf> = None;
        /// The directory that the networks of segmentation trainings come to be in, each in a directory called by the training's id, wherever
        /// they are trained. Unset: in the run's directory. Also $MODELS_BASE_PATH.
        models_base_path: Option<PathBuf> = None;
        /// The clusters, each in a table of its own; see above.
        clusters: ClusterTable = ClusterTable::default();
    }
}

section! {
    /// What trainings may use.
    [training] TrainingSettings {
        /// The activations that trainings with cacheActivations keep on disk for one another, in the state directory, have together at
        /// most this many bytes; 0: none are kept.
        activation_cache_bytes: u64 = 4 << 30;
    }
}

section! {
    /// How features are found.
    [extraction] ExtractionSettings {
        /// A directory with a sentence encoder (BERT family, such as all-MiniLM-L6-v2: config.json, tokenizer.json, model.safetensors) that
        /// tells whether the examples of a feature are about the same. Unset: what the studied model makes of them.
        sentence_encoder: Option<PathBuf> = None;
    }
}

section! {
    /// How what is to be done gets from the log to a runner.
    [dispatch] DispatchSettings {
        /// How often the database is asked whether there is anything new that nobody has told of, while something goes on.
        poll_interval_seconds: Seconds = Seconds::new(5);
        /// The same while nothing goes on: one query, and the only one then. It also shows that the database answers.
        heartbeat_interval_seconds: Seconds = Seconds::new(30);
        /// How often queued and running work is compared with what is really there, while there is any.
        reconcile_interval_seconds: Seconds = Seconds::new(30);
    }
}

section! {
    /// How events get into the tables that applications read.
    [projector] ProjectorSettings {
        /// The longest pause between looks at the log for what is appended already and not visible yet.
        poll_interval_seconds: Seconds = Seconds::new(5);
        /// Events of one transaction at most.
        batch_size: u32 = 1000;
    }
}

section! {
    /// What is let go when it has grown old, as events.
    [retention] RetentionSettings {
        /// Whether that happens by itself. `trainmaster retention run` does it at any time.
        enabled: bool = true;
        /// How often it happens.
        interval_hours: u32 = 24;
        /// Recorded steps of trainings that have ended are kept this many days.
        metrics_days: u32 = 90;
        /// This many examples of a feature are kept, the strongest.
        activations_top: u32 = 100;
        /// Examples with a weaker activation are not kept.
        activations_minimum: f64 = 0.1;
        /// This many checkpoints of a training are kept, the newest, and the one with the lowest loss.
        checkpoints_last: u32 = 5;
        /// Checkpoints of trainings that have ended are kept this many months, but for the one that another attempt would go on from.
        checkpoints_months: u32 = 6;
    }
}

section! {
    /// Backups: `trainmaster backup` and `trainmaster restore`, and the timers that run them.
    [backup] BackupSettings {
        /// Where they are; best on another disk. Unset: backups in the state directory.
        directory: Option<PathBuf> = None;
        /// How hard a logical backup is compressed, 0 to 9.
        compression: u32 = 9;
        /// Whether the files of runs, datasets and models are kept as well. Where the backups are on the state directory's file system,
        /// a kept file takes no room until the original goes.
        with_artifacts: bool = false;
        /// Logical backups are kept this many days; the newest always.
        logical_days: u32 = 30;
        /// The write-ahead log reaches back at least this many days, and physical backups are kept as that takes; the newest always.
        wal_days: u32 = 7;
    }
}

section! {
    /// Old events in compressed files instead of the database. They are read as before; a backup needs these files beside the database's.
    [archive] ArchiveSettings {
        /// Events older than this many days leave the database for the archive; 0: none do by themselves. `trainmaster log archive`
        /// does it at any time.
        after_days: u32 = 0;
        /// The directory of the files. Unset: archive in the state directory. If it moves, move the files along.
        directory: Option<PathBuf> = None;
        /// Events leave in segments: when the newest one has so many events, the next begins.
        segment_events: u32 = 250_000;
        /// It also begins after this many days.
        segment_days: u32 = 7;
    }
}

section! {
    /// How far the log had got, signed, for others to take away: with such a file, `trainmaster log verify --head` finds what a log
    /// that was truncated or set back cannot tell by itself.
    [heads] HeadSettings {
        /// Where the files go; best where the daemon's user cannot remove them later, such as a directory that is copied away. Unset: heads/ in
        /// the state directory.
        directory: Option<PathBuf> = None;
        /// How often a file is written while there is something new; 0: never.
        interval_minutes: u32 = 60;
        /// This many files stay, the newest.
        keep: u32 = 200;
    }
}

section! {
    /// What the daemon writes to standard error. Traces and metrics follow the OTEL_* variables of OpenTelemetry instead.
    [log] LogSettings {
        /// error, warn, info, debug or trace, or directives such as "info,trainmaster::dispatch=debug". Also $LOG_LEVEL.
        level: String = "info".to_owned();
        /// text or json. Also $LOG_FORMAT.
        format: LogFormat = LogFormat::Text;
    }
}

section! {
    /// How the daemon ends.
    [shutdown] ShutdownSettings {
        /// After the first signal, the daemon may take this long to finish and hand over; a second signal ends it at once. Runs go on.
        limit_seconds: Seconds = Seconds::new(20);
    }
}

/// All settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `[state]`
    pub state: StateSettings,
    /// `[database]`
    pub database: DatabaseSettings,
    /// `[postgres]`
    pub postgres: PostgresSettings,
    /// `[http]`
    pub http: HttpSettings,
    /// `[runner]`
    pub runner: RunnerSettings,
    /// `[slurm]`
    pub slurm: SlurmSettings,
    /// `[training]`
    pub training: TrainingSettings,
    /// `[extraction]`
    pub extraction: ExtractionSettings,
    /// `[dispatch]`
    pub dispatch: DispatchSettings,
    /// `[projector]`
    pub projector: ProjectorSettings,
    /// `[retention]`
    pub retention: RetentionSettings,
    /// `[backup]`
    pub backup: BackupSettings,
    /// `[archive]`
    pub archive: ArchiveSettings,
    /// `[heads]`
    pub heads: HeadSettings,
    /// `[log]`
    pub log: LogSettings,
    /// `[shutdown]`
    pub shutdown: ShutdownSettings,
}

/// A section's name, what it is about, and its settings.
pub(crate) type Section = (&'static str, &'static [&'static str], &'static [Field]);

impl Settings {
    /// The sections in the order of the example file.
    pub(crate) const SECTIONS: &'static [Section] = &[
        ("state", StateSettings::ABOUT, StateSettings::FIELDS),
        (
            "database",
            DatabaseSettings::ABOUT,
            DatabaseSettings::FIELDS,
        ),
        (
            "postgres",
            PostgresSettings::ABOUT,
            PostgresSettings::FIELDS,
        ),
        ("http", HttpSettings::ABOUT, HttpSettings::FIELDS),
        ("runner", RunnerSettings::ABOUT, RunnerSettings::FIELDS),
        ("slurm", SlurmSettings::ABOUT, SlurmSettings::FIELDS),
        (
            "training",
            TrainingSettings::ABOUT,
            TrainingSettings::FIELDS,
        ),
        (
            "extraction",
            ExtractionSettings::ABOUT,
            ExtractionSettings::FIELDS,
        ),
        (
            "dispatch",
            DispatchSettings::ABOUT,
            DispatchSettings::FIELDS,
        ),
        (
            "projector",
            ProjectorSettings::ABOUT,
            ProjectorSettings::FIELDS,
        ),
        (
            "retention",
            RetentionSettings::ABOUT,
            RetentionSettings::FIELDS,
        ),
        ("backup", BackupSettings::ABOUT, BackupSettings::FIELDS),
        ("archive", ArchiveSettings::ABOUT, ArchiveSettings::FIELDS),
        ("heads", HeadSettings::ABOUT, HeadSettings::FIELDS),
        ("log", LogSettings::ABOUT, LogSettings::FIELDS),
        (
            "shutdown",
            ShutdownSettings::ABOUT,
            ShutdownSettings::FIELDS,
        ),
    ];

    /// Every setting.
    pub fn fields() -> impl Iterator<Item = &'static Field> {
        Self::SECTIONS
            .iter()
            .flat_map(|(_, _, fields)| fields.iter())
    }

    /// Every setting with its value as TOML, none for what is not set. Secrets are redacted.
    #[must_use]
    pub fn shown(&self) -> Vec<(&'static str, Option<String>)> {
        [
            self.state.shown(),
            self.database.shown(),
            self.postgres.shown(),
            self.http.shown(),
            self.runner.shown(),
            self.slurm.shown(),
            self.training.shown(),
            self.extraction.shown(),
            self.dispatch.shown(),
            self.projector.shown(),
            self.retention.shown(),
            self.backup.shown(),
            self.archive.shown(),
            self.heads.shown(),
            self.log.shown(),
            self.shutdown.shown(),
        ]
        .concat()
    }

    /// The state directory (see `state.directory`).
    #[must_use]
    pub fn state_directory(&self) -> PathBuf {
        let variable = |name| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        self.state
            .directory
            .clone()
            .or_else(|| variable("STATE_DIRECTORY"))
            .or_else(|| {
                rustix::process::geteuid()
                    .is_root()
                    .then(|| PathBuf::from("/var/lib/trainmaster"))
            })
            .or_else(|| variable("XDG_STATE_HOME").map(|home| home.join("trainmaster")))
            .or_else(|| variable("HOME").map(|home| home.join(".local/state/trainmaster")))
            .unwrap_or_else(|| Path::new("/var/lib/trainmaster").to_owned())
    }

    /// Where backups are (see `backup.directory`).
    #[must_use]
    pub fn backup_directory(&self) -> PathBuf {
        self.backup
            .directory
            .clone()
            .unwrap_or_else(|| self.state_directory().join("backups"))
    }

    /// The directory of the log's archived segments.
    #[must_use]
    pub fn archive_directory(&self) -> PathBuf {
        match &self.archive.directory {
            Some(directory) => directory.clone(),
            None => self.state_directory().join("archive"),
        }
    }

    /// The Unix socket of the HTTP interface (see `http.socket`). When the state directory's path is too long for a socket, it is in a short
    /// directory of the state directory's owner.
    #[must_use]
    pub fn http_socket(&self) -> PathBuf {
        const NAME: &str = "trainmaster.sock";
        if let Some(socket) = &self.http.socket {
            return socket.clone();
        }
        let state = self.state_directory();
        let state = std::fs::canonicalize(&state).unwrap_or(state);
        let owner = std::fs::metadata(&state).map_or_else(
            |_| rustix::process::geteuid().as_raw(),
            |metadata| metadata.uid(),
        );
        socket_directory(&state.join("run"), NAME, owner).join(NAME)
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[serde(alias = "standard")]
    Text,
    /// One JSON object a line.
    Json,
}

impl Kind for LogFormat {
    const EXPECTED: &'static str = "\"text\" or \"json\"";
    const TEXT: bool = true;
    fn shown(&self) -> Option<String> {
        Some(quoted(match self {
            Self::Text => "text",
            Self::Json => "json",
        }))
    }
}

/// What stands between the daemon and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolerMode {
    /// A pooler that lends a connection for one transaction at a time.
    Transaction,
}

impl Kind for PoolerMode {
    const EXPECTED: &'static str = "\"transaction\"";
    const TEXT: bool = true;
    fn shown(&self) -> Option<String> {
        Some(quoted("transaction"))
    }
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS when the server insists.
    Allow,
    /// TLS when the server offers it.
    Prefer,
    /// TLS, whoever answers.
    Require,
    /// TLS, and the certificate is of an authority that is trusted.
    VerifyCa,
    /// TLS, and the certificate is the host's.
    VerifyFull,
}

impl SslMode {
    /// As libpq and URLs write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl Kind for SslMode {
    const EXPECTED: &'static str =
        "\"disable\", \"allow\", \"prefer\", \"require\", \"verify-ca\" or \"verify-full\"";
    const TEXT: bool = true;
    fn shown(&self) -> Option<String> {
        Some(quoted(self.as_str()))
    }
}
