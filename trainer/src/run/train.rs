//! Training autoencoders, from a spec to a result: one for each place, all from the same passes over the language model.

mod evaluation;
mod keep;
pub(in crate::run) mod places;
mod site;
mod start;

use super::course::{self, Course, Learner, Plan, Stepped};
use super::durable::Contents;
use super::failure::RunError;
use super::life::{Life, Next};
use super::metrics::{Row, mean};
use super::model_activations::ModelActivations;
use super::{Run, device};
use crate::autoencoder::{
    activations::ActivationSource,
    mixing_buffer::{Batch, MixingBuffer},
};
use crate::random_order::RandomOrder;
use evaluation::Evaluation;
use site::{Site, not_finite};
use std::ops::ControlFlow;
use std::path::Path;
use trainmaster_domain::hyperparameters::Hyperparameters;
use trainmaster_domain::run::journal::{Record, TrainingStarted};
use trainmaster_domain::run::spec::Train;

/// What the places of a training learn from, and what they have learnt.
struct Autoencoders<'a> {
    hyperparameters: &'a Hyperparameters,
    source: &'a mut ModelActivations,
    sites: Vec<Site>,
    buffer: MixingBuffer,
    /// Absent where nothing is held out.
    evaluation: Option<Evaluation>,
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
    course::clean(run);

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
            d_in: Some(state.d_in as u32),
            d_sae: Some(state.d_sae as u32),
        }),
        false,
    )?;
    let autoencoders = Autoencoders {
        buffer: MixingBuffer::new(
            state.seed,
            RandomOrder::new(state.seed, state.passes),
            sites.iter().map(Site::feed).collect(),
            state.passes_per_block,
            state.cursor,
        ),
        evaluation: Evaluation::of(source),
        hyperparameters,
        source,
        sites,
    };
    let plan = Plan {
        steps: u64::from(hyperparameters.training_steps),
        log_interval: u64::from(hyperparameters.log_interval),
        checkpoint_interval: u64::from(hyperparameters.checkpoint_interval),
        result: run.directory.join("result"),
        resumed_from: train.resume_from.as_ref().map(|from| from.step),
    };
    Course::new(run, autoencoders, plan).go_on()
}

impl Learner for Autoencoders<'_> {
    fn step(
        &mut self,
        step: u64,
        recorded: bool,
        life: &Life,
    ) -> Result<ControlFlow<(), Stepped>, RunError> {
        let h = self.hyperparameters;
        let more = u64::from(h.training_steps).saturating_sub(step);
        if self.next_batches(more, life)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let mut steps = Vec::with_capacity(self.sites.len());
        for site in &mut self.sites {
            let step = site
                .step(recorded)
                .map_err(|error| RunError::of_libtorch("training", &error))?;
            if !step.loss.is_finite() {
                return Err(not_finite(step.step));
            }
            life.progress();
            steps.push(step);
        }
        let Some(all) = mean(&steps) else {
            return Err(RunError::Internal {
                what: "a training has no place".into(),
            });
        };
        Ok(ControlFlow::Continue(Stepped {
            loss: all.loss,
            row: Row::of(&all),
            samples: u64::from(h.batch_size),
        }))
    }

    fn weights_are_finite(&self) -> Result<(), RunError> {
        self.sites.iter().try_for_each(Site::weights_are_finite)
    }

    fn checkpoint(&mut self, path: &Path, step: u64) -> Result<Contents, RunError> {
        let contents = keep::checkpoint(path, &self.sites, step, self.buffer.cursor())?;
        self.source.settle();
        Ok(contents)
    }

    fn result(&mut self, path: &Path, _step: u64) -> Result<Contents, RunError> {
        keep::result(path, &self.sites)
    }

    fn evaluate(&mut self, step: u64, life: &Life) -> Result<Option<Record>, RunError> {
        let (Some(evaluation), Some(model)) = (&mut self.evaluation, self.source.model()) else {
            return Ok(None);
        };
        let (dataset, streams) = (self.source.dataset(), self.source.streams());
        let found = evaluation.measure(model, dataset, streams, &self.sites, life, step)?;
        Ok(found.map(Record::Evaluated))
    }
}

impl Autoencoders<'_> {
    /// Fills the batches of all places, from one pass over the language model where one is due.
    fn next_batches(&mut self, more: u64, life: &Life) -> Result<ControlFlow<()>, RunError> {
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
}
