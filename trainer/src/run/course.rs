//! The course of a training, whatever it is that learns: steps, and between them metrics, checkpoints, measurements on what is held out, and
//! what the run is asked to do.

use super::Run;
use super::durable::{self, Contents};
use super::failure::RunError;
use super::life::{Life, Next};
use super::metrics::{Collector, Row};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use trainmaster_domain::run::control::Request;
use trainmaster_domain::run::journal::{AtStep, CheckpointSaved, Finished, Record};
use trainmaster_domain::run::spec::ResumeFrom;

/// How long a training is, how often something is said of it, in steps, and where its result goes.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The last step.
    pub steps: u64,
    /// Between two that are recorded.
    pub log_interval: u64,
    /// Between two checkpoints.
    pub checkpoint_interval: u64,
    /// The directory of the result.
    pub result: PathBuf,
    /// The step of the checkpoint that it goes on from; none: from the beginning.
    pub resumed_from: Option<u64>,
}

/// What a step did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stepped {
    /// Of the step.
    pub loss: f64,
    /// What the journal says of it, where it is recorded.
    pub row: Option<Row>,
    /// Samples that it learnt from.
    pub samples: u64,
}

/// What learns.
pub(super) trait Learner {
    /// Does step number `step`, counted from 1; breaks off, with nothing changed, where something is asked of the run meanwhile.
    fn step(
        &mut self,
        step: u64,
        recorded: bool,
        life: &Life,
    ) -> Result<ControlFlow<(), Stepped>, RunError>;

    /// The loss is looked at before a step changes the weights, so the last change has not been looked at yet.
    fn weights_are_finite(&self) -> Result<(), RunError>;

    /// Makes the directory of a checkpoint at this step.
    fn checkpoint(&mut self, path: &Path, step: u64) -> Result<Contents, RunError>;

    /// Makes the directory of the result.
    fn result(&mut self, path: &Path, step: u64) -> Result<Contents, RunError>;

    /// Measures what was trained so far; nothing where nothing is held out, or something else is asked. Changes nothing of the training.
    fn evaluate(&mut self, step: u64, life: &Life) -> Result<Option<Record>, RunError>;
}

/// A training under way.
pub(super) struct Course<'a, L> {
    run: &'a mut Run,
    learner: L,
    plan: Plan,
    collector: Collector,
    /// Steps that are done.
    step: u64,
    last: Option<(u64, Stepped)>,
    /// The step of the newest checkpoint that has been announced under this lease or resumed from.
    checkpointed: Option<u64>,
    /// The step of the newest evaluation under this lease.
    evaluated: Option<u64>,
}

impl<'a, L: Learner> Course<'a, L> {
    /// From the beginning, or from a checkpoint.
    pub(super) fn new(run: &'a mut Run, learner: L, plan: Plan) -> Self {
        Self {
            run,
            learner,
            collector: Collector::new(),
            step: plan.resumed_from.unwrap_or(0),
            last: None,
            checkpointed: plan.resumed_from,
            evaluated: None,
            plan,
        }
    }

    /// Goes on to the end, or until asked otherwise; what happened is in the journal then.
    ///
    /// # Errors
    /// [`RunError`]: the run ends without a result.
    pub(super) fn go_on(mut self) -> Result<(), RunError> {
        loop {
            match self.run.life.next() {
                Next::GoOn if self.step < self.plan.steps => self.step()?,
                Next::GoOn => {
                    self.save()?;
                    self.evaluate()?;
                    // What broke a measurement off is seen to first; whoever goes on from here measures.
                    if self.evaluated == Some(self.step) || self.run.life.next() == Next::GoOn {
                        let finished = self.result()?;
                        return self.run.say(Record::Completed(finished), true);
                    }
                }
                Next::Leave => return Err(RunError::Superseded),
                Next::Asked(Request::Pause) => {
                    self.checkpoint()?;
                    let step = self.step;
                    return self.run.say(Record::Paused(AtStep { step }), true);
                }
                Next::Asked(Request::Stop) => {
                    let finished = self.result()?;
                    return self.run.say(Record::Stopped(finished), true);
                }
                Next::Save => {
                    self.save()?;
                    return Err(RunError::Left);
                }
                Next::Requeue => {
                    self.save()?;
                    if self.run.executor.requeue() {
                        return Err(RunError::Left);
                    }
                }
            }
        }
    }

