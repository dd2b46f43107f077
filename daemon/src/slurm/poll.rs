//! One question a cluster and interval, whatever the number of jobs: nothing is asked while nobody waits for a job.
//!
//! Memory: what is known of the jobs that somebody waits for, and one answer of `squeue` at a time.

mod watch;

pub use watch::{JobWatch, Known};

use super::{
    Cluster, SlurmError, Watched,
    commands::{Lookup, Queued},
};
use chrono::{DateTime, Utc};
use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch as channel},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// How a cluster is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollOptions {
    /// How often. Default 30 s.
    pub interval: Duration,
    /// A job that the controller has forgotten is gone when what remembers cannot be asked for so long. Default 10 min.
    pub patience: Duration,
}

impl Default for PollOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            patience: Duration::from_secs(600),
        }
    }
}

impl PollOptions {
    /// The shortest time between two questions, however many ask for one.
    fn gap(&self) -> Duration {
        (self.interval / 10).clamp(Duration::from_millis(50), Duration::from_secs(3))
    }
}

/// How it goes with a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterHealth {
    /// Questions so far.
    pub polls: u64,
    /// When it answered last.
    pub answered_at: Option<DateTime<Utc>>,
    /// Why it did not answer the latest question; none when it did.
    pub error: Option<String>,
    /// Jobs that somebody waits for.
    pub watched: usize,
}

/// The one who asks a cluster. Clones share it.
#[derive(Clone, Debug)]
pub struct Poller {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cluster: Arc<Cluster>,
    options: PollOptions,
    jobs: Mutex<Jobs>,
    asked: Mutex<Asked>,
    wake: Notify,
    health: channel::Sender<ClusterHealth>,
}

/// By what SLURM calls it, and its submission: a number may be given out twice.
type Jobs = HashMap<(String, String), Job>;

/// A job that somebody waits for.
#[derive(Debug)]
struct Job {
    directory: PathBuf,
    known: channel::Sender<Known>,
    watchers: usize,
    since: Instant,
    /// Since when the controller does not know it.
    missing_since: Option<Instant>,
}

/// What others want of the next question.
#[derive(Debug, Default)]
struct Asked {
    soon: bool,
    /// An end is expected: asked again after this time, which doubles.
    again_after: Option<Duration>,
}

impl Poller {
    /// Asks nothing before [`Self::run`] runs.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, options: PollOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                cluster,
                options,
                jobs: Mutex::default(),
                asked: Mutex::default(),
                wake: Notify::new(),
                health: channel::Sender::new(ClusterHealth::default()),
            }),
        }
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.shared.cluster
    }

    /// Waits for a job, by what SLURM calls it (`123`, `123_4`) and its submission. It is asked about until the watch is dropped.
    #[must_use]
    pub fn watch(&self, sbatch_id: &str, lookup: Lookup<'_>) -> JobWatch {
        let key = (sbatch_id.to_owned(), lookup.submission.to_owned());
        let known = {
            let mut jobs = self.shared.jobs();
            let job = jobs.entry(key.clone()).or_insert_with(|| Job {
                directory: lookup.directory.to_owned(),
                known: channel::Sender::new(Known::NotYet),
                watchers: 0,
                since: Instant::now(),
                missing_since: None,
            });
            job.watchers += 1;
            job.known.subscribe()
        };
        self.shared.wake.notify_one();
        JobWatch::new(self.clone(), key, known)
    }

    /// Asks soon instead of at the next interval. Many such wishes are one question.
    pub fn poll_soon(&self) {
        self.shared.asked().soon = true;
        self.shared.wake.notify_one();
    }

    /// A job is about to end: asks soon, and again and again, less and less often, until it has or the interval is reached.
    pub fn expect_end(&self) {
        {
            let mut asked = self.shared.asked();
            asked.soon = true;
            asked.again_after = Some(self.shared.options.gap());
        }
        self.shared.wake.notify_one();
    }

    /// How it goes with the cluster.
    #[must_use]
    pub fn health(&self) -> channel::Receiver<ClusterHealth> {
        self.shared.health.subscribe()
    }

    /// Asks, until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        let shared = &*self.shared;
        let mut last: Option<Instant> = None;
        loop {
            let woken = shared.wake.notified();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = woken => {}
                () = shared.due(last) => {
                    last = Some(Instant::now());
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        () = shared.poll() => {}
                    }
                }
            }
        }
    }
}

