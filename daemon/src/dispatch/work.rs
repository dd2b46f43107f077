//! What datasets, models and trainings have in common as work: they are claimed, report, and lose their lease.

use crate::{
    log::{ExecuteError, Executed, Log, LogError},
    telemetry::instruments,
};
use opentelemetry::KeyValue;
use std::time::Duration;
use trainmaster_domain::{
    Aggregate, Category, Event, Lease, Metadata, StreamId,
    attempt::{Attempts, Claim, LeaseRefusal, Loss, Report},
    dataset::{Dataset, DatasetCommand, DatasetEvent, DatasetRefusal},
    job::{Job, JobCommand, JobEvent, JobRefusal},
    model::{Model, ModelCommand, ModelEvent, ModelRefusal},
    run::control::Request,
    training::{Training, TrainingCommand, TrainingEvent, TrainingRefusal},
};

/// What can be claimed, worked on by a run, and lost.
pub(crate) trait Work: Aggregate<Command: Clone> {
    fn claim(claim: Claim) -> Self::Command;
    fn report(report: Report) -> Self::Command;
    fn lose(loss: Loss) -> Self::Command;
    fn attempts(&self) -> &Attempts;
    /// What its run is asked to do.
    fn requested(&self) -> Option<Request> {
        None
    }
    fn lease_refusal(refusal: &Self::Refusal) -> Option<&LeaseRefusal>;
}

