//! Snapshots save time and decide nothing: with them, without them, and whatever is done to them, a state is the same.

use crate::fixture::{empty_log, noon};
use serde_json::json;
use sqlx::PgPool;
use std::time::Instant;
use trainmaster::log::{Loaded, Log};
use trainmaster_domain::{
    Aggregate, Event, Lease,
    attempt::{Claim, Loss, LossReason, Report, RetryPolicy},
    hyperparameters::Hyperparameters,
    run::journal::{AtStep, CheckpointSaved, JournalRecord, MetricsBatch, Record, TrainingStarted},
    training::{EncoderType, QueueTraining, Training, TrainingCommand, TrainingEvent},
};
use trainmaster_tests::history::Draw;

const STREAM: &str = "tr_long";
const STEPS: u32 = 1_000_000_000;

/// A training that is mostly recorded, and now and then claimed, lost, saved, paused, resumed.
struct History {
    draw: Draw,
    training: Training,
    seq: u64,
    step: u64,
}

impl History {
    fn new(seed: u64) -> Self {
        Self {
            draw: Draw::new(seed),
            training: Training::default(),
            seq: 0,
            step: 0,
        }
    }

    fn report(&mut self, record: Record) -> TrainingCommand {
        self.seq += 1;
        TrainingCommand::Report(Box::new(Report {
            line: JournalRecord {
                lease: self.training.attempts().lease,
                seq: self.seq,
                at: noon(),
                record,
            },
            now: noon(),
            policy: RetryPolicy {
                max_crashes: u32::MAX - 1,
                ..RetryPolicy::default()
            },
        }))
    }

    fn choose(&mut self) -> TrainingCommand {
        let step = self.step;
        match self.draw.below(400) {
            0 => TrainingCommand::RequestPause,
            1 => self.report(Record::Paused(AtStep { step })),
            2 => TrainingCommand::LoseLease(Loss {
                lease: Lease(self.training.attempts().lease.0),
                reason: LossReason::Exited,
                message: "gone".into(),
                now: noon(),
                policy: RetryPolicy {
                    max_crashes: u32::MAX - 1,
                    ..RetryPolicy::default()
                },
            }),
            3..12 => {
                let loss = self.draw.one_in(2).then(|| self.draw.fraction() * 1e-7);
                self.report(Record::CheckpointSaved(CheckpointSaved {
                    step,
                    loss,
                    sparsity: None,
                    path: format!("/c/{step} “日本”"),
                    file_size_bytes: 1,
                    sha256: "00".repeat(32),
                }))
            }
            12..60 => TrainingCommand::Claim(Claim {
                worker_id: "worker".into(),
                host: "here".into(),
                device: "cpu".into(),
                now: "2027-01-01T00:00:00Z".parse().unwrap(),
            }),
            60..90 => TrainingCommand::Resume,
            90..110 => self.report(Record::TrainingStarted(TrainingStarted {
                at_step: step,
                d_in: Some(8),
                d_sae: Some(64),
            })),
            _ => {
                self.step += 1 + self.draw.below(3);
                let value = self.draw.fraction();
                self.report(Record::Metrics(MetricsBatch {
                    steps: vec![self.step],
                    loss: vec![value],
                    sparsity: vec![1.0],
                    reconstruction_error: vec![value],
                    dead_neurons: vec![0],
                    dice: vec![],
                    explained_variance: vec![0.5],
                    learning_rate: vec![1e-3],
                    at: vec![noon()],
                    tokens_per_second: 1.0,
                }))
            }
        }
    }

    /// At least so many further events.
    fn events(&mut self, wanted: usize) -> Vec<TrainingEvent> {
        let mut events = Vec::new();
        while events.len() < wanted {
            let command = if self.training == Training::default() {
                TrainingCommand::Queue(QueueTraining {
                    model_id: "m_1".to_owned().try_into().unwrap(),
                    dataset_id: "ds_1".to_owned().try_into().unwrap(),
                    encoder_type: EncoderType::Sparse,
                    hyperparameters: Hyperparameters {
                        training_steps: STEPS,
                        ..Hyperparameters::default()
                    },
                    import_from: None,
                    placement: None,
                })
            } else {
                self.choose()
            };
            let lease = self.training.attempts().lease;
            for event in self.training.decide(command).unwrap_or_default() {
                self.training.evolve(&event).unwrap();
                events.push(event);
            }
            if self.training.attempts().lease != lease {
                self.seq = 0;
                self.step = self.training.latest_checkpoint().map_or(0, |c| c.step);
            }
        }
        events
    }
}

