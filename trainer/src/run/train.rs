//! Training autoencoders, from a spec to a result: one for each place, all from the same passes over the language model.

mod evaluation;
mod keep;
pub(in crate::run) mod places;
mod site;
mod start;

use super::durable;
use super::failure::RunError;
use super::life::Next;
use super::metrics::{Collector, mean};
use super::model_activations::ModelActivations;
use super::{Run, device};
use crate::autoencoder::{
    activations::ActivationSource,
    mixing_buffer::{Batch, MixingBuffer},
    random_order::RandomOrder,
    training::Step,
};
use evaluation::Evaluation;
use site::Site;
use std::ops::ControlFlow;
use trainmaster_domain::hyperparameters::Hyperparameters;
use trainmaster_domain::run::control::Request;
use trainmaster_domain::run::journal::{
    AtStep, CheckpointSaved, Finished, Record, TrainingStarted,
};
use trainmaster_domain::run::spec::Train;

/// Everything that a training in progress consists of.
struct Session<'a> {
    run: &'a mut Run,
    hyperparameters: &'a Hyperparameters,
    source: &'a mut ModelActivations,
    sites: Vec<Site>,
    buffer: MixingBuffer,
    /// Absent where nothing is held out.
    evaluation: Option<Evaluation>,
    collector: Collector,
    /// Steps that are done.
    step: u64,
    last: Option<Step>,
    /// The step of the newest checkpoint that has been announced under this lease or resumed from.
    checkpointed: Option<u64>,
    /// The step of the newest evaluation under this lease.
    evaluated: Option<u64>,
}

/// Trains to the end, or until asked otherwise; what happened is in the journal then.
///
/// # Errors
/// [`RunError`]: the run ends without a result.
pub(super) fn train(
    run: &mut Run,
    train: &Train,
    source: &mut ModelActivations,
) -> Result<(), RunError> {
    let _no_grad = tch::no_grad_guard();
    let hyperparameters = &train.hyperparameters;
    hyperparameters
        .validate()
        .map_err(|error| RunError::Unsupported {
            what: error.to_string(),
        })?;
    if source.passes() == 0 {
        return Err(RunError::DatasetEmpty {
            reason: "it has no sequences".into(),
        });
    }
    durable::remove_leftovers(&run.directory);
    durable::remove_leftovers(&run.directory.join("checkpoints"));

    let device = device(&run.spec.resources.device)?;
    let begun = match &train.resume_from {
        Some(from) => start::resume(from, hyperparameters, source, device)?,
        None => start::begin(run, hyperparameters, source, device)?,
    };
    let places = source.places().clone();
    let sites = places.sites.iter().zip(begun).enumerate();
    let sites: Vec<Site> = sites
        .map(|(at, (place, begun))| {
            let provenance = source.provenance(train, at);
            let streams = places.streams_of(at);
            Site::new(*place, streams, provenance, begun, hyperparameters, device)
        })
        .collect::<Result<_, _>>()?;
    let Some(state) = sites.first().map(|site| site.state.clone()) else {
        return Err(RunError::Unsupported {
            what: "the training has no place to train: give it a layer and a hook".into(),
        });
    };
    run.say(
        Record::TrainingStarted(TrainingStarted {
            at_step: state.step,
            d_in: state.d_in as u32,
            d_sae: state.d_sae as u32,
        }),
        false,
    )?;
    Session {
        buffer: MixingBuffer::new(
            state.seed,
            RandomOrder::new(state.seed, state.passes),
            sites.iter().map(Site::feed).collect(),
            state.passes_per_block,
            state.cursor,
        ),
        evaluation: Evaluation::of(source),
        checkpointed: train.resume_from.as_ref().map(|from| from.step),
        evaluated: None,
        collector: Collector::new(),
        step: state.step,
        last: None,
        run,
        hyperparameters,
        source,
        sites,
    }
    .go_on()
}

