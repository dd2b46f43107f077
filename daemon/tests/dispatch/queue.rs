//! The faults of the queue that were measured, one test each: it would fail if the fault showed.

use crate::fixture::{World, until};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use trainmaster::queue::{self, HandlerError, QueueOptions, QueueTask, QueueWorker};
use trainmaster_domain::{Category, StreamId, Task};
use trainmaster_tests::postgres::Cluster;

type Counts = Arc<Mutex<BTreeMap<String, usize>>>;

fn quick() -> QueueOptions {
    QueueOptions {
        poll_interval: Some(Duration::from_millis(200)),
        heartbeat_interval: Duration::from_millis(500),
        missed_heartbeats: 5,
        handler_limit: Duration::from_millis(900),
        ..QueueOptions::default()
    }
}

async fn push(world: &World, ids: impl IntoIterator<Item = String>) {
    let tasks: Vec<_> = ids
        .into_iter()
        .map(|id| QueueTask {
            stream: StreamId::new(Category::Model, id),
            task: Task::Unblock,
            correlation_id: String::new(),
            causation_id: None,
            recorded_at: None,
            traceparent: None,
        })
        .collect();
    let mut transaction = world.pool.begin().await.unwrap();
    let now = world.log.now().await.unwrap();
    queue::push(&mut transaction, "trainmaster", &tasks, now)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}

fn work<F>(
    world: &World,
    options: QueueOptions,
    handler: impl Fn(QueueTask) -> F + Send + Sync + 'static,
) -> (JoinHandle<()>, CancellationToken)
where
    F: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    let shutdown = CancellationToken::new();
    let worker = QueueWorker::new(
        world.pool.clone(),
        options,
        "here",
        Arc::new(Notify::new()),
        handler,
    );
    (tokio::spawn(worker.run(shutdown.clone())), shutdown)
}

fn count(counts: &Counts, task: &QueueTask) {
    *counts
        .lock()
        .unwrap()
        .entry(task.stream.id.clone())
        .or_default() += 1;
}

