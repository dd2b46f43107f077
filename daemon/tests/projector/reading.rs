use crate::fixture::{Running, World};
use sqlx::ConnectOptions;
use trainmaster_domain::Aggregate;
use trainmaster_tests::history::History;

/// From the document's "Common Queries and Patterns", as they stand there.
const QUERIES: [&str; 3] = [
    "SELECT trainings.*, models.*, datasets.*
     FROM trainings
     JOIN models ON trainings.model_id = models.id
     JOIN datasets ON trainings.dataset_id = datasets.id
     WHERE trainings.status IN ('training', 'queued', 'initializing')
     ORDER BY trainings.created_at DESC",
    "SELECT * FROM datasets
     WHERE to_tsvector('english', name || ' ' || COALESCE(description, ''))
           @@ plainto_tsquery('english', 'machine learning')",
    "SELECT
         COUNT(id) AS total,
         SUM(CASE WHEN status = 'completed' THEN 1 ELSE 0 END) AS completed,
         AVG(current_step::FLOAT / total_steps * 100) AS avg_progress
     FROM trainings",
];

#[tokio::test]
async fn an_application_reads_by_the_read_model_s_role_as_its_document_says_and_writes_nothing() {
    let mut world = World::new().await;
    let running = Running::start(world.projector(1_000));
    let mut history = History::new(43);
    let last = world.live(&mut history, 60).await;
    running.reaches(last).await;
    world.sql("ALTER ROLE mistudio LOGIN").await;
    let mut application = world
        .database
        .options()
        .username("mistudio")
        .connect()
        .await
        .unwrap();
    for query in QUERIES {
        sqlx::query(query)
            .fetch_all(&mut application)
            .await
            .unwrap();
    }
    for forbidden in [
        "DELETE FROM trainings",
        "INSERT INTO datasets (id, name, source, size_bytes) VALUES ('x', 'x', 'Local', 0)",
        "CREATE TABLE mine (id int)",
        "SELECT * FROM log.events",
        "UPDATE projection.offsets SET events = 0",
    ] {
        let refused = sqlx::query(forbidden)
            .execute(&mut application)
            .await
            .unwrap_err();
        let code = refused
            .as_database_error()
            .and_then(|error| error.code().map(String::from));
        assert_eq!(code.as_deref(), Some("42501"), "{forbidden}: {refused}");
    }
    // Also what was swapped in.
    running
        .projector
        .rebuild(crate::fixture::MISTUDIO)
        .await
        .unwrap();
    let trainings: i64 = sqlx::query_scalar("SELECT count(*) FROM trainings")
        .fetch_one(&mut application)
        .await
        .unwrap();
    let there = history.trainings().values().filter(|it| !it.is_deleted());
    assert_eq!(trainings as usize, there.count());
    running.end().await;
}
