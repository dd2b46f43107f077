//! Taking what waits: a slot, a lease, a process.

use super::{
    Dispatcher,
    plan::{Plan, Readiness, plan},
    run_key,
    runs::Place,
    slots::Slot,
    work::{self, Heard},
};
use crate::{
    log::LogError,
    runner::{Execution, Launch, RunDirectory, StagedSpec},
    supervisor::{Origin, Run},
    telemetry::instruments,
};
use chrono::{DateTime, Utc};
use std::io;
use tracing::{Instrument, debug, info, info_span, warn};
use trainmaster_domain::{
    Category, Event, Lease, Metadata, StreamId,
    attempt::{Claim, Claimed, Loss, LossReason},
    dataset::DatasetEvent,
    job::JobEvent,
    model::ModelEvent,
    run::{
        CONTRACT_VERSION,
        control::Request,
        spec::{Resources, RunSpec},
    },
    training::TrainingEvent,
};

/// What links a command of the dispatcher to the request that caused it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cause {
    pub(crate) correlation_id: String,
    pub(crate) causation_id: Option<String>,
    pub(crate) traceparent: Option<String>,
    /// When it was asked for, unless it was for later.
    pub(crate) asked_at: Option<DateTime<Utc>>,
}

/// What came of trying to start something.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Dispatched {
    /// Its run has been started, or has failed to start, which is in the log.
    Started,
    /// It does not wait for a worker.
    Nothing,
    /// It waits for something else, or for a back-off.
    Waits,
    /// There is no free slot.
    NoSlot,
}

impl Dispatcher {
    /// Starts a run of `stream` if it waits for one and can have one. Does nothing otherwise: what waits is tried again when
    /// what it waits for has come.
    pub(crate) async fn dispatch(
        &self,
        stream: &StreamId,
        cause: &Cause,
    ) -> Result<Dispatched, LogError> {
        let span = info_span!("dispatch", %stream);
        if let Some(traceparent) = &cause.traceparent {
            crate::telemetry::set_parent(&span, traceparent);
        }
        self.dispatch_in_span(stream, cause).instrument(span).await
    }

    async fn dispatch_in_span(
        &self,
        stream: &StreamId,
        cause: &Cause,
    ) -> Result<Dispatched, LogError> {
        if stream.category == Category::CrossValidation {
            self.queue_folds(stream, cause).await?;
            return Ok(Dispatched::Nothing);
        }
        let prefers_gpu = matches!(stream.category, Category::Training | Category::Job);
        // What goes to a cluster takes none of this machine's.
        if self.slurm.is_none() && !self.slots.has_free(prefers_gpu) {
            debug!(%stream, "waits for a free slot");
            return Ok(Dispatched::NoSlot);
        }
        let (plan, now) = tokio::try_join!(plan(&self.log, stream, &self.options), self.log.now())?;
        if let Some(asked_at) = cause.asked_at {
            instruments()
                .dispatch_latency
                .record((now - asked_at).as_seconds_f64(), &[]);
        }
        let plan = match plan {
            Readiness::Ready(plan) => plan,
            Readiness::Waits(reason) => {
                debug!(%stream, reason, "waits");
                return Ok(Dispatched::Waits);
            }
            Readiness::Nothing => return Ok(Dispatched::Nothing),
        };
        if let Some(placement) = plan.placement.clone() {
            return self.send(stream, *plan, placement, cause, now).await;
        }
        if !self.slots.has_free(prefers_gpu) {
            debug!(%stream, "waits for a free slot");
            return Ok(Dispatched::NoSlot);
        }
        // Until its run is looked after, or has not come about, nobody else here may take it, nor think it abandoned.
        let Some(place) = self.runs.enter(stream) else {
            self.slots.want();
            return Ok(Dispatched::NoSlot);
        };
        let Some(slot) = self.slots.take(prefers_gpu) else {
            debug!(%stream, "waits for a free slot");
            return Ok(Dispatched::NoSlot);
        };
        let claim = Claim {
            worker_id: self.worker_id.clone(),
            host: self.options.host.clone(),
            device: slot.device().to_owned(),
            now,
        };
        let metadata = self.claim_metadata(cause);
        let request = plan.requested;
        let spec = self.spec(stream, *plan, slot.device(), &metadata);
        // What waits for the disk is done while the claim does too. Nobody sees it before it has its name.
        let staging = {
            let (directory, spec) = (self.run_directory(stream), spec.clone());
            tokio::task::spawn_blocking(move || {
                directory.create()?;
                directory.stage_spec(&spec)
            })
        };
        let (claim, staged) = tokio::join!(
            work::claim(&self.log, stream, claim, metadata.clone()),
            staging
        );
        let staged = staged.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        let executed = match claim? {
            Heard::Taken(executed) => executed,
            Heard::TooEarly => return Ok(Dispatched::Waits),
            Heard::Stale(reason) | Heard::Refused(reason) => {
                debug!(%stream, reason, "somebody else was faster");
                return Ok(Dispatched::Nothing);
            }
        };
        let Some(lease) = executed
            .events
            .iter()
            .find_map(|recorded| claimed(&recorded.event))
            .map(|claimed| claimed.lease)
        else {
            return Ok(Dispatched::Nothing);
        };
        let staged = match staged {
            Ok(staged) if spec.lease == lease => Ok(staged),
            Ok(_) => self
                .run_directory(stream)
                .stage_spec(&RunSpec { lease, ..spec }),
            Err(error) => Err(error),
        };
        self.start(stream, lease, staged, request, slot, place)
            .await?;
        Ok(Dispatched::Started)
    }

