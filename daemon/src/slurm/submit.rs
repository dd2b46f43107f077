//! Submitting: an intent in the log first, `sbatch` second, the number that SLURM gave third. Whoever is interrupted between the steps
//! looks what has happened before anything is submitted again.

use super::{
    Asked, Lookup, Submit,
    jobs::{Entered, Slurm, SlurmJobError, complain},
    submission::SubmissionDirectory,
};
use crate::log::{ExecuteError, LogError};
use std::{collections::BTreeMap, fs::File, sync::Arc, time::Duration};
use tracing::{info, warn};
use trainmaster_domain::slurm::{SlurmJob, SlurmJobCommand, SlurmJobStatus, Submission};

/// What one `sbatch` submits: tasks that differ in run, lease and index alone.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// By the id of their streams.
    pub(crate) tasks: Vec<(String, Submission)>,
    /// How.
    pub(crate) asked: Asked,
}

impl Slurm {
    /// Writes down that a batch is to be submitted, and sees to it in the background. Its directory has been made.
    ///
    /// # Errors
    /// What the log says; then nothing has been, or will be, submitted but by a later reconciliation.
    pub(crate) async fn submit(&self, batch: Batch) -> Result<(), SlurmJobError> {
        let Some((_, first)) = batch.tasks.first() else {
            return Ok(());
        };
        let directory = SubmissionDirectory::of(&self.0.state_directory, &first.submission_id);
        let mut entered = Vec::new();
        for (id, submission) in &batch.tasks {
            // Followed before it is known to anybody, so that no reconciliation takes it for abandoned.
            entered.extend(self.enter(id, &submission.run));
            let command = SlurmJobCommand::Intend(Box::new(submission.clone()));
            match self.say(id, command, format!("slurm/{id}/intend")).await {
                Err(ExecuteError::Refused(refusal)) => {
                    warn!(job = id, %refusal, "this was submitted before");
                }
                said => said?,
            }
        }
        let slurm = self.clone();
        self.0.tracker.spawn(async move {
            slurm.see_to_it(entered, directory, Some(batch.asked)).await;
        });
        Ok(())
    }

    /// Takes up what an earlier daemon, or an error of the database, left: what was intended and perhaps submitted, and what is in a cluster's
    /// queue. Only what this state directory has. Answers how many jobs there are.
    pub(crate) async fn take_up(&self) -> Result<usize, LogError> {
        let ids: Vec<String> = sqlx::query_scalar(include_str!("live.sql"))
            .fetch_all(self.0.log.pool())
            .await
            .map_err(LogError::database(
                "read which jobs of clusters have not ended",
            ))?;
        let mut intended: BTreeMap<String, Vec<Entered>> = BTreeMap::new();
        let mut taken = 0;
        for id in ids {
            let job = self.0.log.load::<SlurmJob>(&id).await?.state;
            let Some(submission) = job.submission().filter(|_| job.status().is_live()) else {
                continue;
            };
            let directory =
                SubmissionDirectory::of(&self.0.state_directory, &submission.submission_id);
            if !directory.exists() {
                continue;
            }
            let Some(entered) = self.enter(&id, &submission.run) else {
                continue;
            };
            taken += 1;
            if job.status() == SlurmJobStatus::Intended {
                intended
                    .entry(submission.submission_id.clone())
                    .or_default()
                    .push(entered);
            } else {
                self.0.tracker.spawn(entered.follow());
            }
        }
        for (submission, entered) in intended {
            let directory = SubmissionDirectory::of(&self.0.state_directory, &submission);
            let slurm = self.clone();
            self.0.tracker.spawn(async move {
                slurm.see_to_it(entered, directory, None).await;
            });
        }
        Ok(taken)
    }

