//! The jobs that this daemon has in its clusters: submitted, followed to their end, cancelled.
//!
//! Each is a task that waits for what the poller says, and writes down what is new. It goes on after its run has said its last word, until SLURM has
//! ended the job.

use super::{
    Cluster, JobWatch, Known, Lookup, Poller, SlurmError, SubmissionDirectory, Templates, Watched,
    phase::Phase,
};
use crate::{
    log::{ExecuteError, Log, LogError},
    runner::RunDirectory,
    supervisor::has_result,
};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};
use trainmaster_domain::{
    Lease, Metadata, StreamId,
    attempt::LossReason,
    slurm::{Observation, SlurmJob, SlurmJobCommand, SlurmJobRefusal, SlurmJobStatus, id},
};

/// Calls of `sbatch` at the same time, at most: the controller takes them one after the other, and each is a process here.
const SUBMITTING: usize = 4;
/// What a job that was put back has left on its node is cleared away after so long: one that began before would find its script gone.
const CLEARED_AFTER: Duration = Duration::from_secs(5);
/// How many leases back the job of a run is looked for.
const MOST_LEASES: usize = 200;

/// How SLURM is used.
#[derive(Clone, Debug)]
pub struct SlurmOptions {
    /// What runs are submitted as.
    pub templates: Templates,
    /// How long before its time limit a job is told.
    pub signal_before_end: Duration,
    /// How long a job that was put back waits on its node for the next lease.
    pub handover_timeout: Duration,
    /// How often the journal and the heartbeat of a job at work are looked at.
    pub look_interval: Duration,
    /// Without a heartbeat for so long, a job at work is dead.
    pub heartbeat_limit: Duration,
    /// Where results of trainings go; none: into their run directories.
    pub models_base_path: Option<PathBuf>,
}

/// The clusters, and the jobs that this daemon has in them. Clones share it.
#[derive(Clone)]
pub struct Slurm(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) log: Log,
    pub(super) options: SlurmOptions,
    pub(super) state_directory: PathBuf,
    pollers: HashMap<String, Poller>,
    jobs: Mutex<HashMap<String, Entry>>,
    pub(super) gate: Semaphore,
    /// Whether there may be jobs in the log that nobody follows here.
    disturbed: AtomicBool,
    pub(super) tracker: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

/// A job that is followed.
struct Entry {
    run: StreamId,
    phase: watch::Sender<Phase>,
    /// Wakes the one who follows it, to cancel it.
    poll: Arc<tokio::sync::Notify>,
}

/// A job, for whoever looks after its run.
pub(crate) struct Followed {
    slurm: Slurm,
    id: String,
    phase: watch::Receiver<Phase>,
}

impl Followed {
    /// Waits for news: why and how it is over for the run, or none when it only waits or works now. Once it is over, that is the answer each time.
    pub(crate) async fn changed(&mut self) -> Option<(LossReason, String)> {
        let is_over = matches!(*self.phase.borrow(), Phase::Over(..));
        if !is_over && self.phase.changed().await.is_err() {
            self.find_again().await;
        }
        match self.phase.borrow_and_update().clone() {
            Phase::Over(reason, message) => Some((reason, message)),
            Phase::Waits | Phase::AtWork | Phase::Suspended => None,
        }
    }

