//! What the daemon learns of jobs by asking once in a while, all of them at once.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{
    env,
    time::{Duration, Instant},
};
use trainmaster_tests::{
    lab::Steps,
    slurm::{Mischief, SlurmLab},
};

const STEPS: Steps = Steps {
    total: 10,
    checkpoint_every: 10,
    batch: 64,
};
/// Jobs at once in an ordinary run; `TRAINMASTER_SLURM_JOBS` makes it more.
const JOBS: usize = 40;
/// Between two questions, where many jobs are asked for.
const POLL: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_job_that_begins_and_ends_between_two_polls_has_begun_and_ended_when_slurm_says() {
    let Some(mut slurm) = SlurmLab::new(&[]).await else {
        return;
    };
    slurm.let_stand_in_work(0.0);
    slurm.lab.set("SLURM__POLL_INTERVAL_SECONDS", "6");
    let _daemon = slurm.lab.start();
    let furniture = slurm.lab.furnish().await;
    let id = slurm.train(&furniture, STEPS, &[]);
    slurm
        .lab
        .wait_for_status("trainings", &id, &["completed"])
        .await;
    let row = slurm.wait_for_pic_status(&id, "COMPLETED").await;
    assert!(row.has_started && row.has_ended, "{row:?}");
    let slurms = slurm.cluster.run(
        "squeue",
        &["--all", "--states=all", "-h", "-O", "StartTime:|,EndTime:"],
    );
    let (start, end) = slurms.split_once('|').unwrap();
    // SLURM prints local time; these tables are in UTC.
    let as_printed: (String, String) = sqlx::query_as(
        "SELECT to_char(start_time AT TIME ZONE 'UTC' AT TIME ZONE $1, 'YYYY-MM-DD\"T\"HH24:MI:SS'),
                to_char(end_time AT TIME ZONE 'UTC' AT TIME ZONE $1, 'YYYY-MM-DD\"T\"HH24:MI:SS')
           FROM pic.jobs",
    )
    .bind(env::var("TZ").unwrap_or_else(|_| local_zone()))
    .fetch_one(slurm.lab.pool())
    .await
    .unwrap();
    assert_eq!((&*as_printed.0, &*as_printed.1), (start, end));
    assert_eq!(slurm.told().await[0].ended, 1);
}

#[tokio::test]
async fn a_job_that_slurm_has_forgotten_is_completed_where_its_result_proves_it() {
    // Neither the controller nor a file remembers it when the daemon comes back.
    let Some(mut slurm) = SlurmLab::new(&["MinJobAge=2", "JobCompType=jobcomp/none"]).await else {
        return;
    };
    slurm.let_stand_in_work(0.0);
    let daemon = slurm.lab.start();
    let furniture = slurm.lab.furnish().await;
    slurm.fill();
    let id = slurm.train(&furniture, STEPS, &[]);
    slurm.wait_for_pic_status(&id, "PENDING").await;
    daemon.kill();
    slurm.empty();
    slurm
        .cluster
        .wait_for_jobs("forgotten", |jobs| jobs.is_empty());
    let _daemon = slurm.lab.start();
    slurm
        .lab
        .wait_for_status("trainings", &id, &["completed"])
        .await;
    slurm.wait_for_pic_status(&id, "COMPLETED").await;
    assert_eq!(slurm.pic_jobs(&id).await.len(), 1);
}

#[tokio::test]
async fn a_job_that_slurm_has_lost_has_failed_with_an_unknown_outcome_and_the_training_is_tried_again()
 {
    let Some(mut slurm) = SlurmLab::new(&[]).await else {
        return;
    };
    slurm.let_stand_in_work(0.0);
    let _daemon = slurm.lab.start();
    let furniture = slurm.lab.furnish().await;
    slurm.fill();
    let id = slurm.train(&furniture, STEPS, &[]);
    slurm.wait_for_pic_status(&id, "PENDING").await;
    // Before it has written down that it has the job, which it does every five seconds. It may also have forgotten who fills the nodes.
    slurm.cluster.kill_controller();
    slurm.cluster.start_controller();
    slurm.empty();
    slurm
        .lab
        .wait_for_status("trainings", &id, &["completed"])
        .await;
    let rows = slurm.pic_jobs(&id).await;
    if let [lost, again] = &*rows {
        assert_eq!(
            (&*lost.status, lost.has_started),
            ("FAILED", false),
            "{rows:#?}"
        );
        let message = lost.error_message.as_deref().unwrap_or_default();
        assert!(message.contains("outcome unknown"), "{message}");
        assert_eq!(slurm.count(&id, "TrainingClaimed").await, 2);
        slurm.wait_for_pic_status(&id, "COMPLETED").await;
        assert_ne!(again, lost);
    } else {
        // The controller was quicker in writing down than we in pulling its plug.
        assert_eq!(rows.len(), 1, "{rows:#?}");
        eprintln!("the controller has not forgotten it");
    }
}

