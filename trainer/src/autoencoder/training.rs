//! An autoencoder in training: its parameters, what the optimizer remembers, and which latents live.

use super::gradient::{Activation, Asked, Gradient};
use super::metrics::explained_variance;
use super::optimizer::Optimizer;
use super::parameters::Parameters;
use super::schedule::{learning_rate, sparsity_coefficient};
use tch::{Kind, TchError, Tensor};
use trainmaster_domain::hyperparameters::Hyperparameters;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Which step, from 1.
    pub step: u64,
    /// The whole loss, in the unit that [`Hyperparameters::l1_coefficient`] documents.
    pub loss: f64,
    /// Its reconstruction part.
    pub reconstruction_error: f64,
    /// The learning rate that was used.
    pub learning_rate: f64,
    /// What is measured only where it is recorded.
    pub details: Option<Details>,
}

/// What costs passes of its own to know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Details {
    /// L0: active latents an activation, on average.
    pub active_latents: f64,
    /// Fraction of variance explained.
    pub explained_variance: f64,
    /// Latents that have not fired within the window.
    pub dead_latents: i64,
}

/// All that changes from step to step, apart from the data's cursor.
#[derive(Debug)]
pub struct Training {
    hyperparameters: Hyperparameters,
    /// The weights.
    pub parameters: Parameters,
    /// The optimizer and its moments.
    pub optimizer: Optimizer,
    /// i64 [n]: steps since each latent fired.
    pub since_fired: Tensor,
    /// Steps that are done.
    pub step: u64,
    gradient: Gradient,
}

impl Training {
    /// A training that has done no step, from initial parameters, with matrix products in `kind`.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(
        hyperparameters: &Hyperparameters,
        parameters: Parameters,
        kind: Kind,
    ) -> Result<Self, TchError> {
        let n = parameters.encoder_bias.size1()?;
        let activation = match hyperparameters.top_k {
            None => Activation::Relu,
            Some(k) => Activation::TopK(i64::from(k)),
        };
        Ok(Self {
            gradient: Gradient::new(
                &parameters,
                activation,
                i64::from(hyperparameters.batch_size),
                kind,
            )?,
            optimizer: Optimizer::new(hyperparameters, &parameters)?,
            since_fired: Tensor::f_zeros([n], (Kind::Int64, parameters.flat.device()))?,
            step: 0,
            hyperparameters: hyperparameters.clone(),
            parameters,
        })
    }

    /// One step on a batch (f32 [batchSize, d], scaled). A loss that is not finite leaves the parameters as they were.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn step(&mut self, batch: &Tensor, detailed: bool) -> Result<Step, TchError> {
        let _no_grad = tch::no_grad_guard();
        let step = self.step + 1;
        let window = i64::from(self.hyperparameters.dead_window_steps);
        let dead = if self.hyperparameters.ghost_grad_penalty {
            Some(self.since_fired.f_ge(window)?)
        } else {
            None
        };
        let asked = Asked {
            sparsity_coefficient: if self.hyperparameters.top_k.is_none() {
                sparsity_coefficient(&self.hyperparameters, step)
            } else {
                0.0
            },
            dead: dead.as_ref(),
            count_active: detailed,
        };
        let outcome = self.gradient.compute(&self.parameters, batch, asked)?;
        let rate = learning_rate(&self.hyperparameters, step);
        if outcome.loss().is_finite() {
            self.optimizer
                .step(&self.parameters, &self.gradient.gradients, rate, step)?;
        }
        let _ = self.since_fired.f_add_scalar_(1)?;
        let _ = self.since_fired.f_masked_fill_(&outcome.fired, 0)?;
        self.step = step;
        let details = match (detailed, outcome.active) {
            (true, Some(active)) => Some(Details {
                active_latents: active as f64 / f64::from(self.hyperparameters.batch_size),
                explained_variance: explained_variance(batch, outcome.reconstruction)?,
                dead_latents: self
                    .since_fired
                    .f_ge(window)?
                    .f_sum(Kind::Int64)?
                    .f_int64_value(&[])?,
            }),
            _ => None,
        };
        Ok(Step {
            step,
            loss: outcome.loss(),
            reconstruction_error: outcome.reconstruction,
            learning_rate: rate,
            details,
        })
    }
}