    /// Nobody follows it: an error of the database kept it from being followed, and it will be; or the daemon leaves.
    async fn find_again(&mut self) {
        loop {
            tokio::select! {
                () = self.slurm.0.shutdown.cancelled() => return std::future::pending().await,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
            let found = match self.slurm.followed(&self.id) {
                Some(followed) => followed,
                None => match self.slurm.as_it_is(&self.id).await {
                    Ok(found) if matches!(*found.phase.borrow(), Phase::Over(..)) => found,
                    _ => continue,
                },
            };
            self.phase = found.phase.clone();
            return;
        }
    }

    pub(crate) fn is_at_work(&self) -> bool {
        *self.phase.borrow() == Phase::AtWork
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Has it cancelled.
    pub(crate) fn cancel(&self) {
        self.slurm.cancel(self.id.clone());
    }
}

impl Slurm {
    /// Nothing is asked before [`Self::run_pollers`].
    #[must_use]
    pub fn new(
        log: Log,
        options: SlurmOptions,
        state_directory: PathBuf,
        pollers: impl IntoIterator<Item = Poller>,
    ) -> Self {
        let pollers = pollers
            .into_iter()
            .map(|poller| (poller.cluster().name.clone(), poller))
            .collect();
        Self(Arc::new(Inner {
            log,
            options,
            state_directory,
            pollers,
            jobs: Mutex::default(),
            gate: Semaphore::new(SUBMITTING),
            disturbed: AtomicBool::new(true),
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        }))
    }

    /// How it is used.
    #[must_use]
    pub fn options(&self) -> &SlurmOptions {
        &self.0.options
    }

    /// Asks the clusters, as long as there is anything to ask, until `stop`.
    pub(crate) fn run_pollers(&self, tracker: &TaskTracker, stop: &CancellationToken) {
        for poller in self.0.pollers.values() {
            let (poller, stop) = (poller.clone(), stop.clone());
            tracker.spawn(async move { poller.run(stop).await });
        }
    }

    /// Something went wrong that looking through the log mends.
    pub(crate) fn disturb(&self) {
        self.0.disturbed.store(true, Ordering::Relaxed);
    }

    /// Whether all jobs that the log has are followed: before, nobody knows whether a run has one already.
    pub(crate) fn knows_all(&self) -> bool {
        !self.0.disturbed.load(Ordering::Relaxed)
    }

    /// Takes up what nobody follows, at the start and after something went wrong. Answers how many jobs there are.
    ///
    /// # Errors
    /// What the log says; then it is done the next time.
    pub(crate) async fn take_up_if_disturbed(&self) -> Result<usize, LogError> {
        if self.knows_all() {
            return Ok(0);
        }
        let taken = self.take_up().await?;
        self.0.disturbed.store(false, Ordering::Relaxed);
        Ok(taken)
    }

    /// The job that executes a run under a lease; none when none was intended.
    pub(crate) async fn of_lease(
        &self,
        run: &StreamId,
        lease: Lease,
    ) -> Result<Option<Followed>, LogError> {
        // A job that was put back goes on under later leases than the one it is called after.
        for earlier in (1..=lease.0).rev().take(MOST_LEASES) {
            let id = id::slurm_job(run, Lease(earlier));
            let job = self.0.log.load::<SlurmJob>(&id).await?;
            if job.version > 0 && job.state.lease() == lease {
                return Ok(Some(match self.followed(&id) {
                    Some(followed) => followed,
                    None => self.as_it_is(&id).await?,
                }));
            }
        }
        Ok(None)
    }

    /// A job that nobody follows any more, as the log has it.
    pub(crate) async fn as_it_is(&self, id: &str) -> Result<Followed, LogError> {
        let job = self.0.log.load::<SlurmJob>(id).await?.state;
        let mut phase = watch::Sender::new(Phase::of(&job, None)).subscribe();
        phase.mark_changed();
        Ok(Followed {
            slurm: self.clone(),
            id: id.to_owned(),
            phase,
        })
    }

    /// Leaves the jobs to SLURM and to the next daemon.
    pub(crate) async fn leave(&self) {
        self.0.shutdown.cancel();
        self.0.tracker.close();
        self.0.tracker.wait().await;
    }

    /// The cluster of this name.
    ///
    /// # Errors
    /// [`SlurmError::NoCluster`].
    pub(crate) fn cluster(&self, name: &str) -> Result<&Arc<Cluster>, SlurmError> {
        self.poller(name).map(Poller::cluster)
    }

    pub(super) fn poller(&self, name: &str) -> Result<&Poller, SlurmError> {
        self.0.pollers.get(name).ok_or_else(|| {
            let mut known: Vec<String> = self.0.pollers.keys().cloned().collect();
            known.sort();
            SlurmError::NoCluster {
                name: name.to_owned(),
                known,
            }
        })
    }

    /// The job of `run` that is followed here and can go on under another lease: SLURM has put it back, or it has not begun.
    pub(crate) async fn can_go_on(
        &self,
        run: &StreamId,
    ) -> Result<Option<(String, SlurmJob)>, LogError> {
        let ids: Vec<String> = {
            let jobs = self.0.jobs();
            let of_run = jobs.iter().filter(|(_, entry)| entry.run == *run);
            of_run.map(|(id, _)| id.clone()).collect()
        };
        for id in ids {
            let job = self.0.log.load::<SlurmJob>(&id).await?.state;
            let put_back = job.restarts() > job.lease_restarts();
            if job.status().is_live() && put_back && !job.cancel_requested() {
                return Ok(Some((id, job)));
            }
        }
        Ok(None)
    }

    /// Executes a job under the next lease of its run.
    pub(crate) async fn hand_over(&self, id: &str, lease: Lease) -> Result<(), SlurmJobError> {
        self.say(
            id,
            SlurmJobCommand::HandOver { lease },
            format!("slurm/{id}/lease/{lease}"),
        )
        .await?;
        self.publish(id, None).await?;
        let job = self.0.log.load::<SlurmJob>(id).await?.state;
        let cluster = job
            .submission()
            .and_then(|submission| self.cluster(&submission.cluster).ok());
        if let (Some(cluster), Some(sbatch_id)) = (cluster, job.sbatch_id())
            && job.status() == SlurmJobStatus::Pending
        {
            // It has waited for this; SLURM would have it wait for two minutes.
            let (cluster, sbatch_id) = (Arc::clone(cluster), sbatch_id.to_owned());
            let shutdown = self.0.shutdown.clone();
            self.0.tracker.spawn(async move {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(CLEARED_AFTER) => {}
                }
                if let Err(error) = cluster.start_now(&sbatch_id).await {
                    debug!(sbatch_id, %error, "a job that was put back begins when SLURM lets it");
                }
            });
        }
        Ok(())
    }

    /// Begins to follow a job, whose stream has at least its intent. Answers nothing when it is followed already.
    pub(super) fn enter(&self, id: &str, run: &StreamId) -> Option<Entered> {
        let mut jobs = self.0.jobs();
        if jobs.contains_key(id) {
            return None;
        }
        let poll = Arc::new(tokio::sync::Notify::new());
        let entry = Entry {
            run: run.clone(),
            phase: watch::Sender::new(Phase::Waits),
            poll: Arc::clone(&poll),
        };
        jobs.insert(id.to_owned(), entry);
        Some(Entered {
            slurm: self.clone(),
            id: id.to_owned(),
            poll,
        })
    }

    /// A job that is followed here, for whoever looks after its run.
    pub(crate) fn followed(&self, id: &str) -> Option<Followed> {
        let jobs = self.0.jobs();
        let entry = jobs.get(id)?;
        let mut phase = entry.phase.subscribe();
        // What is known already is news.
        phase.mark_changed();
        Some(Followed {
            slurm: self.clone(),
            id: id.to_owned(),
            phase,
        })
    }

    /// Has a job cancelled, now and until SLURM has done it.
    pub(crate) fn cancel(&self, id: String) {
        let slurm = self.clone();
        self.0.tracker.spawn(async move {
            let mut pause = Duration::from_millis(200);
            loop {
                let command_id = format!("slurm/{id}/cancel");
                match slurm
                    .say(&id, SlurmJobCommand::RequestCancel, command_id)
                    .await
                {
                    Ok(()) => break,
                    Err(error) => complain(&id, &error),
                }
                tokio::select! {
                    () = slurm.0.shutdown.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(Duration::from_secs(30));
            }
            if let Some(entry) = slurm.0.jobs().get(&id) {
                entry.poll.notify_one();
            }
        });
    }

    /// Tells a job's stream something.
    pub(super) async fn say(
        &self,
        id: &str,
        command: SlurmJobCommand,
        command_id: String,
    ) -> Result<(), SlurmJobError> {
        let metadata = Metadata {
            correlation_id: command_id.clone(),
            command_id,
            causation_id: None,
            actor: "slurm".to_owned(),
            traceparent: crate::telemetry::traceparent(),
        };
        self.0
            .log
            .execute::<SlurmJob>(id, command, metadata)
            .await?;
        Ok(())
    }

    /// Tells whoever looks after the run how it stands with its job.
    pub(super) async fn publish(&self, id: &str, raw: Option<&str>) -> Result<(), SlurmJobError> {
        let job = self.0.log.load::<SlurmJob>(id).await?.state;
        let phase = Phase::of(&job, raw);
        if let Some(entry) = self.0.jobs().get(id) {
            entry.phase.send_if_modified(|known| {
                let is_news = *known != phase;
                *known = phase;
                is_news
            });
        }
        Ok(())
    }
}

impl Inner {
    fn jobs(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a job's stream could not be told something.
pub(crate) type SlurmJobError = ExecuteError<SlurmJobRefusal>;

/// A job that is followed from here on; dropping it ends that.
pub(super) struct Entered {
    slurm: Slurm,
    pub(super) id: String,
    poll: Arc<tokio::sync::Notify>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.slurm.0.jobs().remove(&self.id);
    }
}

impl Entered {
    /// Follows the job to its end, or until the daemon leaves.
    pub(super) async fn follow(self) {
        let mut pause = Duration::from_millis(200);
        loop {
            match self.follow_once().await {
                Ok(()) => return,
                Err(error) => complain(&self.id, &error),
            }
            tokio::select! {
                () = self.slurm.0.shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(Duration::from_secs(30));
        }
    }

    /// Goes on from wherever an error of the database left it.
    async fn follow_once(&self) -> Result<(), SlurmJobError> {
        let job = self.slurm.0.log.load::<SlurmJob>(&self.id).await?.state;
        let (Some(sbatch_id), Some(submission)) = (job.sbatch_id(), job.submission()) else {
            return self.slurm.publish(&self.id, None).await;
        };
        let Ok(poller) = self.slurm.poller(&submission.cluster) else {
            warn!(
                job = self.id,
                cluster = submission.cluster,
                "a job's cluster is not configured any more: it cannot be followed"
            );
            self.slurm.0.shutdown.cancelled().await;
            return Ok(());
        };
        let directory =
            SubmissionDirectory::of(&self.slurm.0.state_directory, &submission.submission_id);
        let mut watch = poller.watch(
            sbatch_id,
            Lookup {
                submission: &submission.submission_id,
                directory: directory.path(),
            },
        );
        self.slurm.publish(&self.id, None).await?;
        loop {
            tokio::select! {
                () = self.slurm.0.shutdown.cancelled() => return Ok(()),
                () = self.poll.notified() => {
                    self.cancel_if_asked(&watch).await?;
                    watch.expect_end();
                }
                known = watch.changed() => {
                    if self.hear(&watch, known).await? {
                        return Ok(());
                    }
                    self.cancel_if_asked(&watch).await?;
                }
            }
        }
    }

    /// Writes down what is new. True when nothing follows.
    async fn hear(&self, watch: &JobWatch, known: Known) -> Result<bool, SlurmJobError> {
        let (slurm, id) = (&self.slurm, self.id.as_str());
        let job = slurm.0.log.load::<SlurmJob>(id).await?.state;
        let seen = match known {
            Known::NotYet => return Ok(false),
            Known::Seen(seen) => Some(seen),
            Known::Gone => None,
        };
        let now = slurm.0.log.now().await?;
        let observation = match &seen {
            Some(seen) => observation(seen, &job, now),
            None => Observation {
                state: None,
                started_at: None,
                ended_at: None,
                restarts: job.restarts(),
                reason: None,
                exit_code: None,
                proven: self.is_proven(&job).await,
                now,
            },
        };
        use trainmaster_domain::Aggregate;
        // What is no news is not even a command.
        let is_news = !matches!(job.decide(SlurmJobCommand::Observe(observation.clone())), Ok(events) if events.is_empty());
        if is_news {
            let command_id = format!("slurm/{id}/{}", ulid::Ulid::generate());
            match slurm
                .say(id, SlurmJobCommand::Observe(observation), command_id)
                .await
            {
                Err(ExecuteError::Refused(refusal)) => {
                    warn!(job = id, %refusal, "what SLURM says of a job cannot be");
                }
                said => said?,
            }
        }
        slurm
            .publish(id, seen.as_ref().map(|seen| seen.raw.as_str()))
            .await?;
        let job = slurm.0.log.load::<SlurmJob>(id).await?.state;
        if is_news {
            info!(
                job = id,
                sbatch_id = watch.sbatch_id(),
                status = job.status().as_str(),
                "news of a SLURM job"
            );
        }
        Ok(!job.status().is_live())
    }

    /// Cancels what is to be cancelled. Asked again with each answer of the cluster, until it is done.
    async fn cancel_if_asked(&self, watch: &JobWatch) -> Result<(), SlurmJobError> {
        let job = self.slurm.0.log.load::<SlurmJob>(&self.id).await?.state;
        if !(job.cancel_requested()
            && matches!(
                job.status(),
                SlurmJobStatus::Pending | SlurmJobStatus::Running
            ))
        {
            return Ok(());
        }
        let cluster = job
            .submission()
            .and_then(|submission| self.slurm.cluster(&submission.cluster).ok());
        if let Some(cluster) = cluster {
            match cluster.scancel(&[watch.sbatch_id()]).await {
                Ok(()) => watch.expect_end(),
                Err(error) => {
                    warn!(job = self.id, %error, "a job cannot be cancelled at this moment")
                }
            }
        }
        Ok(())
    }

    /// Whether the run itself has said that it has what it was for.
    async fn is_proven(&self, job: &SlurmJob) -> bool {
        let Some(submission) = job.submission() else {
            return false;
        };
        let runs = self.slurm.0.state_directory.join("runs");
        let journal = RunDirectory::new(runs.join(&submission.run.id)).journal();
        let lease = job.lease();
        tokio::task::spawn_blocking(move || has_result(journal, lease))
            .await
            .unwrap_or_default()
    }
}

fn observation(seen: &Watched, job: &SlurmJob, now: chrono::DateTime<chrono::Utc>) -> Observation {
    Observation {
        state: Some(seen.state.clone()),
        started_at: seen.started_at,
        ended_at: seen.ended_at,
        restarts: seen.restarts.unwrap_or_else(|| job.restarts()),
        reason: seen.reason.clone(),
        exit_code: seen.exit_code.clone(),
        proven: false,
        now,
    }
}

pub(super) fn complain(id: &str, error: &(dyn std::error::Error + 'static)) {
    debug!(job = id, error, "a job cannot be followed at this moment");
}