    pub(super) fn heartbeat_interval_ms(&self) -> u64 {
        let interval = self.options.supervision.heartbeat_interval;
        interval.as_millis().try_into().unwrap_or(1000)
    }

    /// The spec of the lease that the next claim mints.
    fn spec(&self, stream: &StreamId, plan: Plan, device: &str, metadata: &Metadata) -> RunSpec {
        RunSpec {
            contract: CONTRACT_VERSION,
            run_id: stream.id.clone(),
            lease: plan.lease,
            traceparent: metadata.traceparent.clone(),
            heartbeat_interval_ms: self.heartbeat_interval_ms(),
            resources: Resources {
                device: device.to_owned(),
                cpu_threads: self.options.launch.cpu_threads,
                memory_limit_bytes: self.options.launch.memory_limit_bytes,
            },
            slurm: None,
            work: plan.work,
        }
    }

    /// From here on the lease is this daemon's: whatever goes wrong ends in an event.
    async fn start(
        &self,
        stream: &StreamId,
        lease: Lease,
        staged: io::Result<StagedSpec>,
        request: Option<Request>,
        slot: Slot,
        place: Place,
    ) -> Result<(), LogError> {
        let directory = self.run_directory(stream);
        let device = slot.device().to_owned();
        let started = {
            let (directory, device) = (directory.clone(), device.clone());
            let launch = self.options.launch.clone();
            let starting = tokio::task::spawn_blocking(move || {
                directory.publish(staged?, lease, request)?;
                Launch {
                    options: &launch,
                    directory: &directory,
                    lease,
                    device: &device,
                }
                .start()
            });
            starting
                .await
                .unwrap_or_else(|panic| Err(io::Error::other(panic)))
        };
        match started {
            Ok(process) => {
                info!(%stream, %lease, pid = process.identity().pid, device, "a run has been started");
                self.supervise(Run {
                    stream: stream.clone(),
                    lease,
                    directory,
                    device,
                    execution: Some(Execution::Process(process)),
                    slot,
                    place,
                    origin: Origin::Started { request },
                });
            }
            Err(error) => {
                warn!(%stream, %lease, %error, "a run cannot be started");
                let loss = Loss {
                    lease,
                    reason: LossReason::NotStarted,
                    message: format!(
                        "{} cannot be started in {}: {error}.",
                        self.options.launch.program.display(),
                        directory.path().display()
                    ),
                    now: self.log.now().await?,
                    policy: self.options.retry,
                };
                let metadata = self.own_metadata(run_key("lose", stream, lease));
                work::lose(&self.log, stream, loss, metadata).await?;
            }
        }
        Ok(())
    }

    /// Where the runs of a dataset, model or training are.
    pub(crate) fn run_directory(&self, stream: &StreamId) -> RunDirectory {
        RunDirectory::new(self.options.state_directory.join("runs").join(&stream.id))
    }
}

/// The lease that an event mints.
pub(crate) fn claimed(event: &Event) -> Option<&Claimed> {
    match event {
        Event::Dataset(DatasetEvent::DatasetClaimed(claimed))
        | Event::Model(ModelEvent::ModelClaimed(claimed))
        | Event::Training(TrainingEvent::TrainingClaimed(claimed))
        | Event::Job(JobEvent::JobClaimed(claimed)) => Some(claimed),
        _ => None,
    }
}
