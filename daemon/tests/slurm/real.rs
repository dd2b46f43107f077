//! A real cluster.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use trainmaster::{
    config::{ClusterSettings, Seconds, SlurmSettings},
    slurm::{Cluster, JobWatch, Known, Lookup, PollOptions, Poller, SlurmError, Submit},
};
use trainmaster_domain::slurm::{SlurmFailure, SlurmResources, SlurmState};
use trainmaster_tests::slurm::{self, Mischief};

const PATIENCE: Duration = Duration::from_secs(120);

fn reached(real: &slurm::Cluster, limit: Seconds) -> Arc<Cluster> {
    let slurm = SlurmSettings {
        call_timeout_seconds: limit,
        ..SlurmSettings::default()
    };
    let variables = real.environment();
    let environment = |name: &str| {
        let found = variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| OsString::from(value))
    };
    Arc::new(Cluster::new(
        "private",
        &ClusterSettings::default(),
        &slurm,
        Path::new("/usr/bin/trainmaster-trainer"),
        environment,
    ))
}

/// A submission in a directory of its own.
struct Submitted {
    folder: TempDir,
    submission: String,
    number: Result<String, SlurmError>,
}

impl Submitted {
    async fn of(cluster: &Cluster, script: &str, array: Option<&[u32]>) -> Self {
        Self::asking(cluster, script, array, &SlurmResources::default()).await
    }

    async fn asking(
        cluster: &Cluster,
        script: &str,
        array: Option<&[u32]>,
        resources: &SlurmResources,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let submission = ulid_like(folder.path());
        let path = folder.path().join("script.sh");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        let lock = File::create(folder.path().join("lock")).unwrap();
        let output = format!("{}/output", folder.path().display());
        let submit = Submit {
            submission: &submission,
            job_name: "a-test",
            directory: folder.path(),
            script: &path,
            output: &output,
            resources,
            array,
            signal_before_end: Duration::from_secs(60),
            lock: &lock,
        };
        let number = cluster.sbatch(&submit).await;
        Self {
            folder,
            submission,
            number,
        }
    }

    fn number(&self) -> &str {
        self.number.as_ref().unwrap()
    }

    fn lookup(&self) -> Lookup<'_> {
        Lookup {
            submission: &self.submission,
            directory: self.folder.path(),
        }
    }

    fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }
}

fn ulid_like(folder: &Path) -> String {
    let name = folder.file_name().unwrap().to_string_lossy();
    name.trim_start_matches('.').to_owned()
}

async fn until(watch: &mut JobWatch, wanted: impl Fn(&Known) -> bool) -> Known {
    let waited = tokio::time::timeout(PATIENCE, async {
        let mut known = watch.known();
        while !wanted(&known) {
            known = watch.changed().await;
        }
        known
    });
    match waited.await {
        Ok(known) => known,
        Err(_) => panic!("{}: {:?}", watch.sbatch_id(), watch.known()),
    }
}

async fn until_state(watch: &mut JobWatch, state: &SlurmState) -> trainmaster::slurm::Watched {
    let known = until(
        watch,
        |known| matches!(known, Known::Seen(seen) if seen.state == *state),
    )
    .await;
    match known {
        Known::Seen(seen) => seen,
        other => panic!("{other:?}"),
    }
}

