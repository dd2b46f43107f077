//! One run, from its start or adoption to its end.

use super::{
    JournalReader, Line,
    observation::{Observed, Seen},
    out_of_memory,
    reports::Told,
    watch::DirectoryWatch,
};
use crate::{
    dispatch::{
        Dispatcher,
        cluster::SLURM_DEVICE,
        run_key,
        runs::Place,
        slots::Slot,
        work::{self, Heard},
    },
    runner::{Execution, Exit, RunDirectory, Turn},
    telemetry::instruments,
};
use opentelemetry::KeyValue;
use std::{collections::VecDeque, path::PathBuf, time::Duration};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, info, warn};
use trainmaster_domain::{
    Category, Lease, StreamId,
    attempt::{Loss, LossReason},
    run::control::{Control, Request},
};

/// How long a process may take to end after its last word, or after it has been killed; and a job of SLURM, which does not end at once.
const EXIT_LIMIT: Duration = Duration::from_secs(15);
const REMOTE_EXIT_LIMIT: Duration = Duration::from_secs(60);
/// How much later than its end a run's last word may be seen on a file system that hosts share: of one that seems to have ended well, and of
/// one that does not.
const LATEST_WORD: Duration = Duration::from_secs(60);
const LATEST_WORD_OF_FAILED: Duration = Duration::from_secs(3);
/// For how long each time the daemon makes sure that no other looks after a run that waits, about which nothing is asked meanwhile.
const WAITING_SUPERVISED_FOR: Duration = Duration::from_secs(3600);

/// A run to be looked after.
pub(crate) struct Run {
    pub(crate) stream: StreamId,
    pub(crate) lease: Lease,
    pub(crate) directory: RunDirectory,
    pub(crate) device: String,
    /// None when it is another host's, or has ended.
    pub(crate) execution: Option<Execution>,
    /// Kept until the run has ended.
    pub(crate) slot: Slot,
    pub(crate) place: Place,
    pub(crate) origin: Origin,
}

/// Where a run comes from.
pub(crate) enum Origin {
    /// This daemon has just started it.
    Started {
        /// What was asked of it before it began.
        request: Option<Request>,
    },
    /// Another daemon started it.
    Adopted {
        /// Where its journal has been read to, and which line that was.
        seen: Seen,
        /// Whether its process would be seen here if it lived.
        local: bool,
    },
}

/// How looking after a run ends.
#[derive(Clone, Debug)]
enum Ending {
    /// The log knows how the run ended.
    Known,
    /// The run is gone, or was ended by this daemon.
    Lost(LossReason, String),
    /// It was asked to pause and did not in time.
    OverduePause,
    /// Another lease, or another daemon, has taken over.
    Superseded,
    /// This daemon leaves; the run goes on.
    HandedOver,
}

impl Dispatcher {
    /// Looks after a run until it ends or the daemon does.
    pub(crate) fn supervise(&self, run: Run) {
        let dispatcher = self.clone();
        self.tracker.spawn(async move {
            Supervision::new(dispatcher, run).run().await;
        });
    }
}

struct Supervision {
    dispatcher: Dispatcher,
    run: Run,
    local: bool,
    reader: JournalReader,
    lines: VecDeque<Line>,
    seen: Seen,
    told: Told,
    /// What of `seen` has been written down.
    written: Seen,
    exit: Option<Exit>,
    /// The request that is in the file `control`.
    asked: Option<Request>,
    killed: bool,
    /// Whether it was at work when it was last looked at.
    worked: bool,
    /// How it ends, as soon as that is clear: what comes then may have to be done again.
    decided: Option<Ending>,
    out_of_memory_before: Option<u64>,
}

impl Supervision {
    fn new(dispatcher: Dispatcher, run: Run) -> Self {
        let (seen, local, asked) = match &run.origin {
            Origin::Started { request } => (Seen::default(), true, *request),
            Origin::Adopted { seen, local } => (*seen, *local, None),
        };
        Self {
            reader: JournalReader::new(run.directory.journal(), seen.journal_offset),
            lines: VecDeque::new(),
            written: seen,
            seen,
            told: Told::default(),
            exit: None,
            asked,
            killed: false,
            worked: false,
            decided: None,
            out_of_memory_before: out_of_memory::kernel_count(),
            local,
            dispatcher,
            run,
        }
    }