impl Session<'_> {
    fn go_on(mut self) -> Result<(), RunError> {
        let steps = u64::from(self.hyperparameters.training_steps);
        while self.step < steps {
            match self.run.life.next() {
                Next::GoOn => self.step()?,
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
            }
        }
        if self.checkpointed != Some(self.step) {
            self.checkpoint()?;
        }
        self.evaluate()?;
        let finished = self.result()?;
        self.run.say(Record::Completed(finished), true)
    }

    fn step(&mut self) -> Result<(), RunError> {
        // Reading activations can take longer than metrics may wait.
        if self.collector.is_due() {
            self.flush()?;
        }
        let h = self.hyperparameters;
        let next = self.step + 1;
        if self
            .next_batches(u64::from(h.training_steps).saturating_sub(next))?
            .is_break()
        {
            return Ok(());
        }
        let every = |interval: u32| next.is_multiple_of(u64::from(interval));
        let recorded = next == 1 || every(h.log_interval) || next == u64::from(h.training_steps);
        let mut steps = Vec::with_capacity(self.sites.len());
        for site in &mut self.sites {
            let step = site
                .step(recorded)
                .map_err(|error| RunError::of_libtorch("training", &error))?;
            if !step.loss.is_finite() {
                self.flush()?;
                return Err(RunError::LossNotFinite { step: step.step });
            }
            self.run.life.progress();
            steps.push(step);
        }
        self.step = next;
        if let Some(step) = mean(&steps) {
            self.collector.push(&step, u64::from(h.batch_size));
            self.last = Some(step);
        }
        if every(h.checkpoint_interval) {
            self.checkpoint()?;
            self.evaluate()?;
        }
        Ok(())
    }

    /// Fills the batches of all places, from one pass over the language model where one is due.
    fn next_batches(&mut self, more: u64) -> Result<ControlFlow<()>, RunError> {
        let life = &self.run.life;
        let mut tick = |_| {
            life.progress();
            match life.heard() {
                Next::GoOn => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        };
        let batches: Vec<&Batch> = self.sites.iter().map(|site| &site.batch).collect();
        Ok(self
            .buffer
            .next_batch(self.source, &batches, more, &mut tick)?)
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
        self.sites.iter().try_for_each(Site::weights_are_finite)?;
        let step = self.step;
        let path = self
            .run
            .directory
            .join("checkpoints")
            .join(format!("{step}-{}", self.run.spec.lease));
        let contents = keep::checkpoint(&path, &self.sites, step, self.buffer.cursor())?;
        self.source.settle();
        self.run.life.progress();
        let last = self.last.filter(|last| last.step == step);
        self.run.say(
            Record::CheckpointSaved(CheckpointSaved {
                step,
                loss: last.map(|last| last.loss),
                sparsity: last
                    .and_then(|last| last.details)
                    .map(|details| details.active_latents),
                path: path.to_string_lossy().into_owned(),
                file_size_bytes: contents.size_bytes,
                sha256: contents.sha256,
            }),
            true,
        )?;
        self.checkpointed = Some(step);
        Ok(())
    }

    /// Measures what was trained so far, once a step; given up when something else is asked. Changes nothing of the training.
    fn evaluate(&mut self) -> Result<(), RunError> {
        let (Some(evaluation), Some(model)) = (&mut self.evaluation, self.source.model()) else {
            return Ok(());
        };
        if self.evaluated == Some(self.step) {
            return Ok(());
        }
        let found = evaluation.measure(
            model,
            self.source.dataset(),
            self.source.streams(),
            &self.sites,
            &self.run.life,
            self.step,
        )?;
        if let Some(found) = found {
            self.run.say(Record::Evaluated(found), true)?;
            self.evaluated = Some(self.step);
        }
        Ok(())
    }

    fn result(&mut self) -> Result<Finished, RunError> {
        self.flush()?;
        self.run.still_ours()?;
        self.sites.iter().try_for_each(Site::weights_are_finite)?;
        let path = self.run.directory.join("result");
        let contents = keep::result(&path, &self.sites)?;
        Ok(Finished {
            step: self.step,
            path: path.to_string_lossy().into_owned(),
            sha256: contents.sha256,
        })
    }
}