    fn step(&mut self) -> Result<(), RunError> {
        // A step, with what it reads, can take longer than metrics may wait.
        if self.collector.is_due() {
            self.flush()?;
        }
        let next = self.step + 1;
        let every = |interval: u64| next.is_multiple_of(interval);
        let recorded = next == 1 || every(self.plan.log_interval) || next == self.plan.steps;
        let stepped = match self.learner.step(next, recorded, &self.run.life) {
            Ok(ControlFlow::Continue(stepped)) => stepped,
            Ok(ControlFlow::Break(())) => return Ok(()),
            Err(error @ RunError::LossNotFinite { .. }) => {
                self.flush()?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        self.run.life.progress();
        // A turn is not given up before it has got anywhere.
        self.run.life.saves();
        self.step = next;
        self.collector.push(stepped.row, stepped.samples);
        self.last = Some((next, stepped));
        if every(self.plan.checkpoint_interval) {
            self.checkpoint()?;
            self.evaluate()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), RunError> {
        match self.collector.take() {
            Some(batch) => self.run.say(Record::Metrics(batch), false),
            None => Ok(()),
        }
    }

    /// Metrics come first, so that a checkpoint in the journal has its steps before it.
    fn checkpoint(&mut self) -> Result<(), RunError> {
        self.flush()?;
        self.run.still_ours()?;
        self.learner.weights_are_finite()?;
        let step = self.step;
        let path = self
            .run
            .directory
            .join("checkpoints")
            .join(format!("{step}-{}", self.run.spec.lease));
        let contents = self.learner.checkpoint(&path, step)?;
        self.run.life.progress();
        let last = self.last.filter(|(at, _)| *at == step);
        let last = last.map(|(_, stepped)| stepped);
        self.run.say(
            Record::CheckpointSaved(CheckpointSaved {
                step,
                loss: last.map(|last| last.loss),
                sparsity: last.and_then(|last| last.row?.sparsity()),
                path: path.to_string_lossy().into_owned(),
                file_size_bytes: contents.size_bytes,
                sha256: contents.sha256,
            }),
            true,
        )?;
        self.checkpointed = Some(step);
        Ok(())
    }

    /// A checkpoint of this step, unless there is one.
    fn save(&mut self) -> Result<(), RunError> {
        match self.checkpointed == Some(self.step) {
            true => Ok(()),
            false => self.checkpoint(),
        }
    }

    /// Once a step.
    fn evaluate(&mut self) -> Result<(), RunError> {
        if self.evaluated == Some(self.step) {
            return Ok(());
        }
        if let Some(found) = self.learner.evaluate(self.step, &self.run.life)? {
            self.run.say(found, true)?;
            self.evaluated = Some(self.step);
        }
        Ok(())
    }

    fn result(&mut self) -> Result<Finished, RunError> {
        self.flush()?;
        self.run.still_ours()?;
        self.learner.weights_are_finite()?;
        let path = self.plan.result.clone();
        let contents = self.learner.result(&path, self.step)?;
        Ok(Finished {
            step: self.step,
            path: path.to_string_lossy().into_owned(),
            sha256: contents.sha256,
        })
    }
}

/// Removes what trainers that died left unfinished.
pub(super) fn clean(run: &Run) {
    durable::remove_leftovers(&run.directory);
    durable::remove_leftovers(&run.directory.join("checkpoints"));
}

/// The directory of a checkpoint to go on from, once its hash has been checked.
///
/// # Errors
/// [`RunError::FileAltered`], and what reading its files says.
pub(super) fn checked(from: &ResumeFrom) -> Result<&Path, RunError> {
    let directory = Path::new(&from.path);
    durable::expect(directory, &from.sha256)?;
    Ok(directory)
}
