//! Random histories, closed and archived at random moments, read as if nothing had been.

use super::{World, execute, stream_of};
use serde_json::Value;
use sqlx::AssertSqlSafe;
use trainmaster::log::Log;
use trainmaster_domain::{Position, dataset::Dataset, model::Model, training::Training};
use trainmaster_tests::history::{Draw, History};

async fn lived_through(seed: u64, commands: usize) -> (World, History) {
    let mut world = World::new().await;
    let mut history = History::new(seed);
    let mut draw = Draw::new(seed);
    for _ in 0..commands / 10 {
        world.live(&mut history, 10).await;
        match draw.below(12) {
            0 | 1 => {
                world.archiver.close().await.unwrap();
            }
            2 => {
                let before = draw.one_of(&world.written).recorded_at;
                world.archiver.archive(before).await.unwrap();
            }
            3 if draw.one_in(3) => {
                world.archive_all().await;
            }
            _ => {}
        }
    }
    (world, history)
}

async fn same_as_written(world: &World, log: &Log, draw: &mut Draw) {
    let written = &world.written;
    let mut read = Vec::new();
    let mut at = Position::START;
    loop {
        let limit = 1 + draw.below(97) as usize;
        let page = log.read(at, limit).await.unwrap();
        let is_last = page.len() < limit;
        at = page.last().map_or(at, |last| last.position);
        read.extend(page);
        if is_last {
            break;
        }
    }
    assert!(read == *written, "{} of {}", read.len(), written.len());
    assert_eq!(log.head().await.unwrap(), written.last().unwrap().position);
    for events in world.streams().values() {
        let stream = stream_of(events);
        assert_eq!(
            log.read_stream(stream, 0, usize::MAX).await.unwrap(),
            *events
        );
        let after = draw.below(events.len() as u64 + 1);
        let limit = 1 + draw.below(5) as usize;
        let from = usize::try_from(after).unwrap();
        let expected = &events[from..events.len().min(from + limit)];
        assert_eq!(
            log.read_stream(stream, after, limit).await.unwrap(),
            expected
        );
    }
    for _ in 0..20 {
        let one = draw.one_of(written);
        let filters = [
            (None, None, None),
            (Some(one.stream.category.as_str()), None, None),
            (
                Some(one.stream.category.as_str()),
                Some(one.stream.id.as_str()),
                None,
            ),
            (None, None, Some(one.event.event_type())),
        ];
        let (category, stream, kind) = *draw.one_of(&filters);
        let passing: Vec<Position> = written
            .iter()
            .filter(|event| {
                category.is_none_or(|category| category == event.stream.category.as_str())
                    && stream.is_none_or(|stream| stream == event.stream.id)
                    && kind.is_none_or(|kind| kind == event.event.event_type())
            })
            .map(|event| event.position)
            .collect();
        let count = draw.below(passing.len() as u64 + 3) as usize;
        let expected = passing
            .len()
            .checked_sub(count + 1)
            .map_or(Position::START, |n| passing[n]);
        let found = log
            .before_last(u32::try_from(count).unwrap(), category, stream, kind)
            .await
            .unwrap();
        assert_eq!(found, expected, "{count} of {}", passing.len());
    }
}

async fn same_states(log: &Log, history: &History) {
    for (id, state) in history.datasets() {
        assert_eq!(log.load::<Dataset>(id).await.unwrap().state, *state);
    }
    for (id, state) in history.models() {
        assert_eq!(log.load::<Model>(id).await.unwrap().state, *state);
    }
    for (id, state) in history.trainings() {
        assert_eq!(log.load::<Training>(id).await.unwrap().state, *state);
    }
}

#[tokio::test]
async fn what_was_written_is_read_whatever_has_left_the_database() {
    for seed in [1, 2] {
        let (world, history) = lived_through(seed, 400).await;
        let mut draw = Draw::new(seed);
        same_as_written(&world, &world.log, &mut draw).await;
        let fresh = world.fresh();
        same_as_written(&world, &fresh, &mut draw).await;
        same_states(&fresh, &history).await;
        world.log.note_heads().await.unwrap();
        let written = world.written.len() as u64;
        let verified = fresh.verify().await.unwrap();
        assert_eq!(
            (verified.events, verified.streams),
            (written, world.streams().len() as u64)
        );
        world.archive_all().await;
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM log.open_events")
            .fetch_one(world.log.pool())
            .await
            .unwrap();
        assert_eq!(left, 0);
        let fresh = world.fresh();
        same_as_written(&world, &fresh, &mut draw).await;
        same_states(&world.fresh(), &history).await;
        assert_eq!(fresh.verify().await.unwrap().events, written);
    }
}

