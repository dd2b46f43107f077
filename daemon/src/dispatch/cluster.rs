//! Sending runs to a cluster: claimed here, written down here, submitted as one job, or as one array of those folds of a cross-validation
//! that wait together.

use super::{
    Dispatcher,
    plan::{Plan, Readiness, plan},
    run_key,
    runs::Place,
    slots::Slot,
    start::{Cause, Dispatched, claimed},
    work::{self, Heard},
};
use crate::{
    log::LogError,
    runner::{Execution, RunDirectory},
    slurm::{Asked, Batch, Cluster, Slurm, SubmissionDirectory, UnusableTemplate, output_pattern},
    supervisor::{Origin, Run},
};
use chrono::{DateTime, Utc};
use std::{io, sync::Arc};
use tracing::{debug, info, warn};
use trainmaster_domain::{
    Category, Lease, Metadata, StreamId,
    attempt::{Claim, Loss, LossReason},
    cross_validation::fold_id,
    run::{
        CONTRACT_VERSION,
        control::Request,
        spec::{Resources, RunSpec, SlurmRun},
    },
    slurm::{
        JobType, Placement, SlurmJob, SlurmResources, Submission, TaskPlace, Tasks,
        TrainingDescription, id, template::Values,
    },
};

/// A run that is claimed, and has its place here.
struct Member {
    stream: StreamId,
    lease: Lease,
    plan: Plan,
    spec: RunSpec,
    place: Place,
    slot: Slot,
}

/// What all members of a submission have in common.
struct Common {
    slurm: Slurm,
    placement: Placement,
    resources: SlurmResources,
    cluster: Arc<Cluster>,
    job_type: JobType,
    now: DateTime<Utc>,
}

/// Why something cannot be submitted.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Template(#[from] UnusableTemplate),
    #[error("its files cannot be written: {0}")]
    File(#[from] io::Error),
}

impl Dispatcher {
    /// Sends a run to the cluster that it is placed on, and with it the other folds of its cross-validation that wait.
    pub(super) async fn send(
        &self,
        stream: &StreamId,
        plan: Plan,
        placement: Placement,
        cause: &Cause,
        now: DateTime<Utc>,
    ) -> Result<Dispatched, LogError> {
        if self.slurm.as_ref().is_some_and(|slurm| !slurm.knows_all()) {
            // Reconciliation mends that, and then looks through what waits.
            return Ok(Dispatched::Waits);
        }
        let device = device(&placement);
        let most = self
            .slurm
            .as_ref()
            .and_then(|slurm| slurm.cluster(&placement.cluster).ok())
            .map_or(1, |cluster| cluster.most_jobs as usize);
        let gathering = match &plan.fold {
            Some(_) => Some(self.gathering.lock().await),
            None => None,
        };
        let siblings = self.siblings(stream, &plan).await?;
        let goes_on = self.job_that_goes_on(stream).await?;
        let mut members = Vec::new();
        let mut full = false;
        for (stream, plan) in std::iter::once((stream.clone(), plan)).chain(siblings) {
            if goes_on.is_some() && !members.is_empty() {
                break;
            }
            let Some(place) = self.runs.enter(&stream) else {
                self.slots.want();
                continue;
            };
            let Some(slot) = self.slots.take_on(&device, most) else {
                full = true;
                break;
            };
            let claim = Claim {
                worker_id: self.worker_id.clone(),
                host: self.options.host.clone(),
                device: device.clone(),
                now,
            };
            let metadata = self.claim_metadata(cause);
            let traceparent = metadata.traceparent.clone();
            let executed = match work::claim(&self.log, &stream, claim, metadata).await? {
                Heard::Taken(executed) => executed,
                Heard::TooEarly => continue,
                Heard::Stale(reason) | Heard::Refused(reason) => {
                    debug!(%stream, reason, "somebody else was faster");
                    continue;
                }
            };
            let lease = executed
                .events
                .iter()
                .find_map(|recorded| claimed(&recorded.event))
                .map(|claimed| claimed.lease);
            let Some(lease) = lease else { continue };
            let spec = self.cluster_spec(&stream, lease, &plan, &placement, traceparent);
            members.push(Member {
                stream,
                lease,
                plan,
                spec,
                place,
                slot,
            });
        }
        drop(gathering);
        if members.is_empty() {
            return Ok(if full {
                Dispatched::NoSlot
            } else {
                Dispatched::Waits
            });
        }
        // From here on the leases are this daemon's: whatever goes wrong ends in events.
        let slurm = self.slurm.clone();
        let Some(slurm) = slurm else {
            let message = "this daemon has no clusters";
            return self.lose_all(&members, LossReason::Refused, message).await;
        };
        let cluster = match slurm.cluster(&placement.cluster) {
            Ok(cluster) => Arc::clone(cluster),
            Err(error) => {
                let message = format!("It cannot be sent: {error}.");
                return self.lose_all(&members, LossReason::Refused, &message).await;
            }
        };
        if let Some((id, job)) = goes_on
            && let Some(member) = members.pop()
        {
            let restart = job.restarts();
            let submission = job
                .submission()
                .map(|submission| submission.submission_id.clone());
            return self
                .hand_over(&slurm, &id, submission.unwrap_or_default(), restart, member)
                .await;
        }
        let common = Common {
            resources: cluster.resources(&placement.resources),
            job_type: members
                .first()
                .map_or(JobType::Training, |member| job_type(&member.stream)),
            slurm,
            placement,
            cluster,
            now,
        };
        self.submit(common, members).await
    }