impl Shared {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when it is time to ask; never while nobody waits.
    async fn due(&self, last: Option<Instant>) {
        if self.jobs().is_empty() {
            return std::future::pending().await;
        }
        let Some(last) = last else { return };
        let wait = {
            let asked = self.asked();
            match (asked.soon, asked.again_after) {
                (true, _) => self.options.gap(),
                (false, Some(again)) => again,
                (false, None) => self.options.interval,
            }
        };
        sleep_until(last + wait.min(self.options.interval)).await;
    }

    async fn poll(&self) {
        // Whoever asks from here on wants to know what this question may not tell any more.
        {
            let mut asked = self.asked();
            asked.soon = false;
            asked.again_after = asked
                .again_after
                .map(|after| after * 2)
                .filter(|after| *after < self.options.interval);
        }
        let begun = Instant::now();
        let answer = self.cluster.squeue().await;
        let error = match answer {
            Ok(queued) => {
                let missing = self.publish(queued, begun);
                match missing.is_empty() {
                    true => None,
                    false => self.remember(missing).await,
                }
            }
            Err(error) => Some(error),
        };
        self.note(error);
    }

    /// Tells what is new. Answers with the numbers of jobs that the controller does not know (any more).
    fn publish(&self, queued: Vec<Queued>, begun: Instant) -> BTreeSet<String> {
        let mut jobs = self.jobs();
        let mut there: HashMap<&str, &Queued> = HashMap::with_capacity(queued.len());
        there.extend(queued.iter().map(|job| (job.sbatch_id.as_str(), job)));
        let mut missing = BTreeSet::new();
        for ((sbatch_id, submission), job) in jobs.iter_mut() {
            let seen = there.get(sbatch_id.as_str()).filter(|seen| {
                seen.is_of(Lookup {
                    submission,
                    directory: &job.directory,
                })
            });
            match seen {
                Some(found) => {
                    job.missing_since = None;
                    let news = Known::Seen(found.seen.clone());
                    tell(&self.cluster.name, sbatch_id, &job.known, news);
                }
                // Of one that came after the question it says nothing.
                None if job.since <= begun && !job.known.borrow().is_final() => {
                    job.missing_since.get_or_insert(begun);
                    missing.insert(sbatch_id.clone());
                }
                None => {}
            }
        }
        missing
    }

    /// Asks what remembers the jobs that the controller does not know. A job that is not remembered either is gone.
    async fn remember(&self, missing: BTreeSet<String>) -> Option<SlurmError> {
        debug!(cluster = self.cluster.name, jobs = ?missing, "jobs that the controller does not know");
        let missing = Vec::from_iter(missing);
        let (remembered, error) = match self.cluster.remembered(&missing).await {
            Ok(remembered) => (remembered, None),
            Err(error) => (vec![], Some(error)),
        };
        let jobs = self.jobs();
        for ((sbatch_id, submission), job) in jobs.iter() {
            let Some(since) = job.missing_since else {
                continue;
            };
            if job.known.borrow().is_final() {
                continue;
            }
            let lookup = Lookup {
                submission,
                directory: &job.directory,
            };
            let found = remembered
                .iter()
                .find(|found| found.sbatch_id == *sbatch_id && found.is_of(lookup));
            let waited = since.elapsed() >= self.options.patience;
            let known = match found {
                Some(found) if found.seen.state.is_terminal() => Known::Seen(found.seen.clone()),
                // Accounting may be late, or cannot be asked.
                Some(_) if !waited => continue,
                None if error.is_some() && !waited => continue,
                _ => Known::Gone,
            };
            tell(&self.cluster.name, sbatch_id, &job.known, known);
        }
        error
    }

    fn note(&self, error: Option<SlurmError>) {
        let watched = self.jobs().len();
        let said = error.map(|error| error.to_string());
        self.health.send_modify(|health| {
            health.polls += 1;
            health.watched = watched;
            match (&said, &health.error) {
                (Some(error), before) if before.as_ref() != Some(error) => {
                    warn!(cluster = self.cluster.name, %error, "nothing is heard of the jobs there for the moment");
                }
                (None, Some(_)) => info!(cluster = self.cluster.name, "the cluster answers again"),
                _ => {}
            }
            if said.is_none() {
                health.answered_at = Some(Utc::now());
            }
            health.error = said;
        });
    }
}

fn tell(cluster: &str, sbatch_id: &str, known: &channel::Sender<Known>, news: Known) {
    known.send_if_modified(|known| {
        if *known == news {
            return false;
        }
        if let Known::Seen(Watched {
            state: trainmaster_domain::slurm::SlurmState::Unknown(raw),
            ..
        }) = &news
        {
            warn!(
                cluster,
                sbatch_id,
                state = raw,
                "SLURM says a state that is not known here"
            );
        }
        *known = news;
        true
    });
}
