//! A database, a state directory, a daemon's dispatch, and a stand-in for the trainer.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use sqlx::{PgPool, postgres::PgPoolOptions};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trainmaster::{
    dispatch::{Dispatch, DispatchOptions},
    log::Log,
    migrate,
};
use trainmaster_domain::{
    Aggregate, Category, Metadata, RecordedEvent, StreamId,
    attempt::RetryPolicy,
    dataset::{Dataset, DatasetCommand},
    hyperparameters::Hyperparameters,
    model::{Model, ModelCommand},
    training::{EncoderType, QueueTraining, Training, TrainingCommand},
};
use trainmaster_tests::postgres::{Cluster, TestDatabase};

/// How long anything may take that should happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct World {
    pub database: TestDatabase,
    pub pool: PgPool,
    pub log: Log,
    pub state: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::of(TestDatabase::new().await).await
    }

    pub async fn in_cluster(cluster: &Cluster) -> Self {
        Self::of(cluster.database().await).await
    }

    async fn of(database: TestDatabase) -> Self {
        if std::env::var_os("RUST_LOG").is_some() {
            let _ = tracing_subscriber::fmt()
                .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
                .try_init();
        }
        migrate::up(&database.pool().await).await.unwrap();
        let pool = runtime_pool(&database);
        let world = Self {
            log: Log::new(pool.clone()),
            pool,
            database,
            state: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(world.runs()).unwrap();
        world
    }

    /// Where run directories are, and the files that tell the stand-in what to do.
    pub fn runs(&self) -> PathBuf {
        self.state.path().canonicalize().unwrap().join("runs")
    }

    pub fn hold(&self, point: &str) {
        self.tell(&format!("hold-{point}"));
    }
    pub fn release(&self, point: &str) {
        fs::remove_file(self.runs().join(format!("hold-{point}"))).unwrap();
    }
    pub fn tell(&self, what: &str) {
        fs::write(self.runs().join(what), "").unwrap();
    }

    pub fn options(&self) -> DispatchOptions {
        options(self.state.path())
    }

    pub fn daemon(&self) -> Daemon {
        self.daemon_with(self.options())
    }

    pub fn daemon_with(&self, options: DispatchOptions) -> Daemon {
        let dispatch = Dispatch::new(self.log.clone(), self.database.options(), options).unwrap();
        let shutdown = CancellationToken::new();
        Daemon {
            running: tokio::spawn(dispatch.run(shutdown.clone())),
            shutdown,
        }
    }

    /// A daemon that can be killed: in a runtime of its own, with connections of its own.
    pub fn mortal_daemon(&self) -> MortalDaemon {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (database, options) = (self.database.clone(), self.options());
        runtime.spawn(async move {
            let log = Log::new(runtime_pool(&database));
            let dispatch = Dispatch::new(log, database.options(), options).unwrap();
            dispatch.run(CancellationToken::new()).await;
        });
        MortalDaemon { runtime }
    }

    pub fn signal(&self, pid: i32, signal: Signal) {
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    pub async fn register_model(&self, id: &str) {
        let command = ModelCommand::RegisterLocal {
            registered: serde_json::from_value(
                json!({ "name": id, "architecture": "llama", "quantization": "FP32" }),
            )
            .unwrap(),
            files: serde_json::from_value(json!({ "file_path": "/m", "disk_size_bytes": 1 }))
                .unwrap(),
        };
        self.execute::<Model>(id, command).await;
    }

    pub async fn register_dataset(&self, id: &str, model: &str) {
        let command = DatasetCommand::RegisterLocal {
            registered: serde_json::from_value(json!({
                "name": id, "source": "Local", "text_column": "text",
                "tokenizer_model_id": model, "context_length": 16,
            }))
            .unwrap(),
            files: serde_json::from_value(json!({ "file_path": "/d", "size_bytes": 1 })).unwrap(),
        };
        self.execute::<Dataset>(id, command).await;
    }

    pub async fn queue_training(&self, id: &str, model: &str, dataset: &str) {
        let command = TrainingCommand::Queue(QueueTraining {
            model_id: model.parse().unwrap(),
            dataset_id: dataset.parse().unwrap(),
            encoder_type: EncoderType::Sparse,
            hyperparameters: Hyperparameters {
                training_steps: 4,
                ..Hyperparameters::default()
            },
            import_from: None,
            placement: None,
        });
        self.execute::<Training>(id, command).await;
    }

    /// A model and a dataset that are ready, and a training that is queued.
    pub async fn ready_training(&self, id: &str) {
        let daemon = self.daemon();
        self.register_model("m_1").await;
        self.register_dataset("ds_1", "m_1").await;
        self.wait_for(Category::Dataset, "ds_1", "DatasetTokenized")
            .await;
        daemon.stop().await;
        self.queue_training(id, "m_1", "ds_1").await;
    }

    pub async fn execute<A: Aggregate>(&self, id: &str, command: A::Command)
    where
        A::Command: Clone,
    {
        let command_id = ulid::Ulid::generate().to_string();
        let metadata = Metadata {
            correlation_id: format!("request of {command_id}"),
            command_id,
            causation_id: None,
            actor: "test".to_owned(),
            traceparent: Some(TRACEPARENT.to_owned()),
        };
        self.log.execute::<A>(id, command, metadata).await.unwrap();
    }

    pub async fn events(&self, category: Category, id: &str) -> Vec<RecordedEvent> {
        self.log
            .read_stream(&StreamId::new(category, id), 0, 1000)
            .await
            .unwrap()
    }

    pub async fn types(&self, category: Category, id: &str) -> Vec<&'static str> {
        self.events(category, id)
            .await
            .iter()
            .map(|recorded| recorded.event.event_type())
            .collect()
    }

    /// Waits until the stream has `count` events of a type.
    pub async fn wait_for_count(
        &self,
        category: Category,
        id: &str,
        event: &str,
        count: usize,
    ) -> Vec<&'static str> {
        let mut types = vec![];
        let what = format!("{count} {event} of {category} {id}");
        until(&what, async || {
            // The database may be away for a while.
            if let Ok(events) = self
                .log
                .read_stream(&StreamId::new(category, id), 0, 1000)
                .await
            {
                types = events
                    .iter()
                    .map(|recorded| recorded.event.event_type())
                    .collect();
            }
            types.iter().filter(|found| **found == event).count() >= count
        })
        .await;
        types
    }

    pub async fn wait_for(&self, category: Category, id: &str, event: &str) -> Vec<&'static str> {
        self.wait_for_count(category, id, event, 1).await
    }

    pub async fn scalar<T>(&self, sql: &'static str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }
}