    /// The folds of the same cross-validation that wait as well.
    async fn siblings(
        &self,
        stream: &StreamId,
        plan: &Plan,
    ) -> Result<Vec<(StreamId, Plan)>, LogError> {
        let Some(fold) = &plan.fold else {
            return Ok(vec![]);
        };
        let mut siblings = Vec::new();
        for index in 0..fold.split.folds {
            let Ok(id) = fold_id(&fold.group, index) else {
                continue;
            };
            let sibling = StreamId::new(Category::Training, id.as_str());
            if sibling == *stream {
                continue;
            }
            if let Readiness::Ready(plan) = plan_of(self, &sibling).await?
                && plan
                    .fold
                    .as_ref()
                    .is_some_and(|other| other.group == fold.group)
                && self.job_that_goes_on(&sibling).await?.is_none()
            {
                siblings.push((sibling, *plan));
            }
        }
        Ok(siblings)
    }

    /// The job of a run that SLURM has put back, and that waits for the next lease.
    async fn job_that_goes_on(
        &self,
        stream: &StreamId,
    ) -> Result<Option<(String, SlurmJob)>, LogError> {
        match &self.slurm {
            Some(slurm) => slurm.can_go_on(stream).await,
            None => Ok(None),
        }
    }

    /// The spec of a run on a node.
    fn cluster_spec(
        &self,
        stream: &StreamId,
        lease: Lease,
        plan: &Plan,
        placement: &Placement,
        traceparent: Option<String>,
    ) -> RunSpec {
        let resources = match &self.slurm {
            Some(slurm) => slurm.cluster(&placement.cluster).map_or_else(
                |_| placement.resources.clone(),
                |cluster| cluster.resources(&placement.resources),
            ),
            None => placement.resources.clone(),
        };
        let gpus = resources.gpus.unwrap_or(0);
        RunSpec {
            contract: CONTRACT_VERSION,
            run_id: stream.id.clone(),
            lease,
            traceparent,
            heartbeat_interval_ms: self.heartbeat_interval_ms(),
            resources: Resources {
                device: if gpus > 0 { "cuda:0" } else { "cpu" }.to_owned(),
                cpu_threads: resources.cpus.unwrap_or(1) as usize,
                memory_limit_bytes: resources.memory_mib.map(|mib| mib << 20),
            },
            slurm: None,
            work: plan.work.clone(),
        }
    }

    async fn submit(
        &self,
        common: Common,
        mut members: Vec<Member>,
    ) -> Result<Dispatched, LogError> {
        let Some(first) = members.first() else {
            return Ok(Dispatched::Nothing);
        };
        let submission_id = id::submission(&first.stream, first.lease);
        let directory = SubmissionDirectory::of(&self.options.state_directory, &submission_id);
        for member in &mut members {
            member.spec.slurm = Some(SlurmRun {
                submission_id: submission_id.clone(),
                restart: 0,
            });
        }
        let common = Arc::new(common);
        let (written, members) = {
            let (common, dispatcher) = (Arc::clone(&common), self.clone());
            let (id, directory) = (submission_id.clone(), directory.clone());
            let writing = tokio::task::spawn_blocking(move || {
                let written = dispatcher.write_down(&common, &id, &directory, &members);
                (written, members)
            });
            match writing.await {
                Ok(written) => written,
                Err(panic) => {
                    // Their leases are found without a run, and lost.
                    warn!(%panic, "runs cannot be written down for a cluster");
                    self.reconcile.notify_one();
                    return Ok(Dispatched::Waits);
                }
            }
        };
        let batch = match written {
            Ok(batch) => batch,
            Err(trouble) => {
                let reason = match trouble {
                    Trouble::Template(_) => LossReason::Refused,
                    Trouble::File(_) => LossReason::NotStarted,
                };
                return self
                    .lose_all(&members, reason, &format!("It cannot be sent: {trouble}."))
                    .await;
            }
        };
        let ids: Vec<String> = batch.tasks.iter().map(|(id, _)| id.clone()).collect();
        if let Err(error) = common.slurm.submit(batch).await {
            warn!(submission = submission_id, %error, "what is to be submitted waits");
            common.slurm.disturb();
            self.reconcile.notify_one();
        }
        for (member, id) in members.into_iter().zip(ids) {
            info!(stream = %member.stream, lease = %member.lease, cluster = common.cluster.name, "a run is sent to a cluster");
            self.look_after(&common.slurm, &id, member).await?;
        }
        Ok(Dispatched::Started)
    }