    async fn run(mut self) {
        let mut backoff = Duration::from_millis(200);
        let ending = loop {
            match self.until_the_end().await {
                Ok(ending) => break ending,
                Err(error) => {
                    complain(&self.run.stream, error.as_ref());
                }
            }
            tokio::select! {
                () = self.dispatcher.shutdown.cancelled() => break Ending::HandedOver,
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(Duration::from_secs(5));
        };
        let (stream, lease) = (&self.run.stream, self.run.lease);
        debug!(%stream, %lease, ?ending, "done with a run");
        if !matches!(ending, Ending::HandedOver) {
            self.run.directory.remove_staged(lease);
        }
        if !matches!(ending, Ending::HandedOver)
            && let Err(error) = self
                .dispatcher
                .close(stream, lease, &self.unwritten())
                .await
        {
            // It will be taken over, found to have ended, and closed then.
            debug!(%stream, %error, "the end of a run cannot be written down");
        }
        // Whoever has waited for the slot may find this run's place free.
        let Run { place, slot, .. } = self.run;
        drop(place);
        drop(slot);
    }

    /// Goes on from wherever an error of the database left it.
    async fn until_the_end(&mut self) -> Result<Ending, Failure> {
        if !self.register().await? {
            self.kill();
            return Ok(Ending::Superseded);
        }
        let ending = match self.decided.clone() {
            Some(ending) => ending,
            None => self.watch().await?,
        };
        self.decided = Some(ending.clone());
        self.settle(ending).await
    }

    /// Writes down a run that was just started. False when a later lease has been claimed meanwhile.
    async fn register(&mut self) -> Result<bool, Failure> {
        let Origin::Started { request } = self.run.origin else {
            return Ok(true);
        };
        let process = self
            .run
            .execution
            .as_ref()
            .and_then(Execution::process)
            .cloned();
        let Some(offset) = self
            .dispatcher
            .register(&self.run, process.as_ref(), request, self.supervised_for())
            .await?
        else {
            return Ok(false);
        };
        self.reader = JournalReader::new(self.run.directory.journal(), offset);
        self.seen.journal_offset = offset;
        self.written = self.seen;
        self.run.origin = Origin::Adopted {
            seen: self.seen,
            local: true,
        };
        if self.run.stream.category == Category::Training {
            // What was asked between the look at the log and the claim.
            self.dispatcher.control(&self.run.stream).await?;
        }
        Ok(true)
    }

    async fn watch(&mut self) -> Result<Ending, Failure> {
        let mut directory: Option<DirectoryWatch> = None;
        let shutdown = self.dispatcher.shutdown.clone();
        let nudge = self.run.place.nudge();
        let mut interval = tokio::time::interval(self.look_interval());
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewal = tokio::time::interval(WAITING_SUPERVISED_FOR / 2);
        loop {
            let mut look = false;
            let at_work = self.is_at_work();
            if at_work && directory.is_none() {
                // Each takes one of the kernel's few, so only who is at work has one.
                directory = Some(DirectoryWatch::new(self.run.directory.path()));
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    self.hear().await?;
                    self.observe().await?;
                    return Ok(Ending::HandedOver);
                }
                turn = turn(&mut self.run.execution), if self.exit.is_none() => match turn {
                    Turn::Ended(exit) => self.exit = Some(exit),
                    Turn::Changed => look = true,
                },
                () = nudge.notified() => look = true,
                _ = interval.tick(), if at_work => look = true,
                _ = renewal.tick(), if !at_work => look = true,
                () = changed(&mut directory), if at_work => {}
            }
            self.hear().await?;
            if let Some(ending) = self.told_ending() {
                return Ok(ending);
            }
            if let Some(exit) = self.exit.clone() {
                self.hear_late(&exit).await?;
                if let Some(ending) = self.told_ending() {
                    return Ok(ending);
                }
                if shutdown.is_cancelled() {
                    return Ok(Ending::HandedOver);
                }
                let (reason, message) = self.loss(exit);
                return Ok(Ending::Lost(reason, message));
            }
            if !look {
                continue;
            }
            let Some(observed) = self.observe().await? else {
                return self.displaced().await;
            };
            if let Some(ending) = self.judge(&observed) {
                return Ok(ending);
            }
            if self.run.execution.is_none() && self.local {
                // Adopted after its process had gone; all that it wrote has been heard.
                let (reason, message) = if self.run.device.starts_with(SLURM_DEVICE) {
                    (
                        LossReason::NotStarted,
                        "The daemon ended between claiming it and submitting it.".to_owned(),
                    )
                } else {
                    self.loss(Exit::Unknown)
                };
                return Ok(Ending::Lost(reason, message));
            }
            self.ask(&observed).await?;
        }
    }