pub const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Fast intervals, and the stand-in as trainer.
pub fn options(state: &Path) -> DispatchOptions {
    let mut options = DispatchOptions::new(state);
    options.host = "here".to_owned();
    options.launch.program = stand_in(state);
    options.launch.nice = 0;
    options.retry = RetryPolicy {
        max_crashes: 2,
        backoff_initial_ms: 50,
        backoff_max_ms: 200,
    };
    options.supervision.heartbeat_interval = Duration::from_millis(20);
    options.supervision.observe_interval = Duration::from_millis(100);
    options.supervision.supervised_for = Duration::from_secs(2);
    options.reconcile_interval = Duration::from_millis(500);
    options
}

fn stand_in(state: &Path) -> PathBuf {
    let path = state.join("stand-in");
    if !path.exists() {
        fs::write(&path, include_str!("stand_in.sh")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    path
}

pub struct Daemon {
    pub shutdown: CancellationToken,
    pub running: JoinHandle<()>,
}

impl Daemon {
    /// As `systemctl stop`.
    pub async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.running)
            .await
            .expect("dispatch does not end")
            .unwrap();
    }
}

/// As the daemon works: under a role that may not do everything.
fn runtime_pool(database: &TestDatabase) -> PgPool {
    PgPoolOptions::new()
        .max_connections(8)
        // sqlx waits a fifth of this between attempts to reach a server that is away.
        .acquire_timeout(Duration::from_secs(5))
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::query("SET ROLE trainmaster_daemon")
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .connect_lazy_with(database.options())
}

pub struct MortalDaemon {
    runtime: tokio::runtime::Runtime,
}

impl MortalDaemon {
    /// As kill -9.
    pub fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// Waits until something is so, and fails when it never is.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < PATIENCE, "still waiting for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