    /// Specs, script and tasks, durable before anything of them is intended.
    fn write_down(
        &self,
        common: &Common,
        submission_id: &str,
        directory: &SubmissionDirectory,
        members: &[Member],
    ) -> Result<Batch, Trouble> {
        let options = common.slurm.options();
        let template = options.templates.read(common.job_type)?;
        for member in members {
            publish(
                &self.run_directory(&member.stream),
                &member.spec,
                member.plan.requested,
            )?;
        }
        let is_array = members.iter().any(|member| member.plan.fold.is_some());
        let (Some(first), runs) = (members.first(), self.options.state_directory.join("runs"))
        else {
            return Err(Trouble::File(io::ErrorKind::InvalidInput.into()));
        };
        let described = &first.plan.described;
        let own = |member: &Member| self.result_path(member);
        // What an array's tasks have in common is the directory of their results.
        let model_path = match is_array {
            false => described.model_path.clone().unwrap_or_else(|| own(first)),
            true => options
                .models_base_path
                .as_ref()
                .unwrap_or(&runs)
                .to_string_lossy()
                .into_owned(),
        };
        let timestamp = common.now.format("%Y%m%dT%H%M%SZ").to_string();
        let script = template
            .fill(&Values {
                model_name: Some(&described.name),
                model_path: Some(&model_path),
                images_path: described.images_path.as_deref(),
                labels_path: described.labels_path.as_deref(),
                timestamp: Some(&timestamp),
                fold_index: (!is_array).then_some(0),
                task_number: u32::try_from(members.len()).unwrap_or(u32::MAX),
                trainer: &common.cluster.trainer.to_string_lossy(),
                directory: &directory.path().to_string_lossy(),
            })
            .map_err(|error| UnusableTemplate::Wrong {
                place: "of the cluster".to_owned(),
                error,
            })?;
        let index = |member: &Member| {
            let fold = member.plan.fold.as_ref()?;
            Some(u32::from(fold.split.index))
        };
        let tasks = Tasks {
            contract: CONTRACT_VERSION,
            submission_id: submission_id.to_owned(),
            handover_timeout_seconds: options.handover_timeout.as_secs(),
            tasks: members
                .iter()
                .map(|member| TaskPlace {
                    index: index(member),
                    run_directory: self
                        .run_directory(&member.stream)
                        .path()
                        .to_string_lossy()
                        .into_owned(),
                })
                .collect(),
        };
        let asked = Asked {
            resources: common.resources.clone(),
            name: job_name(first),
            output: self.output(first),
        };
        directory.create(&script, &asked, &tasks)?;
        let tasks = members.iter().map(|member| {
            let description = &member.plan.described;
            let submission = Submission {
                submission_id: submission_id.to_owned(),
                run: member.stream.clone(),
                lease: member.lease,
                cluster: common.placement.cluster.clone(),
                job_type: common.job_type,
                fold_index: member.plan.fold.as_ref().map_or(0, |fold| fold.split.index),
                array_index: index(member),
                script: script.clone(),
                training: (member.stream.category == Category::Training).then(|| {
                    TrainingDescription {
                        name: description.name.clone(),
                        images_path: description.images_path.clone(),
                        labels_path: description.labels_path.clone(),
                        model_path: Some(own(member)),
                    }
                }),
                output_dir: description.output_dir.clone(),
            };
            (id::slurm_job(&member.stream, member.lease), submission)
        });
        Ok(Batch {
            tasks: tasks.collect(),
            asked,
        })
    }

    /// Where the result of a run comes to be.
    fn result_path(&self, member: &Member) -> String {
        member.plan.described.model_path.clone().unwrap_or_else(|| {
            self.run_directory(&member.stream)
                .path()
                .join("result")
                .to_string_lossy()
                .into_owned()
        })
    }