    /// Turns all that the journal holds into events.
    async fn hear(&mut self) -> Result<(), Failure> {
        loop {
            if self.lines.is_empty() {
                self.lines.extend(self.reader.read()?);
            }
            if self.lines.is_empty() {
                return Ok(());
            }
            self.dispatcher
                .hear(
                    &self.run.stream,
                    self.run.lease,
                    &mut self.lines,
                    &mut self.seen,
                    &mut self.told,
                )
                .await?;
            if !self.lines.is_empty() {
                return Ok(());
            }
        }
    }

    /// What another host wrote may be seen later than its end: a last word that should be there is waited for.
    async fn hear_late(&mut self, exit: &Exit) -> Result<(), Failure> {
        let late = match exit {
            Exit::Job(LossReason::OutcomeUnknown, _) => LATEST_WORD,
            Exit::Job(LossReason::Exited, _) => LATEST_WORD_OF_FAILED,
            _ => return Ok(()),
        };
        let until = Instant::now() + late;
        while self.told_ending().is_none()
            && Instant::now() < until
            && !self.dispatcher.shutdown.is_cancelled()
        {
            tokio::time::sleep(Duration::from_millis(200)).await;
            self.hear().await?;
        }
        Ok(())
    }

    fn told_ending(&self) -> Option<Ending> {
        if self.told.ended {
            Some(Ending::Known)
        } else if self.told.superseded {
            Some(Ending::Superseded)
        } else {
            self.told.disbelief.as_ref().map(|reason| {
                Ending::Lost(
                    LossReason::Exited,
                    format!("The run was ended because {reason}."),
                )
            })
        }
    }

    /// Somebody else has the row: another daemon that took this one for dead, which is no reason to end the run; or a later lease.
    async fn displaced(&self) -> Result<Ending, Failure> {
        let state = work::look(&self.dispatcher.log, &self.run.stream).await?;
        Ok(match state.attempts.fence(self.run.lease) {
            Ok(()) => Ending::HandedOver,
            Err(_) => Ending::Superseded,
        })
    }

    async fn observe(&mut self) -> Result<Option<Observed>, Failure> {
        if let Some(heartbeat) = self
            .run
            .directory
            .heartbeat()
            .filter(|heartbeat| heartbeat.lease == self.run.lease)
        {
            self.seen.beat = Some(heartbeat.beat);
            self.seen.progress = Some(heartbeat.progress);
        }
        let observed = self
            .dispatcher
            .observe(
                &self.run.stream,
                self.run.lease,
                &self.unwritten(),
                self.supervised_for(),
                // Its time begins when its work does.
                self.is_at_work() && !self.worked,
            )
            .await?;
        self.worked = self.is_at_work();
        self.written = self.seen;
        Ok(observed)
    }

    /// Whether it should beat its heart and get on. What another host executes is taken to.
    fn is_at_work(&self) -> bool {
        self.run
            .execution
            .as_ref()
            .is_none_or(Execution::is_at_work)
    }

