//! The embedded Postgres lives through what happens to a machine. As root, these tests also show that the server runs as another user.
#![allow(clippy::unwrap_used, reason = "a test may")]

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{ConnectOptions, Connection, PgConnection};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use trainmaster::{
    config::{PostgresSettings, Seconds},
    postgres::{Account, Embedded, PostgresError, Stop},
    state_directory::{StateDirectory, StateDirectoryError},
};

/// A state directory that goes with the test, and with it whatever server is left on it.
struct Scratch {
    _root: TempDir,
    state: StateDirectory,
}

impl Scratch {
    fn new() -> Self {
        Self::below("state")
    }

    fn below(path: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let state = StateDirectory::prepare(&root.path().join(path)).unwrap();
        Self { _root: root, state }
    }

    async fn start(&self) -> Result<Embedded, PostgresError> {
        Embedded::start(&self.state, &settings()).await
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let file =
            fs::read_to_string(self.state.postgres().join("postmaster.pid")).unwrap_or_default();
        if let Some(pid) = file.lines().next().and_then(|line| line.parse().ok()) {
            let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            if cwd == self.state.postgres() {
                let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::QUIT);
            }
        }
    }
}

fn settings() -> PostgresSettings {
    PostgresSettings {
        start_timeout_seconds: Seconds::new(60),
        ..Default::default()
    }
}

async fn connect(embedded: &Embedded) -> PgConnection {
    embedded.options().connect().await.unwrap()
}

async fn stop(embedded: Embedded) {
    embedded
        .stop(Stop::Fast, &CancellationToken::new())
        .await
        .unwrap();
}

fn kill(pid: u32) {
    kill_process(
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(),
        Signal::KILL,
    )
    .unwrap();
}

async fn text(connection: &mut PgConnection, setting: &str) -> String {
    sqlx::query_scalar("SELECT current_setting($1)")
        .bind(setting)
        .fetch_one(connection)
        .await
        .unwrap()
}

fn pid_file(scratch: &Scratch) -> PathBuf {
    scratch.state.postgres().join("postmaster.pid")
}

/// The document's postgresql.conf for an edge device, value by value, and what the others ask for besides: vacuum, and statistics of statements.
#[tokio::test]
async fn its_settings_are_those_of_the_documents() {
    let scratch = Scratch::new();
    let embedded = scratch.start().await.unwrap();
    let mut connection = connect(&embedded).await;
    for (setting, value) in [
        ("shared_buffers", "512MB"),
        ("effective_cache_size", "1GB"),
        ("work_mem", "16MB"),
        ("maintenance_work_mem", "128MB"),
        ("max_connections", "50"),
        ("wal_buffers", "16MB"),
        ("checkpoint_completion_target", "0.9"),
        ("random_page_cost", "1.1"),
        ("effective_io_concurrency", "200"),
        ("log_min_duration_statement", "1s"),
        ("log_line_prefix", "%t [%p]: "),
        ("autovacuum", "on"),
        ("autovacuum_max_workers", "3"),
        ("autovacuum_naptime", "1min"),
        ("pg_stat_statements.track", "all"),
        ("pg_stat_statements.max", "10000"),
    ] {
        assert_eq!(text(&mut connection, setting).await, value, "{setting}");
    }
    // Where the library is installed it is loaded, so that the extension has something to tell.
    if text(&mut connection, "shared_preload_libraries").await == "pg_stat_statements" {
        sqlx::raw_sql(
            "CREATE EXTENSION pg_stat_statements; SELECT count(*) FROM pg_stat_statements",
        )
        .execute(&mut connection)
        .await
        .unwrap();
    }
    stop(embedded).await;
}

#[tokio::test]
async fn it_is_made_for_an_edge_device_and_reached_through_its_private_socket_alone() {
    let scratch = Scratch::new();
    let embedded = scratch.start().await.unwrap();
    let mut connection = connect(&embedded).await;
    for (setting, value) in [
        ("listen_addresses", ""),
        ("shared_buffers", "512MB"),
        ("max_connections", "50"),
        ("random_page_cost", "1.1"),
        ("data_checksums", "on"),
        ("log_timezone", "UTC"),
        ("server_encoding", "UTF8"),
        ("unix_socket_permissions", "0700"),
        ("password_encryption", "scram-sha-256"),
    ] {
        assert_eq!(text(&mut connection, setting).await, value, "{setting}");
    }
    let errors: Vec<String> =
        sqlx::query_scalar("SELECT error FROM pg_hba_file_rules WHERE error IS NOT NULL")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert_eq!(errors, Vec::<String>::new());
    let collation: String =
        sqlx::query_scalar("SELECT datcollate FROM pg_database WHERE datname = 'trainmaster'")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert!(
        ["C.UTF-8", "C"].contains(&collation.as_str()),
        "{collation}"
    );
    for path in [
        scratch.state.postgres(),
        scratch.state.path().join("run/postgres"),
    ] {
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700,
            "{}",
            path.display()
        );
    }
    stop(embedded).await;
    assert!(
        !pid_file(&scratch).exists(),
        "a stopped server leaves no pid file"
    );
}