/// As the log would have them, in one statement.
async fn append(pool: &PgPool, after: u64, events: &[TrainingEvent]) {
    let (types, payloads): (Vec<_>, Vec<_>) = events
        .iter()
        .map(|event| Event::from(event.clone()))
        .map(|event| (event.event_type().to_owned(), event.payload().unwrap()))
        .unzip();
    sqlx::query(
        "INSERT INTO log.open_events (version, schema_version, ordinal, category, stream_id, type, command_id, correlation_id, actor, payload) \
         SELECT $1 + n, 1, 1, 'training', $2, type, format('%s %s', $2, $1 + n), 'c', 'test', payload \
         FROM unnest($3::text[], $4::jsonb[]) WITH ORDINALITY AS e (type, payload, n) ORDER BY n",
    )
    .bind(after.cast_signed())
    .bind(STREAM)
    .bind(types)
    .bind(payloads)
    .execute(pool)
    .await
    .unwrap();
}

/// As a daemon finds it that has just been started.
async fn load(pool: &PgPool) -> Loaded<Training> {
    Log::new(pool.clone()).load(STREAM).await.unwrap()
}

async fn load_without(pool: &PgPool) -> Loaded<Training> {
    let log = Log::new(pool.clone()).without_snapshots();
    assert_eq!(log.take_snapshots().await.unwrap(), 0);
    log.load(STREAM).await.unwrap()
}

async fn sql(pool: &PgPool, statement: &'static str) {
    let done = sqlx::query(statement).execute(pool).await.unwrap();
    assert!(done.rows_affected() > 0, "{statement}");
}

#[tokio::test]
async fn any_history_gives_the_same_state_with_and_without_snapshots() {
    for seed in 0..4 {
        let pool = empty_log().await.pool().clone();
        let mut history = History::new(seed);
        let mut draw = Draw::new(seed ^ 0xff);
        let mut version = 0;
        let daemon = Log::new(pool.clone());
        let mut taken = 0;
        for _ in 0..6 {
            let events = history.events(1 + draw.below(900) as usize);
            append(&pool, version, &events).await;
            version += events.len() as u64;
            // This one reads on from what it knows; the others know nothing.
            let known: Loaded<Training> = daemon.load(STREAM).await.unwrap();
            let expected = load_without(&pool).await;
            assert_eq!(expected.version, version);
            assert_eq!(expected.state, history.training);
            assert_eq!(known, expected);
            assert_eq!(
                load(&pool).await,
                expected,
                "seed {seed}, version {version}"
            );
            if draw.one_in(2) {
                taken += daemon.take_snapshots().await.unwrap();
                assert_eq!(
                    load(&pool).await,
                    expected,
                    "seed {seed}, version {version}"
                );
            }
        }
        assert!(version < 1_000 || taken > 0 || seed != 0);
    }
}

/// A stream with a snapshot, and some events after it.
async fn with_a_snapshot() -> (PgPool, Loaded<Training>) {
    let pool = empty_log().await.pool().clone();
    let mut history = History::new(7);
    let events = history.events(1_500);
    append(&pool, 0, &events).await;
    let daemon = Log::new(pool.clone());
    daemon.load::<Training>(STREAM).await.unwrap();
    assert_eq!(daemon.take_snapshots().await.unwrap(), 1);
    assert_eq!(
        daemon.take_snapshots().await.unwrap(),
        0,
        "it has not grown"
    );
    let more = history.events(30);
    append(&pool, events.len() as u64, &more).await;
    let expected = load_without(&pool).await;
    assert_eq!(load(&pool).await, expected);
    (pool, expected)
}

#[tokio::test]
async fn a_snapshot_is_what_a_daemon_starts_from() {
    let (pool, expected) = with_a_snapshot().await;
    // It is believed: that it says something else shows.
    sql(
        &pool,
        "UPDATE snapshot.states SET state = jsonb_set(state, '{attempts,retries}', '7777')",
    )
    .await;
    let found = load(&pool).await;
    assert!(found.state.attempts().retries >= 7777);
    assert_ne!(found, expected);
    assert_eq!(load_without(&pool).await, expected);
    // And it is written anew when the stream has grown, by whoever reads it from its beginning.
    sql(&pool, "DELETE FROM snapshot.states").await;
    assert_eq!(load(&pool).await, expected);
}

