//! A log and its read models in a database of the test's own, and histories to fill them.

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use trainmaster::{
    log::Log,
    migrate,
    projector::{Projector, ProjectorError, ProjectorOptions, ReadModelStatus},
};
use trainmaster_domain::{
    Metadata, Position, dataset, extraction_template, feature, job, model, preset, slurm, training,
    training_template,
};
use trainmaster_projections::ReadModel;
use trainmaster_tests::{
    history::{Command, History},
    postgres::{Cluster, TestDatabase},
};

pub const MISTUDIO: ReadModel = ReadModel::MISTUDIO;
pub const PIC: ReadModel = ReadModel::PIC;

/// Longer than anything here takes.
pub const LIMIT: Duration = Duration::from_secs(60);

pub struct World {
    pub database: TestDatabase,
    pub pool: PgPool,
    pub log: Log,
    /// Its own, because a transaction that another test has open holds back every reader of a log in the same cluster.
    pub cluster: Cluster,
    commands: u64,
}

impl World {
    pub async fn new() -> Self {
        Self::on(Cluster::start()).await
    }

    pub async fn on(cluster: Cluster) -> Self {
        let database = cluster.database().await;
        let pool = database.pool().await;
        migrate::up(&pool).await.unwrap();
        Self {
            log: Log::new(pool.clone()),
            database,
            pool,
            cluster,
            commands: 0,
        }
    }

    /// Executes the next commands of a history; returns the last position.
    pub async fn live(&mut self, history: &mut History, commands: usize) -> Position {
        let mut last = Position::START;
        for step in history.take(commands) {
            last = self.execute(step.command).await;
        }
        last
    }

    pub async fn execute(&mut self, command: Command) -> Position {
        self.commands += 1;
        let metadata = Metadata {
            command_id: format!("command {}", self.commands),
            correlation_id: "test".to_owned(),
            actor: "test".to_owned(),
            ..Metadata::default()
        };
        macro_rules! execute {
            ($aggregate:ty, $id:expr, $command:expr) => {
                self.log
                    .execute::<$aggregate>(&$id, $command, metadata)
                    .await
                    .unwrap()
            };
        }
        let executed = match command {
            Command::Dataset(id, command) => execute!(dataset::Dataset, id, command),
            Command::Model(id, command) => execute!(model::Model, id, command),
            Command::Training(id, command) => execute!(training::Training, id, command),
            Command::Job(id, command) => execute!(job::Job, id, command),
            Command::Feature(id, command) => execute!(feature::Feature, id, command),
            Command::Preset(id, command) => execute!(preset::KeptPreset, id, command),
            Command::TrainingTemplate(id, command) => {
                execute!(training_template::KeptTrainingTemplate, id, command)
            }
            Command::ExtractionTemplate(id, command) => {
                execute!(extraction_template::KeptExtractionTemplate, id, command)
            }
            Command::SlurmJob(id, command) => execute!(slurm::SlurmJob, id, command),
        };
        executed.position.unwrap()
    }

    /// A projector as another process would have one.
    pub fn projector(&self, batch_events: usize) -> Projector {
        self.projector_by(self.pool.clone(), batch_events, Duration::from_millis(200))
    }

    pub fn projector_by(
        &self,
        owner: PgPool,
        batch_events: usize,
        poll_interval: Duration,
    ) -> Projector {
        let options = ProjectorOptions {
            poll_interval,
            batch_events,
            build_events: batch_events,
            ..ProjectorOptions::default()
        };
        Projector::new(self.log.clone(), owner, options)
    }

    /// Every column of every row of the studio's tables in use.
    pub async fn rows(&self) -> Vec<(&'static str, Vec<Value>)> {
        self.rows_of(MISTUDIO).await
    }

    /// Every column of every row of a read model in use.
    pub async fn rows_of(&self, read_model: ReadModel) -> Vec<(&'static str, Vec<Value>)> {
        let mut all = vec![];
        for table in read_model.tables() {
            all.push((*table, self.table_of(read_model, table).await));
        }
        all
    }

    pub async fn table(&self, table: &str) -> Vec<Value> {
        self.table_of(MISTUDIO, table).await
    }

    pub async fn table_of(&self, read_model: ReadModel, table: &str) -> Vec<Value> {
        let key = read_model.key(table);
        sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT to_jsonb(t) FROM {read_model}.{table} t ORDER BY {key}"
        )))
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    pub async fn sql(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }

    pub async fn schemas(&self) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'mistudio%' ORDER BY 1",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }
}

/// A projector that runs until this goes.
pub struct Running {
    pub projector: Projector,
    task: JoinHandle<Result<(), ProjectorError>>,
    shutdown: DropGuard,
}

impl Running {
    pub fn start(projector: Projector) -> Self {
        let shutdown = CancellationToken::new();
        Self {
            task: tokio::spawn(projector.clone().run(shutdown.clone())),
            projector,
            shutdown: shutdown.drop_guard(),
        }
    }

    pub async fn reaches(&self, position: Position) {
        self.projector
            .wait_for(MISTUDIO, position, LIMIT)
            .await
            .unwrap();
    }

    /// As [`Self::reaches`], every read model.
    pub async fn all_reach(&self, position: Position) {
        for read_model in self.projector.read_models() {
            self.projector
                .wait_for(read_model, position, LIMIT)
                .await
                .unwrap();
        }
    }

    pub async fn end(self) {
        drop(self.shutdown);
        self.task.await.unwrap().unwrap();
    }
}

pub async fn status(projector: &Projector) -> ReadModelStatus {
    projector.status().await.unwrap().remove(0)
}

/// Asks again and again until it is so.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let asked = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, asked)
        .await
        .unwrap_or_else(|_| panic!("it never came about that {what}"));
}
