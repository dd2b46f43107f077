//! Training an autoencoder, from a spec to a result.

mod start;

use super::durable;
use super::failure::RunError;
use super::life::Next;
use super::metrics::Collector;
use super::{Run, device};
use crate::autoencoder::{
    activations::ActivationSource,
    checkpoint::{self, State},
    mixing_buffer::MixingBuffer,
    sae_lens::Provenance,
    sequence_order::SequenceOrder,
    training::{Step, Training},
};
use std::ops::ControlFlow;
use tch::{Kind, TchError, Tensor};
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
    source: &'a mut dyn ActivationSource,
    provenance: Provenance,
    training: Training,
    buffer: MixingBuffer,
    /// What the checkpoint says beside step and cursor.
    state: State,
    /// f32 [batchSize, d].
    batch: Tensor,
    collector: Collector,
    last: Option<Step>,
    /// The step of the newest checkpoint that has been announced under this lease or resumed from.
    checkpointed: Option<u64>,
}

/// Trains to the end, or until asked otherwise; what happened is in the journal then.
///
/// # Errors
/// [`RunError`]: the run ends without a result.
pub fn train(
    run: &mut Run,
    train: &Train,
    source: &mut dyn ActivationSource,
    provenance: Provenance,
) -> Result<(), RunError> {
    let _no_grad = tch::no_grad_guard();
    if train.encoder_type != "sparse" {
        return Err(RunError::Unsupported {
            what: format!(
                "encoder type {:?} cannot be trained; \"sparse\" can",
                train.encoder_type
            ),
        });
    }
    let hyperparameters = &train.hyperparameters;
    hyperparameters
        .validate()
        .map_err(|error| RunError::Unsupported {
            what: error.to_string(),
        })?;
    if source.sequences() == 0 {
        return Err(RunError::DatasetEmpty {
            reason: "it has no sequences".into(),
        });
    }
    durable::remove_leftovers(&run.directory);
    durable::remove_leftovers(&run.directory.join("checkpoints"));

    let device = device(&run.spec.resources.device)?;
    let (state, training) = match &train.resume_from {
        Some(from) => start::resume(from, hyperparameters, source, device)?,
        None => start::begin(run, hyperparameters, source, device)?,
    };
    run.say(
        Record::TrainingStarted(TrainingStarted {
            at_step: training.step,
            d_in: state.d_in as u32,
            d_sae: state.d_sae as u32,
        }),
        false,
    )?;
    let batch = Tensor::f_zeros(
        [i64::from(hyperparameters.batch_size), state.d_in],
        (Kind::Float, device),
    )
    .map_err(|error| RunError::of_libtorch("making room for a batch", &error))?;
    Session {
        buffer: MixingBuffer::new(
            state.seed,
            SequenceOrder::new(state.seed, state.sequences),
            state.normalization,
            state.sequences_per_block,
            state.cursor,
        ),
        checkpointed: train.resume_from.as_ref().map(|from| from.step),
        collector: Collector::new(),
        last: None,
        run,
        hyperparameters,
        source,
        provenance,
        training,
        state,
        batch,
    }
    .go_on()
}

impl Session<'_> {
    fn go_on(mut self) -> Result<(), RunError> {
        let steps = u64::from(self.hyperparameters.training_steps);
        while self.training.step < steps {
            match self.run.life.next() {
                Next::GoOn => self.step()?,
                Next::Leave => return Err(RunError::Superseded),
                Next::Asked(Request::Pause) => {
                    self.checkpoint()?;
                    let step = self.training.step;
                    return self.run.say(Record::Paused(AtStep { step }), true);
                }
                Next::Asked(Request::Stop) => {
                    let finished = self.result()?;
                    return self.run.say(Record::Stopped(finished), true);
                }
            }
        }
        if self.checkpointed != Some(self.training.step) {
            self.checkpoint()?;
        }
        let finished = self.result()?;
        self.run.say(Record::Completed(finished), true)
    }

    fn step(&mut self) -> Result<(), RunError> {
        // Reading activations can take longer than metrics may wait.
        if self.collector.is_due() {
            self.flush()?;
        }
        let h = self.hyperparameters;
        let next = self.training.step + 1;
        let more = u64::from(h.training_steps).saturating_sub(next);
        let life = &self.run.life;
        let mut tick = |_| {
            life.progress();
            match life.heard() {
                Next::GoOn => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        };
        if self
            .buffer
            .next_batch(self.source, &self.batch, more, &mut tick)?
            .is_break()
        {
            return Ok(());
        }
        let every = |interval: u32| next.is_multiple_of(u64::from(interval));
        let recorded = next == 1 || every(h.log_interval) || next == u64::from(h.training_steps);
        let step = self
            .training
            .step(&self.batch, &self.batch, recorded)
            .map_err(|error| RunError::of_libtorch("training", &error))?;
        if !step.loss.is_finite() {
            self.flush()?;
            return Err(RunError::LossNotFinite { step: step.step });
        }
        self.run.life.progress();
        self.collector.push(&step, u64::from(h.batch_size));
        self.last = Some(step);
        if every(h.checkpoint_interval) {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), RunError> {
        match self.collector.take() {
            Some(batch) => self.run.say(Record::Metrics(batch), false),
            None => Ok(()),
        }
    }

    /// The loss is looked at before a step changes the weights, so the last change has not been looked at yet.
    fn weights_are_finite(&self) -> Result<(), RunError> {
        let finite = || -> Result<bool, TchError> {
            let all = self.training.parameters.flat.f_isfinite()?.f_all()?;
            Ok(all.f_int64_value(&[])? != 0)
        };
        if finite().map_err(|error| RunError::of_libtorch("looking at the weights", &error))? {
            Ok(())
        } else {
            let step = self.training.step;
            Err(RunError::LossNotFinite { step })
        }
    }

    /// Metrics come first, so that a checkpoint in the journal has its steps before it.
    fn checkpoint(&mut self) -> Result<(), RunError> {
        self.flush()?;
        self.run.still_ours()?;
        self.weights_are_finite()?;
        let step = self.training.step;
        let state = State {
            step,
            cursor: self.buffer.cursor(),
            ..self.state.clone()
        };
        let path = self
            .run
            .directory
            .join("checkpoints")
            .join(format!("{step}-{}", self.run.spec.lease));
        let contents = durable::write_directory(&path, |directory| {
            Ok(checkpoint::save(directory, &state, &self.training)?)
        })?;
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

    fn result(&mut self) -> Result<Finished, RunError> {
        self.flush()?;
        self.run.still_ours()?;
        self.weights_are_finite()?;
        let scale = self.state.normalization.scale;
        let autoencoder = self
            .training
            .autoencoder(scale, scale)
            .map_err(|error| RunError::of_libtorch("folding the normalisation", &error))?;
        let path = self.run.directory.join("result");
        let contents = durable::write_directory(&path, |directory| {
            Ok(autoencoder.save(directory, &self.provenance)?)
        })?;
        Ok(Finished {
            step: self.training.step,
            path: path.to_string_lossy().into_owned(),
            sha256: contents.sha256,
        })
    }
}