#[tokio::test]
async fn streams_go_on_where_their_archived_segments_end() {
    let mut world = World::new().await;
    let mut history = History::new(3);
    for _ in 0..6 {
        world.live(&mut history, 40).await;
        world.archive_all().await;
    }
    assert!(world.segments().await.len() >= 6);
    for events in world.streams().values() {
        let versions: Vec<u64> = events.iter().map(|event| event.version).collect();
        assert_eq!(versions, (1..=events.len() as u64).collect::<Vec<_>>());
    }
    same_as_written(&world, &world.fresh(), &mut Draw::new(3)).await;
}

#[tokio::test]
async fn a_repeated_command_gets_its_first_answer_from_the_archive() {
    let (world, _) = lived_through(4, 200).await;
    world.archive_all().await;
    let fresh = world.fresh();
    for (command, metadata, first) in world.executed.iter().step_by(3) {
        let again = execute(&fresh, command.clone(), metadata.clone()).await;
        assert!(again.repeated, "{metadata:?}");
        assert_eq!(
            (&again.events, again.version, again.position),
            (&first.events, first.version, first.position)
        );
    }
    assert_eq!(
        fresh.read(Position::START, usize::MAX).await.unwrap(),
        world.written
    );
}

/// What the database is asked about, with the parameters of a request.
fn questions() -> Vec<String> {
    let mut questions: Vec<String> = [
        include_str!("../../../src/dispatch/waiting.sql").to_owned(),
        include_str!("../../../src/slurm/live.sql").to_owned(),
        include_str!("../../../src/supervisor/recover.sql")
            .replace("$1", "'w'")
            .replace("$2", "'h'")
            .replace("$3", "'d'")
            .replace("$4", "-1000000"),
        "SELECT category, stream_id, type FROM log.events WHERE type IN ('DatasetDeleted', 'ModelDeleted', 'TrainingDeleted')".to_owned(),
        "SELECT stream_id, payload ->> 'storage_path' FROM log.events WHERE type = 'CheckpointPruned'".to_owned(),
    ]
    .into();
    for id in 0..8 {
        for kind in ["model m", "dataset ds", "training tr"] {
            questions.push(
                include_str!("../../../src/log/guard/dependents.sql")
                    .replace("$1", &format!("'{kind}_{id}'")),
            );
        }
    }
    questions
}

async fn answers(log: &Log, ids: &[(String, String)]) -> Vec<Vec<Value>> {
    let mut questions = questions();
    for (category, id) in ids {
        questions.push(
            include_str!("../../../src/log/guard/dependents.sql")
                .replace("$1", &format!("'{category} {id}'")),
        );
        for question in [
            include_str!("../../../src/queries/trainings/outcome.sql"),
            include_str!("../../../src/queries/evaluations/latest.sql"),
            include_str!("../../../src/queries/jobs/times.sql"),
            include_str!("../../../src/commands/extract/latents.sql"),
            "SELECT payload FROM log.events WHERE stream_id = $1 AND type = 'MetricsRecorded' ORDER BY version DESC LIMIT 1",
            "SELECT type, payload FROM log.events WHERE stream_id = $1 ORDER BY version DESC LIMIT 1",
        ] {
            questions.push(
                question
                    .replace("$1", &format!("'{id}'"))
                    .replace("$2", "9"),
            );
        }
    }
    let mut answers = Vec::new();
    for question in questions {
        let mut rows: Vec<Value> = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT to_jsonb(answer) FROM ({question}) AS answer"
        )))
        .fetch_all(log.pool())
        .await
        .unwrap_or_else(|error| panic!("{error}: {question}"));
        if !question.contains("ORDER BY") {
            rows.sort_by_key(Value::to_string);
        }
        answers.push(rows);
    }
    answers
}

#[tokio::test]
async fn what_the_database_is_asked_it_still_answers() {
    let mut world = World::new().await;
    let mut history = History::new(5);
    world.live(&mut history, 400).await;
    let ids: Vec<(String, String)> = world
        .streams()
        .into_keys()
        .map(|(category, id)| (category.to_owned(), id))
        .collect();
    let before = answers(&world.log, &ids).await;
    assert!(before.iter().filter(|rows| !rows.is_empty()).count() > ids.len());
    // In two parts, so that the table of what stays is used again.
    let middle = world.written[world.written.len() / 2].recorded_at;
    world.archiver.archive(middle).await.unwrap();
    world.archive_all().await;
    world.live(&mut history, 1).await;
    world.archive_all().await;
    let last = world.written.last().unwrap().clone();
    let after = answers(&world.log, &ids).await;
    for (n, (before, after)) in before.iter().zip(&after).enumerate() {
        let is_about_last = |rows: &[Value]| format!("{rows:?}").contains(&last.stream.id);
        let same = before == after || is_about_last(after) || is_about_last(before);
        assert!(same, "question {n}: {before:?} and {after:?}");
    }
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM log.events")
        .fetch_one(world.log.pool())
        .await
        .unwrap();
    assert!(usize::try_from(kept).unwrap() < world.written.len());
}
