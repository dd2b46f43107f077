//! What the daemon tells an OTLP receiver, and that a receiver that is down costs nothing but the telemetry.
#![allow(clippy::unwrap_used)]

use fake_opentelemetry_collector::{ExportedSpan, FakeCollectorServer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixDatagram, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A daemon on an embedded Postgres of its own that sends telemetry to `endpoint`. Its trainer is a program that ends at once: what is
/// looked at here happens before.
struct Daemon {
    place: TempDir,
    child: Child,
}

impl Daemon {
    fn start(endpoint: Option<&str>) -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let socket = place.path().join("notify");
        let notify = UnixDatagram::bind(&socket).unwrap();
        notify.set_read_timeout(Some(LIMIT)).unwrap();
        let mut command = Command::new(program());
        command
            .args(["serve", "--state-dir"])
            .arg(place.path().join("state"))
            .env("NOTIFY_SOCKET", &socket)
            .env("TRAINMASTER_CONFIG", "")
            .env("TRAINMASTER_RUNNER__PROGRAM", "/bin/false")
            .env("TRAINMASTER_LOG__FORMAT", "json")
            .env("OTEL_BSP_SCHEDULE_DELAY", "100")
            .env("OTEL_METRIC_EXPORT_INTERVAL", "300")
            .stdin(Stdio::null())
            .stderr(fs::File::create(place.path().join("log")).unwrap());
        if let Some(endpoint) = endpoint {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        }
        let child = command.spawn().unwrap();
        let daemon = Self { place, child };
        let mut buffer = [0; 1024];
        loop {
            let length = notify
                .recv(&mut buffer)
                .expect("the daemon did not get ready");
            if buffer[..length].starts_with(b"READY=1") {
                return daemon;
            }
        }
    }

    fn state(&self) -> PathBuf {
        self.place.path().join("state")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.place.path().join("log")).unwrap()
    }

    /// Registers the model that the tests have, as part of a client's trace. Answers the model's id.
    fn add_model(&self, name: &str) -> String {
        let model = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../trainer/tests/tiny-llama")
            .canonicalize()
            .unwrap();
        let body = serde_json::json!({ "path": model, "name": name, "architecture": "llama", "quantization": "FP32" }).to_string();
        let mut stream = UnixStream::connect(self.state().join("run/trainmaster.sock")).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        write!(
            stream,
            "POST /v1/models HTTP/1.1\r\nhost: daemon\r\nconnection: close\r\ncontent-type: application/json\r\n\
             traceparent: 00-{TRACE}-{PARENT}-01\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value =
            serde_json::from_str(&body[body.find('{').unwrap()..=body.rfind('}').unwrap()])
                .unwrap();
        body["id"].as_str().unwrap().to_owned()
    }

    /// Ends it as the service manager does; answers how long that took.
    fn stop(&mut self) -> Duration {
        let start = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
        start.elapsed()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

/// The daemon that was built with these tests.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.parent().unwrap().parent().unwrap().join("trainmaster");
    assert!(
        program.is_file(),
        "{} is not there: cargo build -p trainmaster",
        program.display()
    );
    program
}

/// The first span that `wanted` accepts, among those that were received and those that come.
async fn span(
    collector: &mut FakeCollectorServer,
    received: &mut Vec<ExportedSpan>,
    what: &str,
    wanted: impl Fn(&ExportedSpan) -> bool,
) -> ExportedSpan {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(span) = received.iter().find(|span| wanted(span)) {
            return span.clone();
        }
        assert!(
            Instant::now() < deadline,
            "no span {what} among {received:#?}"
        );
        received.extend(
            collector
                .exported_spans(1, Duration::from_millis(200))
                .await,
        );
        collector.exported_metrics(0, Duration::ZERO).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_goes_from_the_request_to_the_claim_and_into_the_runs_spec() {
    let mut collector = FakeCollectorServer::start().await.unwrap();
    let mut daemon = Daemon::start(Some(&collector.endpoint()));
    let model = daemon.add_model("tiny");
    let mut spans = Vec::new();
    let ours = |span: &ExportedSpan| span.trace_id == TRACE;

    let request = span(&mut collector, &mut spans, "of the request", |s| {
        ours(s) && s.name == "POST /v1/models"
    })
    .await;
    assert_eq!(request.parent_span_id, PARENT);
    assert!(request.kind.contains("SERVER"), "{}", request.kind);
    let append = span(&mut collector, &mut spans, "of the append", |s| {
        ours(s) && s.name == "log.execute" && s.parent_span_id == request.span_id
    })
    .await;
    // Work may be dispatched more than once; one of them claims it.
    let claims = |spans: &[ExportedSpan]| {
        spans
            .iter()
            .filter(|s| ours(s) && s.name == "dispatch")
            .filter(|s| [&request.span_id, &append.span_id].contains(&&s.parent_span_id))
            .any(|dispatch| {
                spans.iter().any(|s| {
                    ours(s) && s.name == "log.execute" && s.parent_span_id == dispatch.span_id
                })
            })
    };
    let deadline = Instant::now() + LIMIT;
    while !claims(&spans) {
        assert!(
            Instant::now() < deadline,
            "no task with a claim among {spans:#?}"
        );
        let more = collector.exported_spans(1, Duration::from_millis(200));
        spans.extend(more.await);
        collector.exported_metrics(0, Duration::ZERO).await;
    }

    let spec: Value = serde_json::from_str(
        &fs::read_to_string(daemon.state().join("runs").join(&model).join("spec.json")).unwrap(),
    )
    .unwrap();
    let traceparent = spec["traceparent"].as_str().unwrap();
    assert!(
        traceparent.starts_with(&format!("00-{TRACE}-")),
        "{traceparent}"
    );
    daemon.stop();
    assert!(
        daemon
            .log()
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "{}",
        daemon.log()
    );
    assert!(
        daemon.log().contains(&format!("\"trace_id\":\"{TRACE}\"")),
        "{}",
        daemon.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_that_the_dashboards_use_arrive() {
    let mut collector = FakeCollectorServer::start().await.unwrap();
    let daemon = Daemon::start(Some(&collector.endpoint()));
    daemon.add_model("tiny");
    let mut missing: BTreeSet<&str> = [
        "trainmaster.log.appends",
        "trainmaster.log.append.duration",
        "trainmaster.projection.lag.events",
        "trainmaster.projection.lag",
        "trainmaster.outbox.depth",
        "trainmaster.queue.depth",
        "trainmaster.dispatch.latency",
        "trainmaster.pool.connections",
        "process.memory.usage",
    ]
    .into();
    let deadline = Instant::now() + LIMIT;
    while !missing.is_empty() {
        assert!(Instant::now() < deadline, "never received: {missing:?}");
        for received in collector
            .exported_metrics(1, Duration::from_millis(200))
            .await
        {
            let text = serde_json::to_string(&received).unwrap();
            missing.retain(|name| !text.contains(&format!("\"{name}\"")));
        }
        collector.exported_spans(0, Duration::ZERO).await;
    }
}

#[test]
fn a_receiver_that_is_down_is_mentioned_once_and_delays_nothing() {
    let mut daemon = Daemon::start(Some("http://127.0.0.1:1"));
    let start = Instant::now();
    for number in 0..20 {
        daemon.add_model(&format!("tiny {number}"));
    }
    let requests = start.elapsed();
    let complaints = |log: &str| log.matches("telemetry cannot be sent").count();
    let deadline = Instant::now() + LIMIT;
    while complaints(&daemon.log()) < 2 {
        assert!(Instant::now() < deadline, "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let stop = daemon.stop();
    assert_eq!(
        complaints(&daemon.log()),
        2,
        "once for traces and once for metrics: {}",
        daemon.log()
    );
    assert!(
        !daemon.log().contains("\"target\":\"opentelemetry"),
        "{}",
        daemon.log()
    );
    assert!(
        requests < Duration::from_secs(30),
        "20 requests took {requests:?}"
    );
    assert!(stop < Duration::from_secs(30), "ending took {stop:?}");
}

#[test]
fn without_an_endpoint_nothing_is_sent_and_logs_still_carry_trace_ids() {
    let mut daemon = Daemon::start(None);
    daemon.add_model("tiny");
    let deadline = Instant::now() + LIMIT;
    while !daemon.log().contains(&format!("\"trace_id\":\"{TRACE}\"")) {
        assert!(Instant::now() < deadline, "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    daemon.stop();
    assert!(!daemon.log().contains("telemetry"), "{}", daemon.log());
}