#[tokio::test]
async fn an_application_logs_in_by_the_role_of_its_read_model() {
    let scratch = Scratch::new();
    let embedded = scratch.start().await.unwrap();
    for role in ["mistudio", "pic"] {
        let mut reader = embedded.options().username(role).connect().await.unwrap();
        let is_superuser: bool =
            sqlx::query_scalar("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
                .fetch_one(&mut reader)
                .await
                .unwrap();
        assert!(!is_superuser, "{role}");
        reader.close().await.unwrap();
    }
    // As an earlier release left it.
    let mut owner = connect(&embedded).await;
    sqlx::raw_sql("DROP ROLE pic; ALTER ROLE mistudio NOLOGIN")
        .execute(&mut owner)
        .await
        .unwrap();
    stop(embedded).await;
    let embedded = scratch.start().await.unwrap();
    let reader = embedded.options().username("pic").connect().await.unwrap();
    reader.close().await.unwrap();
    assert!(
        embedded
            .options()
            .username("mistudio")
            .connect()
            .await
            .is_err(),
        "a role that is there stays as it is"
    );
    stop(embedded).await;
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_stop_and_after_a_kill() {
    let scratch = Scratch::new();
    let embedded = scratch.start().await.unwrap();
    let mut connection = connect(&embedded).await;
    sqlx::query("CREATE TABLE kept (n int)")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query("INSERT INTO kept VALUES (1)")
        .execute(&mut connection)
        .await
        .unwrap();
    stop(embedded).await;

    let embedded = scratch.start().await.unwrap();
    let mut connection = connect(&embedded).await;
    sqlx::query("INSERT INTO kept VALUES (2)")
        .execute(&mut connection)
        .await
        .unwrap();
    kill(embedded.pid());
    drop(embedded);

    let embedded = scratch.start().await.unwrap();
    let mut connection = connect(&embedded).await;
    let kept: Vec<i32> = sqlx::query_scalar("SELECT n FROM kept ORDER BY n")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(kept, [1, 2]);
    stop(embedded).await;
}

#[tokio::test]
async fn a_server_that_dies_is_started_again() {
    let scratch = Scratch::new();
    let mut embedded = scratch.start().await.unwrap();
    let (first, options) = (embedded.pid(), embedded.options());
    let shutdown = CancellationToken::new();
    let watch = {
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            embedded.supervise(&shutdown).await;
            embedded
        })
    };
    kill(first);
    let answer = async {
        loop {
            if let Ok(mut connection) = options.connect().await
                && sqlx::query("SELECT 1")
                    .execute(&mut connection)
                    .await
                    .is_ok()
                && !Path::new(&format!("/proc/{first}/cwd")).exists()
            {
                return connection;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let connection = tokio::time::timeout(Duration::from_secs(60), answer)
        .await
        .expect("it never came back");
    connection.close().await.unwrap();
    shutdown.cancel();
    let embedded = watch.await.unwrap();
    assert_ne!(embedded.pid(), first);
    stop(embedded).await;
}

#[tokio::test]
async fn the_server_of_a_killed_daemon_is_adopted_and_can_be_stopped() {
    let scratch = Scratch::new();
    let first = scratch.start().await.unwrap();
    let pid = first.pid();
    // What a killed daemon leaves: the process, and nobody who waits for it.
    std::mem::forget(first);
    let adopted = scratch.start().await.unwrap();
    assert_eq!(adopted.pid(), pid);
    connect(&adopted).await.close().await.unwrap();
    stop(adopted).await;
    assert!(!pid_file(&scratch).exists());
}

#[tokio::test]
async fn a_pid_file_whose_number_belongs_to_another_process_now_is_no_obstacle() {
    let scratch = Scratch::new();
    let embedded = scratch.start().await.unwrap();
    let file = fs::read_to_string(pid_file(&scratch)).unwrap();
    stop(embedded).await;
    // A process of the server's own user: Postgres by itself would take it for the server.
    let mut other = std::process::Command::new("sleep");
    other.arg("600");
    let account = Account::of_server(None).unwrap();
    if account.other {
        std::os::unix::process::CommandExt::uid(&mut other, account.uid);
    }
    let mut other = other.spawn().unwrap();
    let rest = file.split_once('\n').unwrap().1;
    fs::write(pid_file(&scratch), format!("{}\n{rest}", other.id())).unwrap();

    let embedded = scratch.start().await;
    other.kill().unwrap();
    other.wait().unwrap();
    stop(embedded.unwrap()).await;
}

#[tokio::test]
async fn a_stop_that_is_hurried_is_immediate_and_loses_nothing() {
    let scratch = Scratch::new();
    let embedded = scratch.start().await.unwrap();
    let mut connection = connect(&embedded).await;
    sqlx::query("CREATE TABLE kept AS SELECT 7 AS n")
        .execute(&mut connection)
        .await
        .unwrap();
    let hurry = CancellationToken::new();
    hurry.cancel();
    embedded.stop(Stop::Fast, &hurry).await.unwrap();
    let embedded = scratch.start().await.unwrap();
    let kept: i32 = sqlx::query_scalar("SELECT n FROM kept")
        .fetch_one(&mut connect(&embedded).await)
        .await
        .unwrap();
    assert_eq!(kept, 7);
    stop(embedded).await;
}

#[tokio::test]
async fn a_state_directory_with_a_path_too_long_for_a_socket_gets_a_short_one() {
    let scratch = Scratch::below(&format!("{}/state", "long-".repeat(20)));
    let embedded = scratch.start().await.unwrap();
    let socket = embedded.options().get_socket().unwrap().clone();
    assert!(socket.as_os_str().len() < 90, "{}", socket.display());
    assert_eq!(
        fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o700
    );
    connect(&embedded).await.close().await.unwrap();
    stop(embedded).await;
    fs::remove_dir_all(socket).unwrap();
}

#[tokio::test]
async fn a_cluster_of_a_version_that_is_not_installed_is_left_alone_and_named() {
    let scratch = Scratch::new();
    stop(scratch.start().await.unwrap()).await;
    let version = scratch.state.postgres().join("PG_VERSION");
    fs::write(&version, "11\n").unwrap();
    let error = scratch.start().await.unwrap_err();
    assert!(
        matches!(error, PostgresError::OtherVersion { version: 11, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("postgresql-11"), "{error}");
}

#[tokio::test]
async fn something_else_in_the_place_of_the_cluster_is_left_alone() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.state.postgres()).unwrap();
    fs::write(scratch.state.postgres().join("letter.txt"), "dear diary").unwrap();
    let error = scratch.start().await.unwrap_err();
    assert!(
        matches!(error, PostgresError::NotACluster { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn an_interrupted_initdb_leaves_nothing_in_the_way() {
    let scratch = Scratch::new();
    let half_done = scratch.state.path().join("postgres.initdb");
    fs::create_dir(&half_done).unwrap();
    fs::write(half_done.join("PG_VERSION"), "15\n").unwrap();
    stop(scratch.start().await.unwrap()).await;
    assert!(!half_done.exists());
}

#[tokio::test]
async fn a_setting_that_the_server_refuses_is_repeated_in_the_error() {
    let scratch = Scratch::new();
    let extra = scratch.state.path().join("extra.conf");
    fs::write(&extra, "shared_buffers = 'plenty'\n").unwrap();
    let settings = PostgresSettings {
        extra_settings: Some(extra),
        ..settings()
    };
    let error = Embedded::start(&scratch.state, &settings)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("FATAL"), "{error}");
}

#[tokio::test]
async fn extra_settings_win_over_the_daemons() {
    let scratch = Scratch::new();
    let extra = scratch.state.path().join("extra.conf");
    fs::write(&extra, "work_mem = '5MB'\n").unwrap();
    let settings = PostgresSettings {
        extra_settings: Some(extra),
        ..settings()
    };
    let embedded = Embedded::start(&scratch.state, &settings).await.unwrap();
    assert_eq!(text(&mut connect(&embedded).await, "work_mem").await, "5MB");
    stop(embedded).await;
}

#[tokio::test]
async fn root_is_told_which_directory_keeps_the_servers_user_out() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: nobody else runs the server");
        return;
    }
    let scratch = Scratch::below("closed/state");
    let closed = scratch.state.path().parent().unwrap().to_owned();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let error = scratch.start().await.unwrap_err();
    assert!(
        matches!(&error, PostgresError::ClosedDirectory { directory, .. } if *directory == closed),
        "{error}"
    );
    assert!(error.to_string().contains("chmod o+x"), "{error}");
}

#[test]
fn a_state_directory_is_one_daemons() {
    let scratch = Scratch::new();
    let lock = scratch.state.lock().unwrap();
    let error = scratch.state.lock().unwrap_err();
    assert!(
        matches!(error, StateDirectoryError::Locked { .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains(&std::process::id().to_string()),
        "{error}"
    );
    drop(lock);
    let _again = scratch.state.lock().unwrap();
}
