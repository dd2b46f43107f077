//! Going back: to a moment of a database that is gone, and to a backup in a state directory that is new.
#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::Value;
use std::{fs, path::Path, time::Duration};
use trainmaster_tests::lab::{EmbeddedLab, Steps, wait_for_no_trainer};

const SHORT: Steps = Steps {
    total: 40,
    checkpoint_every: 20,
    batch: 64,
};
/// Long enough that a request meets it at work, however busy the machine is.
const LONG: Steps = Steps {
    total: 1_000,
    checkpoint_every: 50,
    batch: 512,
};

const EVENTS: &str = "SELECT count(*) FROM log.events WHERE $1 = ''";
const EVENTS_OF: &str = "SELECT count(*) FROM log.events WHERE stream_id = $1";
const NOW: &str = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') WHERE $1 = ''";
const ROWS: &str = "SELECT coalesce(string_agg(line, E'\\n' ORDER BY line), '') FROM (
    SELECT 'dataset ' || t::text FROM mistudio.datasets t UNION ALL
    SELECT 'model ' || t::text FROM mistudio.models t UNION ALL
    SELECT 'training ' || t::text FROM mistudio.trainings t UNION ALL
    SELECT 'metrics ' || t::text FROM mistudio.training_metrics t UNION ALL
    SELECT 'checkpoint ' || t::text FROM mistudio.checkpoints t) AS rows (line) WHERE $1 = ''";

/// Making the read model anew changes no row, and every event is as it was written.
async fn assert_rebuild_equals_live(lab: &EmbeddedLab) {
    let live: String = lab.ask(ROWS, "").await;
    assert!(live.contains("training "));
    lab.cli(&["projections", "rebuild", "mistudio"]);
    let rebuilt: String = lab.ask(ROWS, "").await;
    assert_eq!(live, rebuilt);
    lab.cli(&["log", "verify", "--skip-artifacts"]);
}

/// What must be true of a training that is completed, whatever the log went through.
async fn assert_completed_once(lab: &EmbeddedLab, id: &str, total: u32) {
    let ends: i64 = lab
        .ask(
            "SELECT count(*) FROM log.events WHERE stream_id = $1 AND type IN ('TrainingCompleted', 'TrainingStopped')",
            id,
        )
        .await;
    assert_eq!(ends, 1);
    let steps: Vec<i32> = lab
        .ask(
            "SELECT array_agg(step ORDER BY step) FROM mistudio.training_metrics WHERE training_id = $1",
            id,
        )
        .await;
    let total = total.cast_signed();
    let expected: Vec<i32> = (1..=total)
        .filter(|step| *step == 1 || step % 5 == 0)
        .collect();
    assert_eq!(steps, expected);
    let paths: Vec<String> = lab
        .ask(
            "SELECT array_agg(storage_path) FROM mistudio.checkpoints WHERE training_id = $1",
            id,
        )
        .await;
    for path in paths {
        assert!(Path::new(&path).is_dir(), "{path}");
    }
}

