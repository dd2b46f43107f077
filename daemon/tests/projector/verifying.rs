use crate::fixture::{MISTUDIO, Running, World, status};
use tokio::sync::watch;
use trainmaster::progress::Progress;
use trainmaster::projector::{DifferenceKind, ProjectionVerified, Projector};
use trainmaster_tests::history::History;

async fn verify(projector: &Projector) -> ProjectionVerified {
    projector
        .verify(MISTUDIO, &watch::Sender::default())
        .await
        .unwrap()
}

/// Keys and indexes of the read model's tables, by the names that Postgres gives them.
async fn keys(world: &World) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT concat(c.relname, ' ', i.relname, ' ', pg_get_indexdef(i.oid), ' ', x.indisvalid, ' ', x.indisprimary)
           FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
          WHERE c.relnamespace = 'mistudio'::regnamespace
         UNION ALL
         SELECT concat(conrelid::regclass, ' ', conname, ' ', pg_get_constraintdef(oid), ' ', convalidated)
           FROM pg_constraint WHERE connamespace = 'mistudio'::regnamespace
         UNION ALL
         SELECT concat(attrelid::regclass, ' ', attname, ' ', attnotnull)
           FROM pg_attribute WHERE attrelid = 'mistudio.training_metrics'::regclass AND attnum > 0
         ORDER BY 1",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_to_tables_by_hand_is_found_told_and_replaced() {
    let mut world = World::new().await;
    let running = Running::start(world.projector(100));
    let mut history = History::new(47);
    let last = world.live(&mut history, 300).await;
    running.reaches(last).await;
    let (rows, made) = (world.rows().await, keys(&world).await);

    let same = verify(&running.projector).await;
    assert!(same.is_same && same.not_compared.is_none(), "{same:?}");
    assert_eq!(same.position, last);
    for table in &same.tables {
        assert_eq!(table.before, Some(table.after), "{}", table.table);
        assert_eq!(table.hash_before, table.hash_after, "{}", table.table);
    }
    assert_eq!(
        world.schemas().await,
        ["mistudio"],
        "it leaves nothing behind"
    );
    assert!(status(&running.projector).await.differences.is_empty());

    for (damage, table, kind) in [
        (
            "UPDATE mistudio.training_metrics SET loss = loss + 1e-9 WHERE id = (SELECT max(id) FROM mistudio.training_metrics)",
            "training_metrics",
            DifferenceKind::Altered,
        ),
        (
            "DELETE FROM mistudio.checkpoints WHERE id = (SELECT min(id) FROM mistudio.checkpoints)",
            "checkpoints",
            DifferenceKind::Missing,
        ),
        (
            "INSERT INTO mistudio.datasets (id, name, source, size_bytes) VALUES ('a_stranger', 'x', 'Local', 0)",
            "datasets",
            DifferenceKind::NotFromTheLog,
        ),
    ] {
        let id: String = match kind {
            DifferenceKind::NotFromTheLog => "a_stranger".to_owned(),
            DifferenceKind::Missing => {
                scalar(&world, "SELECT min(id) FROM mistudio.checkpoints").await
            }
            DifferenceKind::Altered => {
                scalar(
                    &world,
                    "SELECT max(id)::text FROM mistudio.training_metrics",
                )
                .await
            }
        };
        world.sql(damage).await;
        let found = verify(&running.projector).await;
        assert!(!found.is_same, "{damage}");
        let differing: Vec<_> = found.tables.iter().filter(|it| it.differs()).collect();
        assert_eq!(differing.len(), 1, "{damage}: {differing:?}");
        assert_eq!(differing[0].table, table);
        let first = differing[0].first_difference.as_ref().unwrap();
        assert_eq!(
            (first.id.as_str(), first.kind),
            (id.as_str(), kind),
            "{damage}"
        );
        assert_eq!(world.schemas().await, ["mistudio"]);
        let told = status(&running.projector).await.differences;
        assert_eq!((told.len(), told[0].table.as_str()), (1, table));
        assert!(!told[0].mended);

        let rebuilt = running.projector.rebuild(MISTUDIO).await.unwrap();
        assert!(
            rebuilt
                .tables
                .iter()
                .any(|it| it.table == table && it.differs())
        );
        assert!(rows == world.rows().await, "{damage}");
        assert_eq!(
            made,
            keys(&world).await,
            "what is built anew has other keys"
        );
        let told = status(&running.projector).await.differences;
        assert!(told.len() == 1 && told[0].mended, "{told:?}");
        assert!(verify(&running.projector).await.is_same);
        assert!(status(&running.projector).await.differences.is_empty());
    }
    running.end().await;
}

async fn scalar(world: &World, sql: &'static str) -> String {
    sqlx::query_scalar(sql)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_tells_how_far_it_is_and_that_it_goes_on_while_events_are_appended() {
    let mut world = World::new().await;
    let running = Running::start(world.projector(3));
    let mut history = History::new(53);
    let last = world.live(&mut history, 200).await;
    running.reaches(last).await;
    let (sender, mut told) = watch::channel(Progress::default());
    let projector = running.projector.clone();
    let verifying = tokio::spawn(async move { projector.verify(MISTUDIO, &sender).await });
    let (mut stages, mut most) = (vec![], 0);
    while told.changed().await.is_ok() {
        let progress = *told.borrow_and_update();
        assert!(progress.done <= progress.total, "{progress:?}");
        if stages.last() != Some(&progress.unit) {
            stages.push(progress.unit);
        }
        if progress.unit == "events" {
            most = most.max(progress.total);
            world.live(&mut history, 1).await;
        }
    }
    let verified = verifying.await.unwrap().unwrap();
    assert!(verified.is_same, "{verified:?}");
    assert!(verified.position >= last);
    assert!(stages.contains(&"events"), "{stages:?}");
    assert!(
        most > 200,
        "it never said how many events there are: {most}"
    );
    running.end().await;
}
