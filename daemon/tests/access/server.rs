//! A server of the user's own: roles by ops/postgresql/create-roles, SCRAM, TLS with an authority of the test's own.

use sqlx::postgres::PgConnectOptions;
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;
use trainmaster::config::{Seconds, Secret, Settings, SslMode};
use trainmaster_tests::postgres::Cluster;

/// Passwords alone, and nothing that is not encrypted from the network; the test itself by the socket.
const HBA: &str = "local all postgres trust\n\
    hostssl all all 127.0.0.1/32 scram-sha-256\n\
    host all all 127.0.0.1/32 reject\n";

pub struct Server {
    pub cluster: Cluster,
    pub port: u16,
    pub credentials: PathBuf,
    pub directory: TempDir,
}

impl Server {
    /// With roles, listening on TCP; `hba` decides who may come.
    pub fn start(hba: &str) -> Self {
        let cluster = Cluster::start();
        let directory = tempfile::tempdir().unwrap();
        let credentials = directory.path().join("credentials");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/postgresql/create-roles");
        let output = Command::new(script)
            .arg("--credentials")
            .arg(&credentials)
            .env("PGHOST", cluster.socket_directory())
            .env("PGUSER", "postgres")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let port = free_port();
        cluster.restart_with(
            &[
                "listen_addresses = '127.0.0.1'",
                &format!("port = {port}"),
                "log_connections = on",
                "log_statement = 'all'",
            ],
            &[("pg_hba.conf", hba.as_bytes())],
        );
        Self {
            cluster,
            port,
            credentials,
            directory,
        }
    }

    /// With TLS alone; None where there is no openssl to make certificates with.
    pub fn with_tls() -> Option<(Self, Authority)> {
        if Command::new("openssl").arg("version").output().is_err() {
            eprintln!("skipped: openssl is not installed (ops/setup-system --tests)");
            return None;
        }
        let server = Self::start(HBA);
        let authority = Authority::new(&server.directory.path().join("authority"));
        server.present(&authority.issue("localhost", 30));
        Some((server, authority))
    }

    /// Shows another certificate from now on.
    pub fn present(&self, certificate: &Certificate) {
        self.cluster.restart_with(
            &[
                "ssl = on",
                "ssl_cert_file = 'server.crt'",
                "ssl_key_file = 'server.key'",
            ],
            &[
                ("server.crt", &certificate.certificate),
                ("server.key", &certificate.key),
            ],
        );
    }

    /// How the daemon is set up: the app's user for its work, the owner for migrations, each with the file of its password.
    pub fn settings(&self, authority: &Authority) -> Settings {
        let mut settings = Settings::default();
        let database = &mut settings.database;
        let url = |user: &str| {
            Secret::new(format!(
                "postgres://{user}@localhost:{}/trainmaster",
                self.port
            ))
        };
        database.url = Some(url("trainmaster_app"));
        database.password_file = Some(self.credentials.join("database_password"));
        database.direct_url = Some(url("trainmaster_owner"));
        database.direct_password_file = Some(self.credentials.join("database_direct_password"));
        database.sslmode = Some(SslMode::VerifyFull);
        database.sslrootcert = Some(authority.certificate());
        database.connect_timeout_seconds = Seconds::new(0);
        database.acquire_timeout_seconds = Seconds::new(20);
        settings
    }

    /// As superuser, past all this.
    pub fn admin(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.cluster.socket_directory())
            .port(self.port)
            .username("postgres")
            .database("trainmaster")
    }

    /// The passwords that were made.
    pub fn passwords(&self) -> Vec<String> {
        [
            "database_password",
            "database_direct_password",
            "mistudio_password",
            "pic_password",
            "monitor_password",
        ]
        .iter()
        .map(|name| {
            fs::read_to_string(self.credentials.join(name))
                .unwrap()
                .trim()
                .to_owned()
        })
        .collect()
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A private authority.
pub struct Authority {
    directory: PathBuf,
}

pub struct Certificate {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Authority {
    pub fn new(directory: &Path) -> Self {
        fs::create_dir(directory).unwrap();
        let authority = Self {
            directory: directory.to_owned(),
        };
        authority.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
            "-days",
            "30",
            "-subj",
            "/CN=an authority of a test",
        ]);
        authority
    }

    pub fn certificate(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// A certificate for a host, for so many days from now.
    pub fn issue(&self, host: &str, days: i32) -> Certificate {
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
            "-subj",
            "/CN=a server of a test",
        ]);
        fs::write(
            self.directory.join("extensions"),
            format!("subjectAltName=DNS:{host}\nbasicConstraints=critical,CA:FALSE\n"),
        )
        .unwrap();
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            "server.crt",
            "-extfile",
            "extensions",
            "-days",
            &days.to_string(),
        ]);
        Certificate {
            certificate: fs::read(self.directory.join("server.crt")).unwrap(),
            key: fs::read(self.directory.join("server.key")).unwrap(),
        }
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(&self.directory)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