const FAILED: SlurmState = SlurmState::Failed(SlurmFailure::Failed);
const CANCELLED: SlurmState = SlurmState::Failed(SlurmFailure::Cancelled);

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_real_cluster_are_submitted_watched_requeued_cancelled_and_remembered() {
    // A controller that forgets jobs two seconds after their end.
    let Some(real) = slurm::Cluster::start_with(&["MinJobAge=2"]) else {
        return;
    };
    let cluster = reached(&real, Seconds::new(60));
    cluster.ping().await.unwrap();
    let poller = Poller::new(
        Arc::clone(&cluster),
        PollOptions {
            interval: Duration::from_millis(500),
            ..PollOptions::default()
        },
    );
    let shutdown = CancellationToken::new();
    let (running, stop) = (poller.clone(), shutdown.clone());
    let task = tokio::spawn(async move { running.run(stop).await });

    // An array of which a task fails, a job that says what it was given, and one that goes on.
    let array = Submitted::of(
        &cluster,
        "exit $((SLURM_ARRAY_TASK_ID == 1 ? 3 : 0))",
        Some(&[0, 1]),
    )
    .await;
    let told = Submitted::of(&cluster, "env", None).await;
    let long = Submitted::of(&cluster, "exec sleep 600", None).await;
    let watch = |submitted: &Submitted, id: &str| poller.watch(id, submitted.lookup());
    let mut good = watch(&array, &format!("{}_0", array.number()));
    let mut bad = watch(&array, &format!("{}_1", array.number()));
    let mut teller = watch(&told, told.number());
    let mut sleeper = watch(&long, long.number());
    let completed = until_state(&mut good, &SlurmState::Completed).await;
    assert_eq!(completed.exit_code.as_deref(), Some("0:0"));
    let lasted = completed.ended_at.unwrap() - completed.started_at.unwrap();
    assert!((0..60).contains(&lasted.num_seconds()), "{completed:?}");
    let age = chrono::Utc::now() - completed.ended_at.unwrap();
    assert!((-2..120).contains(&age.num_seconds()), "{completed:?}");
    let failed = until_state(&mut bad, &FAILED).await;
    assert_eq!(failed.exit_code.as_deref(), Some("3:0"));
    until_state(&mut teller, &SlurmState::Completed).await;
    let environment = told.output();
    assert!(environment.contains("SLURM_JOB_ID="), "{environment}");
    assert!(!environment.contains("CARGO_MANIFEST_DIR"), "{environment}");
    assert!(!environment.contains("SLURM_TIME_FORMAT"), "{environment}");

    // Put back into the queue, and going on under the same number.
    until_state(&mut sleeper, &SlurmState::Running).await;
    cluster.requeue(long.number()).await.unwrap();
    let back = until(&mut sleeper, |known| {
        matches!(known, Known::Seen(seen) if seen.restarts == Some(1) && seen.raw != "COMPLETING")
    })
    .await;
    let Known::Seen(back) = back else {
        panic!("{back:?}")
    };
    // On a machine that is slow enough it may have waited for its turn already.
    if back.state == SlurmState::Pending {
        assert_eq!((back.started_at, back.ended_at), (None, None));
        // What its first turn has left on the node goes first, its script too.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let sooner = cluster.start_now(long.number()).await;
        assert!(
            !matches!(sooner, Err(SlurmError::Missing { .. })),
            "{sooner:?}"
        );
    }
    let again = until_state(&mut sleeper, &SlurmState::Running).await;
    assert_eq!(again.restarts, Some(1));

    // A state that nobody has heard of.
    let rewrite = Mischief {
        rewrite: Some("s/RUNNING/HIBERNATING/".to_owned()),
        lasts: true,
        ..Mischief::default()
    };
    real.wrappers().plan("squeue", &rewrite);
    until_state(&mut sleeper, &SlurmState::Unknown("HIBERNATING".to_owned())).await;
    real.wrappers().lift("squeue");
    until_state(&mut sleeper, &SlurmState::Running).await;

    // No controller is no news.
    real.stop_controller();
    let mut health = poller.health();
    health
        .wait_for(|health| health.error.is_some())
        .await
        .unwrap();
    assert!(matches!(sleeper.known(), Known::Seen(seen) if seen.state == SlurmState::Running));
    let error = cluster.ping().await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    let unsent = Submitted::of(&cluster, "true", None).await;
    assert!(unsent.number.is_err_and(|error| error.is_temporary()));
    real.start_controller();
    health
        .wait_for(|health| health.error.is_none())
        .await
        .unwrap();

    cluster
        .scancel(&[long.number(), long.number(), "999999"])
        .await
        .unwrap();
    let cancelled = until_state(&mut sleeper, &CANCELLED).await;
    assert!(cancelled.ended_at.is_some());

    // What the controller has forgotten.
    real.wait_for_jobs("forgotten", |jobs| jobs.is_empty());
    drop((good, bad));
    let mut remembered = watch(&array, &format!("{}_1", array.number()));
    let failed = until_state(&mut remembered, &FAILED).await;
    assert_eq!(failed.exit_code.as_deref(), Some("3:0"));
    assert!(failed.ended_at.unwrap() >= failed.started_at.unwrap());
    let never = Lookup {
        submission: "never",
        directory: Path::new("/nowhere"),
    };
    let mut others = poller.watch(told.number(), never);
    assert_eq!(until(&mut others, Known::is_final).await, Known::Gone);
    let mut ids: Vec<String> = cluster
        .find(array.lookup())
        .await
        .unwrap()
        .into_iter()
        .map(|job| job.sbatch_id)
        .collect();
    ids.sort_unstable();
    assert_eq!(
        ids,
        [
            format!("{}_0", array.number()),
            format!("{}_1", array.number())
        ]
    );
    assert_eq!(cluster.find(never).await.unwrap(), []);

    // Nothing but the poller, and the two searches above, has asked.
    shutdown.cancel();
    task.await.unwrap();
    let asked = poller.health().borrow().polls + 2;
    assert!(real.wrappers().calls("squeue").len() as u64 <= asked + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_whose_answer_was_lost_is_found_and_one_that_is_refused_says_why() {
    let Some(real) = slurm::Cluster::start() else {
        return;
    };
    let cluster = reached(&real, Seconds::new(3));
    let lost = Mischief {
        between: 30.0,
        ..Mischief::default()
    };
    real.wrappers().plan("sbatch", &lost);
    let submitted = Submitted::of(&cluster, "true", None).await;
    let error = submitted.number.as_ref().unwrap_err();
    assert!(error.is_unclear(), "{error}");
    assert_eq!(
        Cluster::printed_number(submitted.folder.path()).unwrap(),
        None
    );
    let found = cluster.find(submitted.lookup()).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        Cluster::submission_of(&found[0].comment),
        Some(&*submitted.submission)
    );

    let nowhere = SlurmResources {
        partition: Some("nowhere".to_owned()),
        ..SlurmResources::default()
    };
    let refused = Submitted::asking(&cluster, "true", None, &nowhere).await;
    let error = refused.number.as_ref().unwrap_err();
    assert!(matches!(error, SlurmError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("nowhere"), "{error}");
    assert_eq!(cluster.find(refused.lookup()).await.unwrap(), []);
    let by = cluster.remembers_by().await.unwrap();
    let file: PathBuf = real.completions();
    assert_eq!(by, format!("the completion file {}", file.display()));
}