async fn wait_for_checkpoints(lab: &EmbeddedLab, id: &str, count: i64) {
    let so_many = async {
        while lab
            .ask::<i64>(
                "SELECT count(*) FROM mistudio.checkpoints WHERE training_id = $1",
                id,
            )
            .await
            < count
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), so_many)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_destroyed_database_is_taken_back_to_a_moment_and_what_was_interrupted_goes_on() {
    let mut lab = EmbeddedLab::new();
    // A name that a shell and a server must both be told to take as it is.
    let archive = lab.place("it's 100% \"kept\"");
    lab.set("POSTGRES__WAL_ARCHIVE", &archive.to_string_lossy());
    let daemon = lab.start();
    let furniture = lab.furnish().await;
    lab.cli(&["backup", "create", "--kind", "physical"]);
    let id = lab.train(&furniture, LONG);
    wait_for_checkpoints(&lab, &id, 1).await;
    let moment: String = lab.ask(NOW, "").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let known: i64 = lab.ask(EVENTS, "").await;

    // A future that is to be lost: another lease of the same training, and a training that nobody will have heard of.
    lab.cli(&["pause", &id]);
    lab.wait_for_status("training", &id, "paused").await;
    wait_for_no_trainer(&lab.run_directory(&id));
    lab.cli(&["resume", &id]);
    wait_for_checkpoints(&lab, &id, 4).await;
    let unheard_of = lab.train(&furniture, SHORT);
    lab.wait_for_status("training", &id, "completed").await;
    lab.wait_for_status("training", &unheard_of, "completed")
        .await;
    let future: i64 = lab.ask(EVENTS, "").await;
    assert!(future > known);
    let segment: String = lab
        .ask("SELECT pg_walfile_name(pg_switch_wal()) WHERE $1 = ''", "")
        .await;
    let archived = async {
        while lab
            .ask::<Option<String>>(
                "SELECT last_archived_wal FROM pg_stat_archiver WHERE $1 = ''",
                "",
            )
            .await
            < Some(segment.clone())
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), archived)
        .await
        .unwrap();
    daemon.kill();
    lab.pull_all_plugs();
    fs::remove_dir_all(lab.state().join("postgres")).unwrap();

    let restored = lab.cli(&["restore", "latest", "--to", &moment, "--yes"]);
    let time = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap();
    let last = restored["recorded_at"].as_str().unwrap();
    assert!(time(last) <= time(&moment), "{restored}");
    let events = restored["events"].as_i64().unwrap();
    assert!((1..=known).contains(&events), "{restored}");
    let daemon = lab.start();
    assert_eq!(lab.ask::<i64>(EVENTS_OF, &unheard_of).await, 0);

    // The lease that is known is believed in what it did until it rested; what came after it is put aside and done again.
    let restores: String = lab
        .ask("SELECT id FROM recovery.restores WHERE $1 = ''", "")
        .await;
    let aside = lab.state().join("set-aside").join(restores).join("runs");
    assert!(aside.join(&unheard_of).join("result").is_dir());
    assert!(!lab.run_directory(&unheard_of).exists());
    assert!(aside.join(&id).join("result").is_dir());
    assert!(aside.join(&id).join("journal.jsonl").is_file());
    lab.wait_for_status("training", &id, "paused").await;
    lab.cli(&["resume", &id]);
    lab.wait_for_status("training", &id, "completed").await;
    assert_completed_once(&lab, &id, LONG.total).await;
    assert_rebuild_equals_live(&lab).await;

    // The restored log goes on being kept: back to the end of the new history, with a copy made on it and with the old one.
    let again = lab.train(&furniture, SHORT);
    lab.wait_for_status("training", &again, "completed").await;
    let all: i64 = lab.ask(EVENTS, "").await;
    assert!(daemon.stop().success());
    let restored = lab.cli(&["restore", "latest", "--yes"]);
    assert_eq!(restored["events"].as_i64(), Some(all), "{restored}");
    let aside = restored["aside"].as_str().unwrap();
    assert!(Path::new(aside).join("PG_VERSION").is_file());
    let _daemon = lab.start();
    assert_completed_once(&lab, &again, SHORT.total).await;
    assert_rebuild_equals_live(&lab).await;
}

#[tokio::test]
async fn a_logical_backup_brings_a_new_state_directory_to_where_the_old_one_was() {
    let lab = EmbeddedLab::new();
    let daemon = lab.start();
    let furniture = lab.furnish().await;
    let done = lab.train(&furniture, SHORT);
    lab.wait_for_status("training", &done, "completed").await;
    let paused = lab.train(&furniture, LONG);
    wait_for_checkpoints(&lab, &paused, 1).await;
    lab.cli(&["pause", &paused]);
    lab.wait_for_status("training", &paused, "paused").await;
    wait_for_no_trainer(&lab.run_directory(&paused));
    let made = lab.cli(&["backup", "create", "--with-artifacts"]);
    assert!(made["artifacts"]["files"].as_i64().unwrap() > 5, "{made}");
    let rows: String = lab.ask(ROWS, "").await;
    assert!(daemon.stop().success());
    fs::remove_dir_all(lab.state()).unwrap();

    // A drill first: it changes nothing.
    let drilled = lab.cli(&["restore", "latest", "--rehearse"]);
    assert_eq!(drilled["aside"], Value::Null);
    assert!(!lab.state().join("postgres").exists());
    let restored = lab.cli(&["restore", "latest", "--yes"]);
    assert_eq!(restored["files"]["missing"], 0, "{restored}");
    assert_eq!(restored["files"]["returned"], made["artifacts"]["files"]);
    assert_eq!(restored["position"], made["position"]);
    let _daemon = lab.start();
    lab.wait_for_status("training", &paused, "paused").await;
    assert_eq!(lab.ask::<String>(ROWS, "").await, rows);
    assert!(!lab.state().join("set-aside").exists());
    lab.cli(&["resume", &paused]);
    lab.wait_for_status("training", &paused, "completed").await;
    assert_completed_once(&lab, &paused, LONG.total).await;
    assert_completed_once(&lab, &done, SHORT.total).await;
    assert_rebuild_equals_live(&lab).await;
}