#[tokio::test]
async fn what_cannot_be_used_is_passed_over() {
    let (pool, expected) = with_a_snapshot().await;
    for damage in [
        "UPDATE snapshot.states SET state = '{\"status\": \"flying\"}'",
        "UPDATE snapshot.states SET state = '[1, 2]'",
        "UPDATE snapshot.states SET event_hash = '\\x00'",
        "UPDATE snapshot.states SET version = version + 1000000",
        "UPDATE snapshot.states SET version = version - 1",
        "UPDATE snapshot.states SET code = 'another'",
        "DELETE FROM snapshot.states",
    ] {
        let mut transaction = pool.begin().await.unwrap();
        sqlx::query("CREATE TABLE IF NOT EXISTS kept AS TABLE snapshot.states")
            .execute(&mut *transaction)
            .await
            .unwrap();
        sqlx::query(damage)
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(load(&pool).await, expected, "{damage}");
        sqlx::raw_sql(
            "DELETE FROM snapshot.states; INSERT INTO snapshot.states TABLE kept; DROP TABLE kept",
        )
        .execute(&pool)
        .await
        .unwrap();
    }
    // Not even a table is needed.
    sqlx::raw_sql("DROP TABLE snapshot.states")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(load(&pool).await, expected);
}

#[tokio::test]
async fn a_snapshot_of_a_history_that_was_altered_is_not_used() {
    let (pool, _) = with_a_snapshot().await;
    sqlx::raw_sql(
        "UPDATE snapshot.states SET state = jsonb_set(state, '{total_steps}', '7'); \
         ALTER TABLE log.events DISABLE TRIGGER USER; \
         UPDATE log.events SET hash = sha256(hash) WHERE version >= (SELECT version FROM snapshot.states)",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert_eq!(load(&pool).await.state.total_steps(), u64::from(STEPS));
}

#[tokio::test]
async fn the_oldest_go() {
    let (pool, expected) = with_a_snapshot().await;
    sqlx::raw_sql(
        "INSERT INTO snapshot.states SELECT category, format('old_%s', n), version, event_hash, code, state, taken_at - n * interval '1 s' \
         FROM snapshot.states, generate_series(1, 300) n",
    )
    .execute(&pool)
    .await
    .unwrap();
    let daemon = Log::new(pool.clone());
    let mut history = History::new(7);
    let known = history.events(expected.version as usize).len() as u64;
    append(&pool, expected.version, &history.events(1_100)).await;
    assert_eq!(known, expected.version);
    daemon.load::<Training>(STREAM).await.unwrap();
    assert_eq!(daemon.take_snapshots().await.unwrap(), 1);
    let (rows, ours): (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE stream_id = 'tr_long') FROM snapshot.states",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!((rows, ours), (256, 1));
    assert_eq!(load(&pool).await, load_without(&pool).await);
}

/// What is gained, as a figure to be seen with `--nocapture`.
#[tokio::test]
async fn a_stream_of_twenty_thousand_events_is_not_read_from_its_beginning() {
    let pool = empty_log().await.pool().clone();
    append(&pool, 0, &History::new(3).events(20_000)).await;
    let start = Instant::now();
    let expected = load_without(&pool).await;
    let without = start.elapsed();
    let daemon = Log::new(pool.clone());
    daemon.load::<Training>(STREAM).await.unwrap();
    daemon.take_snapshots().await.unwrap();
    // No event between the first page and the snapshot can be read: they are not looked at.
    sqlx::raw_sql(
        "ALTER TABLE log.events DISABLE TRIGGER USER; \
         UPDATE log.events SET payload = '{}' WHERE version BETWEEN 1001 AND 20000 - 1",
    )
    .execute(&pool)
    .await
    .unwrap();
    let start = Instant::now();
    let found = load(&pool).await;
    println!(
        "{} events: {without:.0?} from the beginning, {:.0?} from a snapshot",
        expected.version,
        start.elapsed()
    );
    assert_eq!(found, expected);
    let (bytes, size): (i64, serde_json::Value) = sqlx::query_as(
        "SELECT length(state::text)::bigint, to_jsonb(version) FROM snapshot.states",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(bytes < 1 << 20, "{bytes} bytes at {size}");
    assert_eq!(size, json!(expected.version));
}