    /// Has a batch submitted, however long it takes, then follows its jobs.
    async fn see_to_it(
        &self,
        entered: Vec<Entered>,
        directory: SubmissionDirectory,
        asked: Option<Asked>,
    ) {
        let mut pause = Duration::from_millis(500);
        // Without what was asked, somebody else was at it before: look first.
        let mut look = asked.is_none();
        let mut asked = asked;
        loop {
            let tried = self.try_once(&entered, &directory, &mut asked, look).await;
            let error = match tried {
                Ok(()) => break,
                Err(error) => error,
            };
            warn!(directory = %directory.path().display(), error = error.as_ref(), "what is to be submitted waits");
            look = true;
            tokio::select! {
                () = self.0.shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(Duration::from_secs(60));
        }
        for job in entered {
            self.0.tracker.spawn(job.follow());
        }
    }

    async fn try_once(
        &self,
        entered: &[Entered],
        directory: &SubmissionDirectory,
        asked: &mut Option<Asked>,
        look: bool,
    ) -> Result<(), Failure> {
        let Some(first) = entered.first() else {
            return Ok(());
        };
        let states = self.states(entered).await?;
        let Some(submission) = states.iter().find_map(SlurmJob::submission) else {
            return Err(format!("{} was never intended", first.id).into());
        };
        let poller = match self.poller(&submission.cluster) {
            Ok(poller) => poller,
            Err(error) => return self.refuse(entered, &error.to_string()).await,
        };
        let cluster = Arc::clone(poller.cluster());
        let lock = tokio::select! {
            () = self.0.shutdown.cancelled() => return Err("the daemon leaves".into()),
            lock = directory.lock() => lock?,
        };
        if let Some(number) = directory.number()? {
            return self.submitted(entered, &states, &number).await;
        }
        if look {
            let lookup = Lookup {
                submission: &submission.submission_id,
                directory: directory.path(),
            };
            let found = cluster.find(lookup).await?;
            if let Some(job) = found.first() {
                let number = job.sbatch_id.split('_').next().unwrap_or_default();
                info!(
                    submission = submission.submission_id,
                    number, "was submitted before"
                );
                return self.submitted(entered, &states, number).await;
            }
        }
        if states.iter().all(SlurmJob::cancel_requested) {
            return self
                .refuse(entered, "It was withdrawn before it was submitted.")
                .await;
        }
        let asked = match asked {
            Some(asked) => &*asked,
            None => asked.insert(directory.asked()?),
        };
        let indexes: Vec<u32> = states
            .iter()
            .filter_map(|state| state.submission()?.array_index)
            .collect();
        let _permit = self.0.gate.acquire().await?;
        let number = cluster
            .sbatch(&Submit {
                submission: &submission.submission_id,
                job_name: &asked.name,
                directory: directory.path(),
                script: &directory.script(),
                output: &asked.output,
                resources: &asked.resources,
                array: (!indexes.is_empty()).then_some(&indexes),
                signal_before_end: self.0.options.signal_before_end,
                lock: &lock,
            })
            .await;
        drop::<File>(lock);
        match number {
            Ok(number) => self.submitted(entered, &states, &number).await,
            Err(error) if error.is_temporary() || error.is_unclear() => Err(error.into()),
            Err(error) => self.refuse(entered, &error.to_string()).await,
        }
    }

    async fn states(&self, entered: &[Entered]) -> Result<Vec<SlurmJob>, LogError> {
        let mut states = Vec::with_capacity(entered.len());
        for job in entered {
            states.push(self.0.log.load::<SlurmJob>(&job.id).await?.state);
        }
        Ok(states)
    }

    async fn submitted(
        &self,
        entered: &[Entered],
        states: &[SlurmJob],
        number: &str,
    ) -> Result<(), Failure> {
        for (job, state) in entered.iter().zip(states) {
            let index = state
                .submission()
                .and_then(|submission| submission.array_index);
            let sbatch_id = match index {
                Some(index) => format!("{number}_{index}"),
                None => number.to_owned(),
            };
            info!(job = job.id, sbatch_id, "a job has been submitted");
            let command = SlurmJobCommand::NoteSubmitted { sbatch_id };
            self.say(&job.id, command, format!("slurm/{}/submitted", job.id))
                .await?;
        }
        Ok(())
    }

    async fn refuse(&self, entered: &[Entered], message: &str) -> Result<(), Failure> {
        for job in entered {
            warn!(job = job.id, message, "a job has not been submitted");
            let command = SlurmJobCommand::NoteRefused {
                message: message.to_owned(),
            };
            match self
                .say(&job.id, command, format!("slurm/{}/refused", job.id))
                .await
            {
                Err(ExecuteError::Refused(refusal)) => complain(&job.id, &refusal),
                said => said?,
            }
        }
        Ok(())
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