    fn is_remote(&self) -> bool {
        self.run
            .execution
            .as_ref()
            .is_some_and(Execution::is_remote)
    }

    fn look_interval(&self) -> Duration {
        match &self.dispatcher.slurm {
            Some(slurm) if self.is_remote() => slurm.options().look_interval,
            _ => self.dispatcher.options.supervision.observe_interval,
        }
    }

    fn heartbeat_limit(&self) -> Duration {
        match &self.dispatcher.slurm {
            Some(slurm) if self.is_remote() => slurm.options().heartbeat_limit,
            _ => self.dispatcher.options.supervision.heartbeat_limit,
        }
    }

    fn supervised_for(&self) -> Duration {
        let ordinary = self.dispatcher.options.supervision.supervised_for;
        if !self.is_at_work() {
            WAITING_SUPERVISED_FOR
        } else if self.is_remote() {
            ordinary.max(self.look_interval() * 4)
        } else {
            ordinary
        }
    }

    /// What has been seen, with only those refusals that have not been counted in the database.
    fn unwritten(&self) -> Seen {
        Seen {
            refused: self.seen.refused.saturating_sub(self.written.refused),
            ..self.seen
        }
    }

    /// The detectors.
    fn judge(&self, observed: &Observed) -> Option<Ending> {
        let options = &self.dispatcher.options.supervision;
        if let Some((Request::Pause, since)) = observed.request
            && since > options.pause_deadline
        {
            return Some(Ending::OverduePause);
        }
        if let Some((Request::Stop, since)) = observed.request
            && since > options.pause_deadline
        {
            // The next attempt is told before it begins.
            return Some(Ending::Lost(
                LossReason::NoProgress,
                format!(
                    "It was asked to stop and had not after {:.1} s.",
                    since.as_secs_f64()
                ),
            ));
        }
        if !self.is_at_work() {
            return None;
        }
        if observed.silent_for > self.heartbeat_limit() {
            return Some(Ending::Lost(
                LossReason::NoHeartbeat,
                format!(
                    "There was no heartbeat for {:.1} s; the limit is {:.1} s.",
                    observed.silent_for.as_secs_f64(),
                    self.heartbeat_limit().as_secs_f64()
                ),
            ));
        }
        if observed.stuck_for > options.progress_deadline {
            return Some(Ending::Lost(
                LossReason::NoProgress,
                format!(
                    "There were heartbeats but no progress for {:.1} s; the limit is {:.1} s.",
                    observed.stuck_for.as_secs_f64(),
                    options.progress_deadline.as_secs_f64()
                ),
            ));
        }
        None
    }

    /// Tells the run what is asked of it.
    async fn ask(&mut self, observed: &Observed) -> Result<(), Failure> {
        let Some((request, _)) = observed
            .request
            .filter(|(request, _)| self.asked != Some(*request))
        else {
            return Ok(());
        };
        let control = Control {
            lease: self.run.lease,
            request,
        };
        let directory = self.run.directory.clone();
        tokio::task::spawn_blocking(move || directory.write_control(&control)).await??;
        if let Some(execution) = self.run.execution.as_ref().filter(|_| !self.is_at_work()) {
            // There is nobody yet who could read it.
            execution.end();
        }
        info!(stream = %self.run.stream, ?request, "a run has been asked");
        self.asked = Some(request);
        Ok(())
    }

    fn loss(&self, exit: Exit) -> (LossReason, String) {
        if let Exit::Job(reason, message) = exit {
            return (reason, message);
        }
        let log: PathBuf = self.run.directory.log();
        let out_of_memory = match (self.out_of_memory_before, out_of_memory::kernel_count()) {
            (Some(before), Some(now)) => now > before,
            _ => false,
        };
        if exit.was_killed() && !self.killed && out_of_memory {
            (
                LossReason::OutOfMemory,
                "The kernel ended the run for want of memory; use a smaller batch or fewer latents.".to_owned(),
            )
        } else {
            (
                LossReason::Exited,
                format!(
                    "The run ended without a last word: {exit}. See {}.",
                    log.display()
                ),
            )
        }
    }