impl Work for Dataset {
    fn claim(claim: Claim) -> DatasetCommand {
        DatasetCommand::Claim(claim)
    }
    fn report(report: Report) -> DatasetCommand {
        DatasetCommand::Report(Box::new(report))
    }
    fn lose(loss: Loss) -> DatasetCommand {
        DatasetCommand::LoseLease(loss)
    }
    fn attempts(&self) -> &Attempts {
        self.attempts()
    }
    fn lease_refusal(refusal: &DatasetRefusal) -> Option<&LeaseRefusal> {
        match refusal {
            DatasetRefusal::Lease(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl Work for Model {
    fn claim(claim: Claim) -> ModelCommand {
        ModelCommand::Claim(claim)
    }
    fn report(report: Report) -> ModelCommand {
        ModelCommand::Report(Box::new(report))
    }
    fn lose(loss: Loss) -> ModelCommand {
        ModelCommand::LoseLease(loss)
    }
    fn attempts(&self) -> &Attempts {
        self.attempts()
    }
    fn lease_refusal(refusal: &ModelRefusal) -> Option<&LeaseRefusal> {
        match refusal {
            ModelRefusal::Lease(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl Work for Training {
    fn claim(claim: Claim) -> TrainingCommand {
        TrainingCommand::Claim(claim)
    }
    fn report(report: Report) -> TrainingCommand {
        TrainingCommand::Report(Box::new(report))
    }
    fn lose(loss: Loss) -> TrainingCommand {
        TrainingCommand::LoseLease(loss)
    }
    fn attempts(&self) -> &Attempts {
        self.attempts()
    }
    fn requested(&self) -> Option<Request> {
        self.requested()
    }
    fn lease_refusal(refusal: &TrainingRefusal) -> Option<&LeaseRefusal> {
        match refusal {
            TrainingRefusal::Lease(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl Work for Job {
    fn claim(claim: Claim) -> JobCommand {
        JobCommand::Claim(claim)
    }
    fn report(report: Report) -> JobCommand {
        JobCommand::Report(Box::new(report))
    }
    fn lose(loss: Loss) -> JobCommand {
        JobCommand::LoseLease(loss)
    }
    fn attempts(&self) -> &Attempts {
        self.attempts()
    }
    fn requested(&self) -> Option<Request> {
        self.requested()
    }
    fn lease_refusal(refusal: &JobRefusal) -> Option<&LeaseRefusal> {
        match refusal {
            JobRefusal::Lease(refusal) => Some(refusal),
            _ => None,
        }
    }
}

/// What became of a command about a run.
#[derive(Debug)]
pub(crate) enum Heard {
    /// It became events, or had become some before, or changed nothing.
    Taken(Executed),
    /// The lease is not the current one, or has ended.
    Stale(String),
    /// A back-off is not over.
    TooEarly,
    /// Anything else.
    Refused(String),
}

fn no_work(stream: &StreamId) -> Heard {
    Heard::Refused(format!("nothing works on a {}", stream.category))
}

/// What work is about, as far as looking after it needs to know.
#[derive(Clone, Debug)]
pub(crate) struct WorkState {
    pub(crate) attempts: Attempts,
    pub(crate) requested: Option<Request>,
}

async fn run<A: Work>(
    log: &Log,
    id: &str,
    command: A::Command,
    metadata: Metadata,
) -> Result<Heard, LogError>
where
    A::Refusal: 'static,
{
    loop {
        return match log
            .execute::<A>(id, command.clone(), metadata.clone())
            .await
        {
            Ok(executed) => {
                count_failures(&executed);
                Ok(Heard::Taken(executed))
            }
            Err(ExecuteError::Refused(refusal)) => Ok(match A::lease_refusal(&refusal) {
                Some(stale @ LeaseRefusal::Stale { .. }) => Heard::Stale(stale.to_string()),
                Some(LeaseRefusal::TooEarly { .. }) => Heard::TooEarly,
                None => Heard::Refused(refusal.to_string()),
            }),
            Err(ExecuteError::Barred { barrier, .. }) => Ok(Heard::Refused(barrier.to_string())),
            Err(ExecuteError::Log(error)) => Err(error),
            // That others are busy with the stream says nothing against the command.
            Err(ExecuteError::Conflict { .. }) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
    }
}

fn count_failures(executed: &Executed) {
    let news = executed.events.iter().filter(|_| !executed.repeated);
    for recorded in news {
        let failed = match &recorded.event {
            Event::Dataset(DatasetEvent::DatasetFailed(failed))
            | Event::Model(ModelEvent::ModelFailed(failed))
            | Event::Training(TrainingEvent::TrainingErrored(failed))
            | Event::Job(JobEvent::JobFailed(failed)) => failed,
            _ => continue,
        };
        instruments().failed_runs.add(
            1,
            &[
                KeyValue::new("category", recorded.stream.category.as_str()),
                KeyValue::new("code", failed.code.clone()),
            ],
        );
    }
}

/// What is not worked on has its answer in `else`.
macro_rules! by_category {
    ($stream:expr, $aggregate:ident => $body:expr, else $otherwise:expr) => {
        match $stream.category {
            Category::Dataset => {
                type $aggregate = Dataset;
                $body
            }
            Category::Model => {
                type $aggregate = Model;
                $body
            }
            Category::Training => {
                type $aggregate = Training;
                $body
            }
            Category::Job => {
                type $aggregate = Job;
                $body
            }
            Category::Feature
            | Category::TrainingTemplate
            | Category::ExtractionTemplate
            | Category::Preset
            | Category::SlurmJob
            | Category::CrossValidation => $otherwise,
        }
    };
}

pub(crate) async fn claim(
    log: &Log,
    stream: &StreamId,
    claim: Claim,
    metadata: Metadata,
) -> Result<Heard, LogError> {
    by_category!(stream, A => run::<A>(log, &stream.id, A::claim(claim), metadata).await, else Ok(no_work(stream)))
}

pub(crate) async fn report(
    log: &Log,
    stream: &StreamId,
    report: Report,
    metadata: Metadata,
) -> Result<Heard, LogError> {
    by_category!(stream, A => run::<A>(log, &stream.id, <A as Work>::report(report), metadata).await, else Ok(no_work(stream)))
}

pub(crate) async fn lose(
    log: &Log,
    stream: &StreamId,
    loss: Loss,
    metadata: Metadata,
) -> Result<Heard, LogError> {
    by_category!(stream, A => run::<A>(log, &stream.id, A::lose(loss), metadata).await, else Ok(no_work(stream)))
}

pub(crate) async fn end_overdue_pause(
    log: &Log,
    id: &str,
    lease: trainmaster_domain::Lease,
    metadata: Metadata,
) -> Result<Heard, LogError> {
    run::<Training>(
        log,
        id,
        TrainingCommand::EndOverduePause { lease },
        metadata,
    )
    .await
}

/// The newest lease of a stream; none when the log does not know the stream.
pub(crate) async fn known_lease(log: &Log, stream: &StreamId) -> Result<Option<Lease>, LogError> {
    by_category!(stream, A => {
        let loaded = log.load::<A>(&stream.id).await?;
        Ok((loaded.version > 0).then(|| Work::attempts(&loaded.state).lease))
    }, else Ok(None))
}

pub(crate) async fn look(log: &Log, stream: &StreamId) -> Result<WorkState, LogError> {
    by_category!(stream, A => {
        let state = log.load::<A>(&stream.id).await?.state;
        Ok(WorkState {
            attempts: Work::attempts(&state).clone(),
            requested: Work::requested(&state),
        })
    }, else Ok(WorkState { attempts: Attempts::default(), requested: None }))
}
