//! Through a real PgBouncer in transaction mode, with one way past it.

use crate::server::{Server, free_port};
use sqlx::Connection;
use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use trainmaster::{
    config::{PoolerMode, Secret, Settings, SslMode},
    database::Database,
    log::Log,
    migrate,
};

/// Passwords, on this machine.
const HBA: &str = "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

struct PgBouncer {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl PgBouncer {
    /// With the settings that are shipped, but for ports, paths and a pool that is smaller than the number of those who use it.
    fn start(server: &Server) -> Option<Self> {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]
            .iter()
            .find(|path| Path::new(path).exists());
        let Some(program) = program else {
            eprintln!("skipped: PgBouncer is not installed (ops/setup-system --tests)");
            return None;
        };
        let port = free_port();
        // As the server's account: it refuses root, and reads its list of users.
        let owner = fs::metadata(server.cluster.socket_directory()).unwrap();
        let (uid, gid) = {
            use std::os::unix::fs::MetadataExt;
            (owner.uid(), owner.gid())
        };
        let directory = server.cluster.socket_directory().join("pgbouncer");
        fs::create_dir(&directory).unwrap();
        let users = directory.join("userlist.txt");
        fs::copy(server.credentials.join("userlist.txt"), &users).unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/pgbouncer/pgbouncer.ini");
        let settings = fs::read_to_string(shipped)
            .unwrap()
            .replace("port=5432", &format!("port={}", server.port))
            .replace("listen_port = 6432", &format!("listen_port = {port}"))
            .replace("/etc/pgbouncer/userlist.txt", users.to_str().unwrap())
            .replace("default_pool_size = 20", "default_pool_size = 2")
            .replace("min_pool_size = 5", "min_pool_size = 0")
            .replace("reserve_pool_size = 5", "reserve_pool_size = 1")
            + "unix_socket_dir =\n";
        let path = directory.join("pgbouncer.ini");
        fs::write(&path, settings).unwrap();
        for path in [&directory, &users, &path] {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
        let log = server.directory.path().join("pgbouncer.log");
        let mut command = Command::new(program);
        command
            .arg(&path)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap());
        if fs::metadata("/proc/self").is_ok_and(|me| {
            use std::os::unix::fs::MetadataExt;
            me.uid() != uid
        }) {
            command.uid(uid).gid(gid);
        }
        let child = command.spawn().unwrap();
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{}",
                fs::read_to_string(&log).unwrap()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { child, port, log })
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn settings(server: &Server, bouncer: &PgBouncer) -> Settings {
    let mut settings = Settings::default();
    let database = &mut settings.database;
    let url = |user: &str, port: u16| {
        Secret::new(format!("postgres://{user}@127.0.0.1:{port}/trainmaster"))
    };
    database.url = Some(url("trainmaster_app", bouncer.port));
    database.password_file = Some(server.credentials.join("database_password"));
    database.pooler = Some(PoolerMode::Transaction);
    database.direct_url = Some(url("trainmaster_owner", server.port));
    database.direct_password_file = Some(server.credentials.join("database_direct_password"));
    database.sslmode = Some(SslMode::Disable);
    settings.state.directory = Some(server.directory.path().join("state"));
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_of_many_at_once_get_their_own_answers_though_connections_change_hands() {
    let server = Server::start(HBA);
    let Some(bouncer) = PgBouncer::start(&server) else {
        return;
    };
    let database = Database::connect(&settings(&server, &bouncer))
        .await
        .unwrap();
    migrate::up(database.owner_pool()).await.unwrap();
    let started = Instant::now();
    let tasks: Vec<_> = (0..5_i64)
        .map(|worker| {
            let pool = database.pool().clone();
            tokio::spawn(async move {
                for round in 0..100_i64 {
                    // Each worker's statement has another text and other types; one that is another's would not fit.
                    let answer = match worker {
                        0 => {
                            sqlx::query_scalar::<_, i64>("SELECT $1::bigint + 1")
                                .bind(round)
                                .fetch_one(&pool)
                                .await
                                .unwrap()
                                - 1
                        }
                        1 => sqlx::query_scalar::<_, String>("SELECT 'w' || $1::text")
                            .bind(round.to_string())
                            .fetch_one(&pool)
                            .await
                            .unwrap()
                            .trim_start_matches('w')
                            .parse()
                            .unwrap(),
                        2 => {
                            i64::from(
                                sqlx::query_scalar::<_, i32>("SELECT $1::int4 * 2")
                                    .bind(i32::try_from(round).unwrap())
                                    .fetch_one(&pool)
                                    .await
                                    .unwrap(),
                            ) / 2
                        }
                        3 => {
                            sqlx::query_as::<_, (bool, i64)>("SELECT $2::boolean, $1::bigint")
                                .bind(round)
                                .bind(true)
                                .fetch_one(&pool)
                                .await
                                .unwrap()
                                .1
                        }
                        _ => {
                            let mut transaction = pool.begin().await.unwrap();
                            let set: i64 = sqlx::query_scalar(
                                "SELECT set_config('my.round', $1, true)::bigint",
                            )
                            .bind(round.to_string())
                            .fetch_one(&mut *transaction)
                            .await
                            .unwrap();
                            transaction.commit().await.unwrap();
                            set
                        }
                    };
                    assert_eq!(answer, round, "worker {worker}");
                    // An error in between leaves the connection good.
                    if round % 25 == 0 {
                        assert!(
                            sqlx::query("SELECT 1 / $1::int4")
                                .bind(0_i32)
                                .execute(&pool)
                                .await
                                .is_err()
                        );
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    println!(
        "500 statements through PgBouncer in {:?}",
        started.elapsed()
    );

    // The daemon's rights and time-outs are the user's own; the pool changed nobody's.
    let (user, timeout): (String, String) =
        sqlx::query_as("SELECT current_user::text, current_setting('statement_timeout')")
            .fetch_one(database.pool())
            .await
            .unwrap();
    assert_eq!(
        (user.as_str(), timeout.as_str()),
        ("trainmaster_app", "1min")
    );
    let refused = sqlx::query("DELETE FROM log.events")
        .execute(database.pool())
        .await
        .unwrap_err();
    assert_eq!(
        refused.as_database_error().unwrap().code().as_deref(),
        Some("42501")
    );

    // The log's own statements: several in one function, parameters that are arrays.
    let log = Log::new(database.pool().clone());
    for number in 0..20 {
        log.execute::<trainmaster_domain::dataset::Dataset>(
            &format!("ds_{number}"),
            trainmaster_domain::dataset::DatasetCommand::RegisterLocal {
                registered: serde_json::from_value(serde_json::json!({
                    "name": "books", "source": "Local", "text_column": "text", "tokenizer_model_id": "m_1", "context_length": 256,
                }))
                .unwrap(),
                files: serde_json::from_value(serde_json::json!({ "file_path": "/srv/books", "size_bytes": 11 })).unwrap(),
            },
            trainmaster_domain::Metadata {
                command_id: format!("c{number}"),
                correlation_id: "test".to_owned(),
                actor: "test".to_owned(),
                ..Default::default()
            },
        )
        .await
        .unwrap();
    }

    // Through the pooler nobody is heard; past it, at once.
    let mut listener = database.listener().await.unwrap();
    listener.listen("news").await.unwrap();
    let mut waits = vec![];
    for _ in 0..20 {
        let sent = Instant::now();
        sqlx::query("SELECT pg_notify('news', $1)")
            .bind("hello")
            .execute(database.pool())
            .await
            .unwrap();
        tokio::time::timeout(Duration::from_secs(20), listener.recv())
            .await
            .unwrap()
            .unwrap();
        waits.push(sent.elapsed());
    }
    waits.sort();
    println!("notified after {:?} (median)", waits[10]);

    // No lock of a session is left on a connection that is the next one's.
    let mut admin = sqlx::PgConnection::connect_with(&server.admin())
        .await
        .unwrap();
    let locks: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
            .fetch_one(&mut admin)
            .await
            .unwrap();
    assert_eq!(locks, 0);
    let log = fs::read_to_string(&bouncer.log).unwrap();
    assert!(
        !log.contains("ERROR") && !log.contains("prepared statement"),
        "{log}"
    );
    database.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_does_its_line_through_the_pooler_without_an_error() {
    let server = Server::start(HBA);
    let Some(bouncer) = PgBouncer::start(&server) else {
        return;
    };
    let settings = settings(&server, &bouncer);
    let state = settings.state_directory();
    fs::create_dir(&state).unwrap();
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainmaster"));
        command
            .arg("--state-dir")
            .arg(&state)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("TRAINMASTER_RUNNER__PROGRAM", "/bin/false")
            // Whatever happens within seconds was not polled for.
            .env("TRAINMASTER_DISPATCH__POLL_INTERVAL_SECONDS", "3600")
            .env(
                "TRAINMASTER_DATABASE__URL",
                settings.database.url.as_ref().unwrap().expose(),
            )
            .env("TRAINMASTER_DATABASE__POOLER", "transaction")
            .env(
                "TRAINMASTER_DATABASE__DIRECT_URL",
                settings.database.direct_url.as_ref().unwrap().expose(),
            )
            // Both passwords by libpq's file.
            .env("PGPASSFILE", server.credentials.join("pgpass"))
            .stdin(Stdio::null());
        command
    };
    let log = state.join("daemon.log");
    let file = fs::File::create(&log).unwrap();
    let mut daemon = command()
        .arg("serve")
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let said = || fs::read_to_string(&log).unwrap();
    while !said().contains("after_ms") {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let text = server.directory.path().join("text.txt");
    fs::write(&text, "It is a truth universally acknowledged.").unwrap();
    let output = command()
        .args([
            "--json",
            "dataset",
            "add",
            text.to_str().unwrap(),
            "--tokenizer",
            "m_none",
        ])
        .output()
        .unwrap();
    // What it refuses, it refuses by reading through the pooler.
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("m_none")
            || String::from_utf8_lossy(&output.stdout).contains("m_none"),
        "{output:?}"
    );
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trainer/tests/tiny-llama");
    let output = command()
        .args([
            "--json",
            "model",
            "add",
            model.to_str().unwrap(),
            "--name",
            "tiny",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}\n{}", said());

    // Queued, woken by LISTEN, taken from the queue and claimed; and in the read model.
    let mut admin = sqlx::PgConnection::connect_with(&server.admin())
        .await
        .unwrap();
    let registered = Instant::now();
    loop {
        let (claimed, projected): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM log.events WHERE type = 'ModelClaimed'), (SELECT count(*) FROM mistudio.models)",
        )
        .fetch_one(&mut admin)
        .await
        .unwrap();
        if claimed > 0 && projected > 0 {
            break;
        }
        assert!(
            registered.elapsed() < Duration::from_secs(30),
            "{claimed} claimed, {projected} projected: {}",
            said()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "claimed and projected {:?} after the answer",
        registered.elapsed()
    );
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    for wrong in ["prepared statement", "bind message", "26000", "protocol"] {
        assert!(!said().contains(wrong), "{wrong}: {}", said());
    }
}