#[tokio::test]
async fn a_state_that_nobody_knows_is_kept_and_is_no_end() {
    let Some(mut slurm) = SlurmLab::new(&[]).await else {
        return;
    };
    slurm.let_stand_in_work(0.0);
    let _daemon = slurm.lab.start();
    let furniture = slurm.lab.furnish().await;
    slurm.fill();
    let dreaming = Mischief {
        rewrite: Some("s/PENDING/DREAMING/".to_owned()),
        lasts: true,
        ..Mischief::default()
    };
    slurm.cluster.wrappers().plan("squeue", &dreaming);
    let id = slurm.train(&furniture, STEPS, &[]);
    slurm.wait_for_pic_status(&id, "PENDING").await;
    let job = slurm.told().await[0].stream_id.clone();
    slurm.wait_for_event(&job, "SlurmStateSeen", 1).await;
    // Seen again and again, said once.
    let asked = slurm.cluster.wrappers().calls("squeue").len();
    while slurm.cluster.wrappers().calls("squeue").len() < asked + 3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let history = slurm.lab.history(&job).await;
    let seen: Vec<&str> = history
        .iter()
        .filter(|event| event.event_type == "SlurmStateSeen")
        .filter_map(|event| event.payload["state"].as_str())
        .collect();
    assert_eq!(seen, ["DREAMING"]);
    assert_eq!(slurm.pic_jobs(&id).await[0].status, "PENDING");

    slurm.cluster.wrappers().lift("squeue");
    slurm.empty();
    slurm
        .lab
        .wait_for_status("trainings", &id, &["completed"])
        .await;
    slurm.wait_for_pic_status(&id, "COMPLETED").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_short_jobs_at_once_are_asked_for_in_one_question_a_cycle() {
    let jobs = env::var("TRAINMASTER_SLURM_JOBS").map_or(JOBS, |jobs| jobs.parse().unwrap());
    let Some(mut slurm) = SlurmLab::new(&["MinJobAge=100000"]).await else {
        return;
    };
    slurm.let_stand_in_work(0.0);
    let poll = POLL.as_secs().to_string();
    slurm.lab.set("SLURM__POLL_INTERVAL_SECONDS", &poll);
    let daemon = slurm.lab.start();
    let furniture = slurm.lab.furnish().await;
    assert_eq!(
        slurm.cluster.wrappers().calls("squeue").len(),
        0,
        "nothing is asked while there is nothing to ask for"
    );
    let begun = Instant::now();
    let ids: Vec<String> = (0..jobs)
        .map(|_| slurm.train(&furniture, STEPS, &[]))
        .collect();
    for id in &ids {
        slurm
            .lab
            .wait_for_status("trainings", id, &["completed"])
            .await;
        slurm.wait_for_pic_status(id, "COMPLETED").await;
    }
    let cycles = (begun.elapsed().as_secs_f64() / POLL.as_secs_f64()).ceil() as usize;
    let wrappers = slurm.cluster.wrappers();
    let asked = wrappers.calls("squeue").len();
    eprintln!(
        "{jobs} jobs in {:.1} s, {asked} questions in {cycles} cycles",
        begun.elapsed().as_secs_f64()
    );
    assert!(asked <= cycles + 1, "{asked} questions in {cycles} cycles");
    assert_eq!(
        wrappers.calls("sacct"),
        Vec::<String>::new(),
        "nothing was forgotten"
    );
    assert_eq!(wrappers.calls("sbatch").len(), jobs);
    slurm.assert_each_submitted_once().await;

    // And silence again.
    let asked = wrappers.calls("squeue").len();
    tokio::time::sleep(2 * POLL).await;
    assert!(wrappers.calls("squeue").len() <= asked + 1);
    drop(daemon);
}

/// As Postgres knows it; SLURM uses the C library's.
fn local_zone() -> String {
    let link = std::fs::read_link("/etc/localtime").unwrap_or_default();
    let text = link.to_string_lossy().into_owned();
    text.split_once("zoneinfo/")
        .map_or_else(|| "UTC".to_owned(), |(_, zone)| zone.to_owned())
}
