//! What the document of `pic` tells whoever sets it up to run, by the role of the read model, as it is written there.

use crate::fixture::{PIC, Running, World};
use sqlx::{ConnectOptions, PgConnection, Row};
use std::process::Command as Program;
use trainmaster_domain::{
    segmentation::SegmentationSettings,
    training::{QueueSegmentation, TrainingCommand},
};
use trainmaster_tests::history::Command;

const FOREIGN_KEYS: &str = "
SELECT
    tc.table_name,
    kcu.column_name,
    ccu.table_name AS foreign_table_name,
    ccu.column_name AS foreign_column_name
FROM
    information_schema.table_constraints AS tc
    JOIN information_schema.key_column_usage AS kcu
      ON tc.constraint_name = kcu.constraint_name
      AND tc.table_schema = kcu.table_schema
    JOIN information_schema.constraint_column_usage AS ccu
      ON ccu.constraint_name = tc.constraint_name
      AND ccu.table_schema = tc.table_schema
WHERE tc.constraint_type = 'FOREIGN KEY';
";

const CONSTRAINTS: &str = "
SELECT table_name, constraint_name, constraint_type
FROM information_schema.table_constraints
WHERE table_schema = 'public'
ORDER BY table_name, constraint_type;
";

/// A training, its job, and whoever reads them by the role.
async fn world() -> (World, Running) {
    let mut world = World::new().await;
    let running = Running::start(world.projector(100));
    let queue = QueueSegmentation {
        name: "heart".to_owned(),
        images_path: "/data/images".to_owned(),
        labels_path: "/data/labels".to_owned(),
        settings: SegmentationSettings::default(),
        fold: None,
        placement: None,
    };
    let last = world
        .execute(Command::Training(
            "seg_1".to_owned(),
            TrainingCommand::QueueSegmentation(Box::new(queue)),
        ))
        .await;
    running.all_reach(last).await;
    world.sql("ALTER ROLE pic LOGIN").await;
    (world, running)
}

async fn reader(world: &World) -> PgConnection {
    let options = world.database.options().username("pic");
    options.connect().await.unwrap()
}

/// What psql prints for the role.
fn psql(world: &World, command: &str) -> String {
    let options = world.database.options();
    let host = options.get_socket().map_or_else(
        || options.get_host().to_owned(),
        |socket| socket.display().to_string(),
    );
    let printed = Program::new(world.cluster.programs().join("psql"))
        .env("PGOPTIONS", "")
        .args(["-X", "-U", "pic", "-h", &host])
        .args(["-p", &options.get_port().to_string()])
        .args(["-d", options.get_database().unwrap(), "-c", command])
        .output()
        .unwrap();
    assert!(
        printed.status.success(),
        "{}",
        String::from_utf8_lossy(&printed.stderr)
    );
    String::from_utf8(printed.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psql_shows_exactly_the_four_tables_with_their_keys_and_references() {
    let (world, running) = world().await;
    for _ in 0..2 {
        let tables = psql(&world, "\\dt");
        let names: Vec<&str> = tables
            .lines()
            .filter(|line| line.contains(" table "))
            .filter_map(|line| line.split('|').nth(1))
            .map(str::trim)
            .collect();
        assert_eq!(
            names,
            ["inference", "jobs", "model", "training"],
            "{tables}"
        );
        let jobs = psql(&world, "\\d jobs");
        for part in [
            "\"jobs_pkey\" PRIMARY KEY",
            "\"idx_jobs_status\"",
            "\"jobs_sbatch_id_key\" UNIQUE",
            "TABLE \"training\" CONSTRAINT \"training_job_id_fkey\"",
            "numeric(4,0)",
        ] {
            assert!(jobs.contains(part), "no {part} in {jobs}");
        }
        let training = psql(&world, "\\d+ training");
        for part in [
            "\"training_job_id_fkey\" FOREIGN KEY (job_id) REFERENCES jobs(id)",
            "What people call it.",
        ] {
            assert!(training.contains(part), "no {part} in {training}");
        }
        let rows = psql(
            &world,
            "SELECT t.name, j.sbatch_id FROM training t JOIN jobs j ON j.id = t.job_id",
        );
        assert!(
            rows.contains("heart") && rows.contains("local:seg_1"),
            "{rows}"
        );
        // And so with what was swapped in.
        running.projector.rebuild(PIC).await.unwrap();
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn information_schema_shows_the_role_the_constraints_of_its_tables() {
    let (world, running) = world().await;
    for _ in 0..2 {
        let mut role = reader(&world).await;
        // As written; the tables of the document are in `public` there, and in `pic` here.
        for query in [FOREIGN_KEYS, CONSTRAINTS] {
            sqlx::query(query).fetch_all(&mut role).await.unwrap();
        }
        let here = CONSTRAINTS.replace("'public'", "'pic'");
        let found = sqlx::query(sqlx::AssertSqlSafe(here))
            .fetch_all(&mut role)
            .await
            .unwrap();
        let count = |kind: &str| {
            let of_kind = found
                .iter()
                .filter(|row| row.get::<String, _>("constraint_type") == kind);
            of_kind.count()
        };
        assert_eq!(
            (count("PRIMARY KEY"), count("FOREIGN KEY"), count("UNIQUE")),
            (4, 4, 2)
        );
        // NOT NULLs are checks to information_schema.
        assert!(count("CHECK") >= 5);
        // Which column a key refers to is shown to the owner of that table alone.
        let references: Vec<(String, String, String, String)> = sqlx::query_as(FOREIGN_KEYS)
            .fetch_all(&world.pool)
            .await
            .unwrap();
        let of = |one: &str, column: &str, other: &str| {
            (
                one.to_owned(),
                column.to_owned(),
                other.to_owned(),
                "id".to_owned(),
            )
        };
        for reference in [
            of("training", "job_id", "jobs"),
            of("model", "training_id", "training"),
            of("inference", "model_id", "model"),
            of("inference", "job_id", "jobs"),
        ] {
            assert!(references.contains(&reference), "{references:?}");
        }
        running.projector.rebuild(PIC).await.unwrap();
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_reads_and_writes_nothing() {
    let (world, running) = world().await;
    let mut role = reader(&world).await;
    for forbidden in [
        "DELETE FROM training",
        "UPDATE jobs SET status = 'COMPLETED'",
        "INSERT INTO model VALUES ('m', 'seg_1', 'mine', NULL)",
        "TRUNCATE inference",
        "ALTER TABLE jobs ADD COLUMN priority INTEGER DEFAULT 0",
        "CREATE INDEX idx_jobs_type ON jobs(job_type)",
        "CREATE TABLE mine (id int)",
        "SELECT * FROM mistudio.trainings",
        "SELECT * FROM log.events",
    ] {
        let refused = sqlx::query(forbidden).execute(&mut role).await.unwrap_err();
        let code = refused
            .as_database_error()
            .and_then(|error| error.code().map(String::from));
        assert_eq!(code.as_deref(), Some("42501"), "{forbidden}: {refused}");
    }
    running.end().await;
}
