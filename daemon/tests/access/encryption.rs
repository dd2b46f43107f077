//! Over the network: the right server by TLS, with a password from a file; anything else is refused with advice, and no password is seen.

use crate::server::{Authority, Server};
use sqlx::ConnectOptions;
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use trainmaster::{
    config::{Settings, SslMode},
    database::Database,
    migrate,
};

async fn refusal(settings: &Settings) -> String {
    match Database::connect(settings).await {
        Ok(_) => panic!("it connects"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn the_right_server_is_reached_by_tls_and_every_other_refused_with_advice() {
    let Some((server, authority)) = Server::with_tls() else {
        return;
    };
    let settings = server.settings(&authority);
    let database = Database::connect(&settings).await.unwrap();
    migrate::up(database.owner_pool()).await.unwrap();
    for (pool, user, role) in [
        (database.pool(), "trainmaster_app", "trainmaster_daemon"),
        (database.owner_pool(), "trainmaster_owner", "none"),
    ] {
        let found: (String, String) =
            sqlx::query_as("SELECT session_user::text, current_setting('role')")
                .fetch_one(pool)
                .await
                .unwrap();
        assert_eq!(found, (user.to_owned(), role.to_owned()));
    }
    let mut admin = server.admin().connect().await.unwrap();
    let (encrypted, connections): (bool, i64) = sqlx::query_as(
        "SELECT bool_and(s.ssl), count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.client_addr IS NOT NULL",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert!(encrypted && connections >= 2, "{encrypted} {connections}");
    database.close().await;

    // Somebody else's authority.
    let mut other = settings.clone();
    other.database.sslrootcert =
        Some(Authority::new(&server.directory.path().join("another")).certificate());
    let said = refusal(&other).await;
    assert!(said.contains("database.sslrootcert"), "{said}");

    // Nothing that is not encrypted.
    let mut plain = settings.clone();
    plain.database.sslmode = Some(SslMode::Disable);
    let said = refusal(&plain).await;
    assert!(
        said.contains("pg_hba.conf") && said.contains("database.sslmode"),
        "{said}"
    );

    // A wrong password, and none.
    let mut wrong = settings.clone();
    wrong.database.direct_password_file = Some(server.credentials.join("monitor_password"));
    let said = refusal(&wrong).await;
    assert!(
        said.contains("password authentication failed") && said.contains("database.password_file"),
        "{said}"
    );
    for password in server.passwords() {
        assert!(!said.contains(&password));
    }

    // A certificate for another host.
    server.present(&authority.issue("elsewhere.example", 30));
    let said = refusal(&settings).await;
    assert!(said.contains("for another host"), "{said}");

    // One that was good until yesterday.
    server.present(&authority.issue("localhost", -1));
    let said = refusal(&settings).await;
    assert!(
        said.contains("not valid now") && said.contains("clock"),
        "{said}"
    );

    // The right one again.
    server.present(&authority.issue("localhost", 30));
    Database::connect(&settings).await.unwrap();
}

/// Every file below a directory that holds one of these texts.
fn holding(directory: &Path, texts: &[String]) -> Vec<std::path::PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            found.extend(holding(&path, texts));
        } else if kind.is_file() {
            let content = fs::read(&path).unwrap_or_default();
            let holds = texts.iter().any(|text| {
                content
                    .windows(text.len())
                    .any(|window| window == text.as_bytes())
            });
            if holds {
                found.push(path);
            }
        }
    }
    found
}

fn command_lines() -> String {
    let mut all = String::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        if let Ok(line) = fs::read(entry.path().join("cmdline")) {
            all.push_str(&String::from_utf8_lossy(&line));
            all.push('\n');
        }
    }
    all
}

#[tokio::test]
async fn no_password_is_in_a_log_an_event_a_process_list_or_a_file_that_others_can_read() {
    let Some((server, authority)) = Server::with_tls() else {
        return;
    };
    let passwords = server.passwords();
    let state = server.directory.path().join("state");
    fs::create_dir(&state).unwrap();
    let run = |arguments: &[&str], password_file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainmaster"));
        command
            .args(arguments)
            .arg("--state-dir")
            .arg(&state)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("TRAINMASTER_LOG__LEVEL", "trace")
            .env("TRAINMASTER_RUNNER__PROGRAM", "/bin/false")
            .env(
                "TRAINMASTER_DATABASE__URL",
                format!(
                    "postgres://trainmaster_app@localhost:{}/trainmaster",
                    server.port
                ),
            )
            .env(
                "TRAINMASTER_DATABASE__PASSWORD_FILE",
                server.credentials.join("database_password"),
            )
            .env(
                "TRAINMASTER_DATABASE__DIRECT_URL",
                format!(
                    "postgres://trainmaster_owner@localhost:{}/trainmaster",
                    server.port
                ),
            )
            .env(
                "TRAINMASTER_DATABASE__DIRECT_PASSWORD_FILE",
                server.credentials.join(password_file),
            )
            .env("TRAINMASTER_DATABASE__SSLMODE", "verify-full")
            .env("TRAINMASTER_DATABASE__SSLROOTCERT", authority.certificate())
            .env("TRAINMASTER_DATABASE__CONNECT_TIMEOUT_SECONDS", "1")
            .stdin(Stdio::null());
        command
    };
    // What fails says why, and the password is in none of it.
    let mut said = String::new();
    for (arguments, file) in [
        (&["migrate", "up"][..], "database_direct_password"),
        (&["migrate", "up"], "monitor_password"),
        (
            &["doctor", "--database", "--json"],
            "database_direct_password",
        ),
        (&["doctor", "--database"], "monitor_password"),
        (&["config", "show"], "database_direct_password"),
    ] {
        let output = run(arguments, file).output().unwrap();
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    assert!(said.contains("password authentication failed"), "{said}");
    assert!(
        said.contains("monitoring.projections") || said.contains("monitoring.outbox"),
        "{said}"
    );

    let log = state.join("daemon.log");
    let file = fs::File::create(&log).unwrap();
    let mut daemon = run(&["serve"], "database_direct_password")
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let mut lines = String::new();
    while !fs::read_to_string(&log).unwrap().contains("after_ms") {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{}",
            fs::read_to_string(&log).unwrap()
        );
        lines.push_str(&command_lines());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lines.push_str(&command_lines());
    daemon.kill().unwrap();
    daemon.wait().unwrap();

    let dump = Command::new(server.cluster.programs().join("pg_dumpall"))
        .env("PGHOST", server.cluster.socket_directory())
        .env("PGPORT", server.port.to_string())
        .env("PGUSER", "postgres")
        .output()
        .unwrap();
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert!(dump.contains("SCRAM-SHA-256$4096:"), "{dump}");
    for password in &passwords {
        assert!(!said.contains(password.as_str()));
        assert!(lines.contains("trainmaster") && !lines.contains(password.as_str()));
        assert!(!dump.contains(password.as_str()));
        assert!(!server.cluster.log().contains(password.as_str()));
    }
    assert!(
        !server.cluster.log().contains("SCRAM-SHA-256$"),
        "verifiers are no business of the log"
    );
    assert_eq!(
        holding(&state, &passwords),
        Vec::<std::path::PathBuf>::new()
    );
    // The search finds what is there: the files of the passwords, closed to others.
    let kept = holding(server.directory.path(), &passwords);
    assert_eq!(kept.len(), 6, "{kept:?}");
    for path in kept {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            path.display()
        );
    }
}
