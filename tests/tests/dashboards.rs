//! Dashboards and alert rules against what a daemon really exports: each of their queries is run, in a store that takes OTLP and answers
//! PromQL.
#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use trainmaster_tests::lab::{Lab, Steps};

/// Metrics that a daemon of this test has no reason to export, and why.
const NOT_HERE: &[(&str, &str)] = &[
    (
        "trainmaster_backup_last_seconds",
        "there is no backup of this lab",
    ),
    (
        "trainmaster_projection_differences",
        "nobody compared the read model with a rebuild",
    ),
    (
        "trainmaster_reports_refused_total",
        "no lease was superseded",
    ),
];
/// Queries that may be empty although their metrics are there, and why.
const MAY_BE_EMPTY: &[(&str, &str)] = &[
    (
        "time() - (trainmaster_wal_archive_success_seconds > 0)",
        "this lab's write-ahead log is not archived",
    ),
    (
        "time() - (trainmaster_wal_archive_failure_seconds > 0)",
        "this lab's write-ahead log is not archived",
    ),
];
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn every_query_of_the_dashboards_and_alerts_finds_its_metrics() {
    let Some(programs) = programs() else { return };
    let store = Store::start(&programs);
    let mut lab = Lab::new().await;
    let endpoint = format!("http://{}/opentelemetry", store.address);
    lab.set_environment("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    lab.set_environment("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    lab.set_environment("OTEL_TRACES_EXPORTER", "none");
    lab.set_environment("OTEL_METRIC_EXPORT_INTERVAL", "1000");
    // So that it is the queue that hands over, and not reconciliation.
    lab.set("DISPATCH__RECONCILE_INTERVAL_SECONDS", "60");
    let _daemon = lab.start();
    let furniture = lab.furnish().await;
    let steps = Steps {
        total: 20,
        checkpoint_every: 10,
        batch: 64,
    };
    let id = lab.train(&furniture, steps);
    lab.wait_for_status("trainings", &id, &["completed"]).await;
    lab.cli(&["log", "verify"]);

    let panels = panel_queries();
    let alerts = alert_queries();
    let wanted: BTreeSet<String> = panels
        .iter()
        .chain(&alerts)
        .flat_map(|query| metrics_of(query))
        .filter(|name| NOT_HERE.iter().all(|(other, _)| name != other))
        .collect();
    let begun = Instant::now();
    loop {
        let known = store.metrics();
        let missing: Vec<_> = wanted.difference(&known).collect();
        if missing.is_empty() {
            break;
        }
        assert!(
            begun.elapsed() < LIMIT,
            "the daemon does not export {missing:?}; it exports {known:?}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // A rate takes two samples, and something that happens between them.
    let id = lab.train(&furniture, steps);
    lab.wait_for_status("trainings", &id, &["completed"]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    for query in &panels {
        let is_empty = store.ask(query).is_empty();
        let absent = metrics_of(query)
            .iter()
            .any(|name| NOT_HERE.iter().any(|(other, _)| name == other));
        let may_be_empty = MAY_BE_EMPTY.iter().any(|(other, _)| query == other);
        assert!(
            !is_empty || absent || may_be_empty,
            "a panel shows nothing: {query}; of its metrics there is {:?}",
            metrics_of(query)
                .iter()
                .map(|name| store.ask(&format!("{name}[10m]")))
                .collect::<Vec<_>>()
        );
    }
    for query in &alerts {
        let firing = store.ask(query);
        // How full the disk is that the tests run on is not theirs to say.
        let is_ours = !query.contains("trainmaster_disk_free_bytes");
        assert!(
            firing.is_empty() || !is_ours,
            "an alert without a reason: {query}: {firing:?}"
        );
    }
}

#[test]
fn every_alert_fires_where_it_should_and_is_silent_where_all_is_well() {
    let Some(programs) = programs() else { return };
    for arguments in [
        ["check", "rules", "trainmaster.rules.yaml"],
        ["test", "rules", "trainmaster.rules.test.yaml"],
    ] {
        let output = Command::new(programs.join("promtool"))
            .args(arguments)
            .current_dir(ops().join("alerts"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let rules = fs::read_to_string(ops().join("alerts/trainmaster.rules.yaml")).unwrap();
    let tests = fs::read_to_string(ops().join("alerts/trainmaster.rules.test.yaml")).unwrap();
    for alert in rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        for what in ["fires", "is silent"] {
            let test = format!("name: {alert} {what}\n");
            assert!(tests.contains(&test), "no test whether {alert} {what}");
        }
    }
}

/// What ops/setup-monitoring fetches; a machine without it skips.
fn programs() -> Option<PathBuf> {
    let programs = std::env::var_os("TRAINMASTER_MONITORING").map(PathBuf::from);
    if programs.is_none() {
        eprintln!("skipped: set TRAINMASTER_MONITORING to what ops/setup-monitoring prints");
    }
    programs
}

fn ops() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops")
}

/// The queries of all panels, as Grafana would send them.
fn panel_queries() -> Vec<String> {
    let mut queries = Vec::new();
    for entry in fs::read_dir(ops().join("grafana")).unwrap().flatten() {
        let board: Value = serde_json::from_slice(&fs::read(entry.path()).unwrap()).unwrap();
        let panels = board["panels"].as_array().unwrap();
        assert!(!panels.is_empty(), "{}", entry.path().display());
        for panel in panels {
            for target in panel["targets"].as_array().unwrap() {
                let query = target["expr"].as_str().unwrap();
                let query = query
                    .replace("$__rate_interval", "1m")
                    .replace("$training", ".*");
                assert!(!query.contains('$'), "an unknown variable: {query}");
                queries.push(query);
            }
        }
    }
    queries
}

/// The expressions of all alerts: each is on a line of its own.
fn alert_queries() -> Vec<String> {
    let rules = fs::read_to_string(ops().join("alerts/trainmaster.rules.yaml")).unwrap();
    let found = |key: &str| {
        rules
            .lines()
            .filter_map(|line| line.trim().strip_prefix(key))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let expressions = found("expr: ");
    assert_eq!(expressions.len(), found("- alert: ").len());
    expressions
}

/// The metrics that a query reads.
fn metrics_of(query: &str) -> Vec<String> {
    query
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("trainmaster_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

/// VictoriaMetrics with a directory of its own; gone when dropped.
struct Store {
    process: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Store {
    fn start(programs: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Free at this moment; nothing else here takes ports at random.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let address = format!("127.0.0.1:{port}");
        let process = Command::new(programs.join("victoria-metrics"))
            .arg(format!("-storageDataPath={}", directory.path().display()))
            .arg(format!("-httpListenAddr={address}"))
            .args([
                "-opentelemetry.usePrometheusNaming",
                "-search.latencyOffset=0s",
                "-memory.allowedBytes=64MB",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(begun.elapsed() < LIMIT, "VictoriaMetrics does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            process,
            address,
            _directory: directory,
        }
    }

    /// The names of all metrics.
    fn metrics(&self) -> BTreeSet<String> {
        let names = self.get("/api/v1/label/__name__/values", &[]);
        let names = names["data"].as_array().unwrap();
        names
            .iter()
            .map(|name| {
                name.as_str()
                    .unwrap()
                    .trim_end_matches("_bucket")
                    .to_owned()
            })
            .flat_map(|name| [format!("{name}_bucket"), name])
            .collect()
    }

    /// The series that a query finds now.
    fn ask(&self, query: &str) -> Vec<Value> {
        let answer = self.get("/api/v1/query", &[("query", query)]);
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let encoded: Vec<String> = parameters
            .iter()
            .map(|(name, value)| {
                let value: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
                format!("{name}={value}")
            })
            .collect();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "GET {path}?{} HTTP/1.0\r\nhost: store\r\n\r\n",
            encoded.join("&")
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