    /// What the scripts print goes where the local runner puts it. The folds of a cross-validation are called by their index at the end.
    fn output(&self, first: &Member) -> String {
        let runs = self.options.state_directory.join("runs");
        let name = &first.stream.id;
        let (stem, index) = match first.plan.fold.as_ref().and_then(|_| name.rsplit_once('_')) {
            Some((stem, _)) => (stem, "_%a"),
            None => (name.as_str(), ""),
        };
        let before = output_pattern(&runs.join(stem).to_string_lossy());
        format!("{before}{index}/trainer.log")
    }

    /// Executes the job that SLURM has put back under the lease that was minted for it.
    async fn hand_over(
        &self,
        slurm: &Slurm,
        id: &str,
        submission_id: String,
        restart: u32,
        mut member: Member,
    ) -> Result<Dispatched, LogError> {
        member.spec.slurm = Some(SlurmRun {
            submission_id,
            restart,
        });
        let run = self.run_directory(&member.stream);
        let (spec, request) = (member.spec.clone(), member.plan.requested);
        let written = tokio::task::spawn_blocking(move || publish(&run, &spec, request));
        let written = written
            .await
            .unwrap_or_else(|panic| Err(io::Error::other(panic)));
        if let Err(error) = written {
            let message = format!("Its files cannot be written: {error}.");
            return self
                .lose_all(&[member], LossReason::NotStarted, &message)
                .await;
        }
        if let Err(error) = slurm.hand_over(id, member.lease).await {
            // It has ended meanwhile: the next attempt is another job.
            let message = format!("Its SLURM job cannot go on: {error}.");
            return self
                .lose_all(&[member], LossReason::Requeued, &message)
                .await;
        }
        info!(stream = %member.stream, lease = %member.lease, job = id, "a job that was put back goes on under the next lease");
        self.look_after(slurm, id, member).await?;
        Ok(Dispatched::Started)
    }

    async fn look_after(&self, slurm: &Slurm, id: &str, member: Member) -> Result<(), LogError> {
        let followed = match slurm.followed(id) {
            Some(followed) => followed,
            None => slurm.as_it_is(id).await?,
        };
        self.supervise(Run {
            directory: self.run_directory(&member.stream),
            device: member.slot.device().to_owned(),
            stream: member.stream,
            lease: member.lease,
            execution: Some(Execution::Slurm(followed)),
            slot: member.slot,
            place: member.place,
            origin: Origin::Started {
                request: member.plan.requested,
            },
        });
        Ok(())
    }

    async fn lose_all(
        &self,
        members: &[Member],
        reason: LossReason,
        message: &str,
    ) -> Result<Dispatched, LogError> {
        for member in members {
            let (stream, lease) = (&member.stream, member.lease);
            warn!(%stream, %lease, message, "a run cannot be sent to a cluster");
            let loss = Loss {
                lease,
                reason,
                message: message.to_owned(),
                now: self.log.now().await?,
                policy: self.options.retry,
            };
            let metadata = self.own_metadata(run_key("lose", stream, lease));
            work::lose(&self.log, stream, loss, metadata).await?;
        }
        Ok(Dispatched::Started)
    }

    pub(super) fn claim_metadata(&self, cause: &Cause) -> Metadata {
        Metadata {
            command_id: format!("claim/{}", ulid::Ulid::generate()),
            correlation_id: cause.correlation_id.clone(),
            causation_id: cause.causation_id.clone(),
            actor: "dispatcher".to_owned(),
            traceparent: crate::telemetry::traceparent().or_else(|| cause.traceparent.clone()),
        }
    }
}

/// Makes a run's directory say what its next lease is to do.
fn publish(run: &RunDirectory, spec: &RunSpec, request: Option<Request>) -> io::Result<()> {
    run.create()?;
    run.publish(run.stage_spec(spec)?, spec.lease, request)
}

async fn plan_of(dispatcher: &Dispatcher, stream: &StreamId) -> Result<Readiness, LogError> {
    plan(&dispatcher.log, stream, &dispatcher.options).await
}

/// What its slots are counted by, and what a claim says of where it runs.
pub(crate) fn device(placement: &Placement) -> String {
    format!("{SLURM_DEVICE}{}", placement.cluster)
}

/// What a device of a cluster begins with.
pub(crate) const SLURM_DEVICE: &str = "slurm:";

fn job_type(stream: &StreamId) -> JobType {
    match stream.category {
        Category::Training => JobType::Training,
        _ => JobType::Inference,
    }
}

/// What `squeue` shows: an id, without what SLURM would not have in a name.
fn job_name(first: &Member) -> String {
    let id = match &first.plan.fold {
        Some(fold) => fold.group.as_str(),
        None => first.stream.id.as_str(),
    };
    id.replace('/', ".")
}