    fn kill(&mut self) {
        if let Some(execution) = self.run.execution.as_ref().filter(|_| self.exit.is_none()) {
            info!(stream = %self.run.stream, lease = %self.run.lease, %execution, "a run is ended");
            execution.end();
            self.killed = true;
        }
    }

    async fn wait_for_end(&mut self) {
        let limit = match self.is_remote() {
            true => REMOTE_EXIT_LIMIT,
            false => EXIT_LIMIT,
        };
        let execution = &mut self.run.execution;
        let ended = async {
            loop {
                if let Turn::Ended(exit) = turn(execution).await {
                    return exit;
                }
            }
        };
        match tokio::time::timeout_at(Instant::now() + limit, ended).await {
            Ok(exit) => self.exit = Some(exit),
            Err(_) => {
                warn!(stream = %self.run.stream, "a run's process does not end");
                self.kill();
            }
        }
    }

    /// Ends the process where it should not go on, hears what it has said, and tells the log what the log does not know.
    async fn settle(&mut self, mut ending: Ending) -> Result<Ending, Failure> {
        if matches!(ending, Ending::HandedOver) {
            return Ok(ending);
        }
        if !matches!(ending, Ending::Known) {
            self.kill();
        }
        match &self.run.execution {
            // SLURM ends it by itself, and whoever follows the job sees that when the cluster is asked next.
            Some(execution) if execution.is_remote() && matches!(ending, Ending::Known) => {}
            Some(_) if self.exit.is_none() => self.wait_for_end().await,
            _ => {}
        }
        if !self.told.superseded && self.told.disbelief.is_none() {
            self.hear().await?;
            if self.told.ended {
                ending = Ending::Known;
            }
        }
        let (stream, lease) = (&self.run.stream, self.run.lease);
        // Before the log knows: afterwards another attempt may be at it.
        if self.local
            && (self.exit.is_some() || self.run.execution.is_none())
            && matches!(ending, Ending::Lost(..) | Ending::OverduePause)
        {
            self.run.directory.remove_unfinished();
        }
        let log = &self.dispatcher.log;
        let heard = match &ending {
            Ending::Lost(reason, message) => {
                warn!(%stream, %lease, ?reason, message, "a run is lost");
                let name = KeyValue::new("reason", reason.name());
                instruments().lost_runs.add(1, &[name]);
                let loss = Loss {
                    lease,
                    reason: *reason,
                    message: message.clone(),
                    now: log.now().await?,
                    policy: self.dispatcher.options.retry,
                };
                let metadata = self.dispatcher.own_metadata(run_key("lose", stream, lease));
                Some(work::lose(log, stream, loss, metadata).await?)
            }
            Ending::OverduePause => {
                warn!(%stream, %lease, "a run did not pause in time and was ended");
                let metadata = self
                    .dispatcher
                    .own_metadata(run_key("overdue", stream, lease));
                Some(work::end_overdue_pause(log, &stream.id, lease, metadata).await?)
            }
            Ending::Known | Ending::Superseded | Ending::HandedOver => None,
        };
        if let Some(Heard::Stale(reason) | Heard::Refused(reason)) = heard {
            debug!(%stream, %lease, reason, "the log knew already");
        }
        Ok(ending)
    }
}

/// For ever, where there is nothing to watch.
async fn changed(directory: &mut Option<DirectoryWatch>) {
    match directory {
        Some(directory) => directory.changed().await,
        None => std::future::pending().await,
    }
}

fn complain(stream: &StreamId, error: &(dyn std::error::Error + 'static)) {
    warn!(%stream, error, "a run cannot be looked after at this moment");
}

async fn turn(execution: &mut Option<Execution>) -> Turn {
    match execution {
        Some(execution) => execution.turn().await,
        None => std::future::pending().await,
    }
}

/// Whatever keeps a run from being looked after for a while: mostly that Postgres is away.
type Failure = Box<dyn std::error::Error + Send + Sync>;