async fn all_done(world: &World, expected: i64) {
    until("all tasks to be done", async || {
        world
            .scalar::<i64>("SELECT count(*) FROM apalis.jobs WHERE status IN ('Done', 'Failed')")
            .await
            == expected
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_take_long_together_run_once_each() {
    let world = World::new().await;
    let counts = Counts::default();
    // Together longer than the window in which a worker must be heard of, with two workers who would take over from each other.
    let options = QueueOptions {
        concurrency: 1,
        ..quick()
    };
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let counts = Arc::clone(&counts);
            work(&world, options.clone(), move |task| {
                count(&counts, &task);
                async {
                    tokio::time::sleep(Duration::from_millis(400)).await;
                    Ok(())
                }
            })
        })
        .collect();
    push(&world, (0..24).map(|number| format!("m_{number}"))).await;
    all_done(&world, 24).await;
    for (running, shutdown) in workers {
        shutdown.cancel();
        running.await.unwrap();
    }
    let counts = counts.lock().unwrap();
    assert_eq!(counts.len(), 24);
    assert!(counts.values().all(|times| *times == 1), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_in_hand_at_shutdown_is_finished_and_runs_once() {
    let world = World::new().await;
    let counts = Counts::default();
    let finished = Arc::new(AtomicUsize::new(0));
    let handler = |counts: Counts, finished: Arc<AtomicUsize>| {
        move |task: QueueTask| {
            count(&counts, &task);
            let finished = Arc::clone(&finished);
            async move {
                tokio::time::sleep(Duration::from_millis(700)).await;
                finished.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        }
    };
    let (running, shutdown) = work(
        &world,
        quick(),
        handler(Arc::clone(&counts), Arc::clone(&finished)),
    );
    push(&world, ["m_1".to_owned()]).await;
    until("the task to begin", async || {
        !counts.lock().unwrap().is_empty()
    })
    .await;
    shutdown.cancel();
    let (another, stop) = work(
        &world,
        quick(),
        handler(Arc::clone(&counts), Arc::clone(&finished)),
    );
    running.await.unwrap();
    all_done(&world, 1).await;
    // Longer than the window after which the second worker would take it over.
    tokio::time::sleep(Duration::from_secs(3)).await;
    stop.cancel();
    another.await.unwrap();
    assert_eq!(finished.load(Ordering::SeqCst), 1);
    assert_eq!(counts.lock().unwrap()["m_1"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_hangs_is_cut_off_before_another_worker_takes_its_task() {
    let world = World::new().await;
    let counts = Counts::default();
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let counts = Arc::clone(&counts);
            work(&world, quick(), move |task| {
                count(&counts, &task);
                std::future::pending()
            })
        })
        .collect();
    push(&world, ["m_1".to_owned()]).await;
    all_done(&world, 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    for (running, shutdown) in workers {
        shutdown.cancel();
        running.await.unwrap();
    }
    assert_eq!(counts.lock().unwrap()["m_1"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_a_worker_that_was_killed_is_taken_over() {
    let world = World::new().await;
    push(&world, ["m_1".to_owned()]).await;
    // As a worker leaves it that is killed: fetched, and not heard of any more.
    sqlx::raw_sql(
        "INSERT INTO apalis.workers (id, worker_type, storage_name, last_seen)
         VALUES ('here-dead', 'trainmaster', 'PgStorage', now());
         UPDATE apalis.jobs SET status = 'Running', lock_by = 'here-dead', lock_at = now()",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let counts = Counts::default();
    let (running, shutdown) = work(&world, quick(), {
        let counts = Arc::clone(&counts);
        move |task| {
            count(&counts, &task);
            async { Ok(()) }
        }
    });
    all_done(&world, 1).await;
    shutdown.cancel();
    running.await.unwrap();
    assert_eq!(counts.lock().unwrap()["m_1"], 1);
    // That is why no worker has a name that another had.
    assert_eq!(
        world
            .scalar::<i64>("SELECT count(*) FROM apalis.workers WHERE id = 'here'")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_or_panics_is_not_tried_again() {
    let world = World::new().await;
    let counts = Counts::default();
    let (running, shutdown) = work(&world, quick(), {
        let counts = Arc::clone(&counts);
        move |task| {
            count(&counts, &task);
            async move {
                assert_ne!(task.stream.id, "m_2", "as wanted");
                Err("it fails".into())
            }
        }
    });
    push(&world, ["m_1".to_owned(), "m_2".to_owned()]).await;
    all_done(&world, 2).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    shutdown.cancel();
    running.await.unwrap();
    let counts = counts.lock().unwrap();
    assert_eq!((counts["m_1"], counts["m_2"]), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_ends_its_workers_is_put_aside() {
    let world = World::new().await;
    push(&world, ["m_1".to_owned()]).await;
    sqlx::query("UPDATE apalis.jobs SET attempts = 3")
        .execute(&world.pool)
        .await
        .unwrap();
    let counts = Counts::default();
    let (running, shutdown) = work(&world, quick(), {
        let counts = Arc::clone(&counts);
        move |task| {
            count(&counts, &task);
            async { Ok(()) }
        }
    });
    all_done(&world, 1).await;
    shutdown.cancel();
    running.await.unwrap();
    assert!(counts.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_nobody_can_read_are_put_aside_and_the_others_run() {
    let world = World::new().await;
    let ids = (1..=3).map(|number| format!("m_{number}"));
    push(&world, ids).await;
    for unreadable in [
        "UPDATE apalis.jobs SET id = 'nobody', run_at = run_at - interval '2 s' WHERE position('m_1'::bytea IN job) > 0",
        "UPDATE apalis.jobs SET job = '{}', run_at = run_at - interval '1 s' WHERE position('m_2'::bytea IN job) > 0",
    ] {
        let changed = sqlx::query(unreadable).execute(&world.pool).await.unwrap();
        assert_eq!(changed.rows_affected(), 1);
    }
    let counts = Counts::default();
    let (running, shutdown) = work(&world, quick(), {
        let counts = Arc::clone(&counts);
        move |task| {
            count(&counts, &task);
            async { Ok(()) }
        }
    });
    all_done(&world, 1).await;
    shutdown.cancel();
    running.await.unwrap();
    assert_eq!(counts.lock().unwrap().keys().collect::<Vec<_>>(), ["m_3"]);
    let aside = "SELECT count(*) FROM apalis.jobs WHERE status = 'Killed'";
    assert_eq!(world.scalar::<i64>(aside).await, 2);
}

#[tokio::test]
async fn a_task_that_a_wrong_clock_has_put_off_is_due_again() {
    let world = World::new().await;
    push(&world, ["m_1".to_owned(), "m_2".to_owned()]).await;
    sqlx::query("UPDATE apalis.jobs SET run_at = now() + interval '40 days'")
        .execute(&world.pool)
        .await
        .unwrap();
    let rescued = queue::rescue(&world.pool, &quick()).await.unwrap();
    assert_eq!(rescued, 2);
    let is_due = "SELECT bool_and(run_at <= now() AND attempts = 0) FROM apalis.jobs";
    assert!(world.scalar::<bool>(is_due).await);
    assert_eq!(queue::rescue(&world.pool, &quick()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_task_is_due_at_once_whatever_the_clock_of_whoever_pushes_it() {
    let world = World::new().await;
    push(&world, ["m_1".to_owned()]).await;
    assert!(
        world
            .scalar::<bool>("SELECT run_at < now() FROM apalis.jobs")
            .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_postgres_is_survived() {
    // Durable, as the default settings are: what is committed is there after a crash.
    let cluster = Cluster::start_with(&[]);
    let world = World::in_cluster(&cluster).await;
    let daemon = world.daemon();
    world.register_model("m_1").await;
    world
        .wait_for(Category::Model, "m_1", "ModelInspected")
        .await;
    world.hold("end");
    world.register_model("m_2").await;
    world.wait_for(Category::Model, "m_2", "ModelClaimed").await;
    cluster.stop();
    cluster.boot();
    world.release("end");
    let types = world
        .wait_for(Category::Model, "m_2", "ModelInspected")
        .await;
    assert!(!types.contains(&"ModelLeaseExpired"), "{types:?}");
    until("the database to take commands", async || {
        sqlx::query("SELECT 1").execute(&world.pool).await.is_ok()
    })
    .await;
    world.register_model("m_3").await;
    world
        .wait_for(Category::Model, "m_3", "ModelInspected")
        .await;
    daemon.stop().await;
}

#[tokio::test]
async fn finished_tasks_do_not_pile_up() {
    let world = World::new().await;
    push(&world, (0..3).map(|number| format!("m_{number}"))).await;
    sqlx::raw_sql(
        "UPDATE apalis.jobs SET status = 'Done', done_at = now() - interval '2 h';
         UPDATE apalis.jobs SET done_at = now() WHERE id = (SELECT min(id) FROM apalis.jobs)",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        queue::prune(&world.pool, &QueueOptions::default())
            .await
            .unwrap(),
        2
    );
}
