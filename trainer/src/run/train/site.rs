//! One place that is trained: its autoencoder and all that is its own.

use crate::autoencoder::{
    Autoencoder,
    checkpoint::State,
    mixing_buffer::{Batch, Feed, Reading},
    sae_lens::Provenance,
    training::{Step, Training},
};
use crate::run::failure::RunError;
use crate::run::train::places::Streams;
use tch::{Device, TchError};
use trainmaster_domain::hyperparameters::{HookSite, Hyperparameters};

/// The loss or the weights of a step are not numbers.
pub(super) fn not_finite(step: u64) -> RunError {
    RunError::LossNotFinite {
        step,
        advice: "lower learningRate or l1Coefficient, or raise warmupSteps, and start again (bf16 products can be the cause too: \
                 precision f32 avoids them)",
    }
}

/// A place in training. Its parameters, their gradients, the optimizer's moments and the large tensors of a step are its own, so memory
/// grows with the number of places.
pub(super) struct Site {
    pub place: HookSite,
    pub streams: Streams,
    pub provenance: Provenance,
    pub training: Training,
    /// What the checkpoint says beside step and cursor.
    pub state: State,
    pub batch: Batch,
}

impl Site {
    pub(super) fn new(
        place: HookSite,
        streams: Streams,
        provenance: Provenance,
        (state, training): (State, Training),
        hyperparameters: &Hyperparameters,
        device: Device,
    ) -> Result<Self, RunError> {
        let b = i64::from(hyperparameters.batch_size);
        let d_out = streams.target.map(|_| state.d_out);
        let batch = Batch::zeros(b, state.d_in, d_out, device)
            .map_err(|error| RunError::of_libtorch("making room for a batch", &error))?;
        Ok(Self {
            place,
            streams,
            provenance,
            training,
            state,
            batch,
        })
    }

    /// What its autoencoder is fed with.
    pub(super) fn feed(&self) -> Feed {
        Feed {
            input: Reading {
                stream: self.streams.input,
                normalization: self.state.normalization,
            },
            target: self
                .streams
                .target
                .zip(self.state.target_normalization)
                .map(|(stream, normalization)| Reading {
                    stream,
                    normalization,
                }),
        }
    }

    /// One step on the batch.
    pub(super) fn step(&mut self, detailed: bool) -> Result<Step, TchError> {
        self.training
            .step(&self.batch.input, self.batch.target(), detailed)
    }

    /// The autoencoder so far, for raw activations.
    pub(super) fn autoencoder(&self) -> Result<Autoencoder, RunError> {
        let input = self.state.normalization;
        let target = self.state.target_normalization.unwrap_or(input);
        self.training
            .autoencoder(input.scale, target.scale)
            .map_err(|error| RunError::of_libtorch("folding the normalisation", &error))
    }

    /// The loss is looked at before a step changes the weights, so the last change has not been looked at yet.
    pub(super) fn weights_are_finite(&self) -> Result<(), RunError> {
        let finite = || -> Result<bool, TchError> {
            let all = self.training.parameters.flat.f_isfinite()?.f_all()?;
            Ok(all.f_int64_value(&[])? != 0)
        };
        if finite().map_err(|error| RunError::of_libtorch("looking at the weights", &error))? {
            Ok(())
        } else {
            let step = self.training.step;
            Err(not_finite(step))
        }
    }
}
