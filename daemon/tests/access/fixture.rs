//! A migrated database with a filled read model.

use sqlx::{AssertSqlSafe, PgPool};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use trainmaster::{
    log::Log,
    migrate,
    projector::{Projector, ProjectorOptions},
};
use trainmaster_domain::{Metadata, dataset::Dataset};
use trainmaster_projections::ReadModel;
use trainmaster_tests::postgres::{Cluster, TestDatabase};

/// What no monitoring may show: it is in the payload of an event.
pub const SECRET_TEXT: &str = "what only the payload says";

pub struct World {
    pub database: TestDatabase,
    /// As superuser, who owns everything.
    pub owner: PgPool,
    _cluster: Cluster,
}

impl World {
    pub async fn new(settings: &[&str]) -> Self {
        let cluster = Cluster::start_with(settings);
        let database = cluster.database().await;
        let owner = database.pool().await;
        migrate::up(&owner).await.unwrap();
        let log = Log::new(owner.clone());
        let registered = serde_json::json!({
            "name": SECRET_TEXT, "source": "Local", "text_column": "text", "tokenizer_model_id": "m_1", "context_length": 256,
        });
        let executed = log
            .execute::<Dataset>(
                "ds_1",
                trainmaster_domain::dataset::DatasetCommand::RegisterLocal {
                    registered: serde_json::from_value(registered).unwrap(),
                    files: serde_json::from_value(
                        serde_json::json!({ "file_path": "/srv/books", "size_bytes": 11 }),
                    )
                    .unwrap(),
                },
                Metadata {
                    command_id: "c1".to_owned(),
                    correlation_id: "test".to_owned(),
                    actor: "test".to_owned(),
                    ..Metadata::default()
                },
            )
            .await
            .unwrap();
        let projector = Projector::new(log, owner.clone(), ProjectorOptions::default());
        let stop = CancellationToken::new();
        let running = tokio::spawn(projector.clone().run(stop.clone()));
        for read_model in ReadModel::ALL {
            projector
                .wait_for(
                    read_model,
                    executed.position.unwrap(),
                    Duration::from_secs(60),
                )
                .await
                .unwrap();
        }
        stop.cancel();
        running.await.unwrap().unwrap();
        Self {
            database,
            owner,
            _cluster: cluster,
        }
    }

    /// A pool of one connection as a new user who is a member of `role` and nothing else.
    pub async fn member_of(&self, role: &str) -> PgPool {
        let user = format!("member_of_{role}");
        sqlx::raw_sql(AssertSqlSafe(format!(
            "DO $$ BEGIN CREATE ROLE {user} LOGIN IN ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )))
        .execute(&self.owner)
        .await
        .unwrap();
        PgPool::connect_with(self.database.options().username(&user))
            .await
            .unwrap()
    }
}
