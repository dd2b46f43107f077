//! An autoencoder in training: its parameters, what the optimizer remembers, and which latents live.

mod state;

use super::gradient::{Arithmetic, Asked, AuxK, Gradient};
use super::metrics::explained_variance;
use super::parameters::{Parameters, Shape};
use super::resampling::resample;
use super::sae_lens::Autoencoder;
use super::schedule::{learning_rate, sparsity_coefficient};
use crate::optimizer::{Optimizer, clip};
use tch::{Kind, TchError, Tensor};
use trainmaster_domain::hyperparameters::Hyperparameters;

/// Width of the kernel of JumpReLU's estimator, where the hyperparameters do not say.
const JUMP_BANDWIDTH: f64 = 0.001;

/// How far BatchTopK's threshold moves towards the cut of a batch.
const CUT_RATE: f64 = 0.01;

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
    /// Fraction of the target's variance explained.
    pub explained_variance: f64,
    /// Latents that have not fired within the window.
    pub dead_latents: i64,
}

/// How often latents have fired, where it was counted: in each step whose arithmetic is sparse, and in those that are recorded.
#[derive(Debug)]
pub struct Firings {
    /// i64 [n].
    pub counts: Tensor,
    /// Of how many activations.
    pub activations: i64,
}

/// All that changes from step to step, apart from the data's cursor.
#[derive(Debug)]
pub struct Training {
    hyperparameters: Hyperparameters,
    /// The weights.
    pub parameters: Parameters,
    /// The optimizer and its moments.
    pub optimizer: Optimizer,
    /// i64 [n]: steps since each latent fired (or was resampled).
    pub since_fired: Tensor,
    /// How often latents have fired.
    pub firings: Firings,
    /// BatchTopK: a running mean of the smallest latent above 0 in a batch, which is the threshold once it is trained.
    pub cut: Option<f64>,
    /// Steps that are done.
    pub step: u64,
    gradient: Gradient,
    arithmetic: Arithmetic,
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
        let n = parameters.shape.d_sae;
        let zeros = || Tensor::f_zeros([n], (Kind::Int64, parameters.flat.device()));
        let batch = i64::from(hyperparameters.batch_size);
        Ok(Self {
            gradient: Gradient::new(&parameters, batch, kind)?,
            optimizer: Optimizer::new(hyperparameters.into(), &parameters.flat)?,
            since_fired: zeros()?,
            firings: Firings {
                counts: zeros()?,
                activations: 0,
            },
            cut: None,
            step: 0,
            hyperparameters: hyperparameters.clone(),
            arithmetic: Arithmetic::default(),
            parameters,
        })
    }

    /// Sets how latents are multiplied, which is otherwise decided by each batch: for measurements.
    pub fn set_arithmetic(&mut self, arithmetic: Arithmetic) {
        self.arithmetic = arithmetic;
    }

    /// One step on a batch (f32 [batchSize, d_in], scaled) whose reconstruction is to be `target` (f32 [batchSize, d_out], scaled; for
    /// `sparse` the batch itself). A loss that is not finite leaves the parameters as they were.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn step(
        &mut self,
        batch: &Tensor,
        target: &Tensor,
        detailed: bool,
    ) -> Result<Step, TchError> {
        let _no_grad = tch::no_grad_guard();
        let h = &self.hyperparameters;
        let step = self.step + 1;
        let dead = if h.ghost_grad_penalty || h.aux_k_coefficient.is_some() {
            Some(self.dead()?)
        } else {
            None
        };
        let asked = self.asked(step, dead.as_ref(), detailed);
        let outcome = self
            .gradient
            .compute(&self.parameters, batch, target, asked)?;
        let rate = learning_rate(h, step);
        let finite = outcome.loss().is_finite();
        if finite {
            let gradients = &mut self.gradient.gradients;
            if let Some(largest) = h.gradient_clip {
                clip(&mut gradients.flat, largest)?;
            }
            self.optimizer
                .step(&self.parameters.flat, &gradients.flat, rate, step)?;
            if let Some(threshold) = &mut self.parameters.threshold {
                let _ = threshold.f_clamp_min_(0.0)?;
            }
        }
        let _ = self.since_fired.f_add_scalar_(1)?;
        let _ = self.since_fired.f_masked_fill_(&outcome.fired, 0)?;
        if let Some(firings) = &outcome.firings {
            let _ = self.firings.counts.f_add_(firings)?;
            self.firings.activations += i64::from(h.batch_size);
        }
        if let Some(cut) = outcome.cut {
            self.cut = Some(self.cut.map_or(cut, |mean| mean + CUT_RATE * (cut - mean)));
        }
        self.step = step;
        let details = match (detailed, &outcome.firings) {
            (true, Some(firings)) => Some(Details {
                active_latents: firings.f_sum(Kind::Int64)?.f_int64_value(&[])? as f64
                    / f64::from(h.batch_size),
                explained_variance: explained_variance(target, outcome.reconstruction)?,
                dead_latents: self.dead()?.f_sum(Kind::Int64)?.f_int64_value(&[])?,
            }),
            _ => None,
        };
        // At the last step nothing could be learnt any more.
        let resampled = h.resample_interval.is_some_and(|interval| {
            step.is_multiple_of(u64::from(interval)) && step < u64::from(h.training_steps)
        });
        if finite && resampled {
            self.resample(batch, target, &outcome.row_errors)?;
        }
        Ok(Step {
            step,
            loss: outcome.loss(),
            reconstruction_error: outcome.reconstruction,
            learning_rate: rate,
            details,
        })
    }

    /// The autoencoder so far, which reads raw activations and writes raw ones: the training saw them times `input_scale` and
    /// `target_scale` (for `sparse` one and the same).
    ///
    /// # Errors
    /// What libtorch says.
    pub fn autoencoder(
        &self,
        input_scale: f64,
        target_scale: f64,
    ) -> Result<Autoencoder, TchError> {
        Autoencoder::of(self, input_scale, target_scale)
    }

    fn asked<'a>(&self, step: u64, dead: Option<&'a Tensor>, count: bool) -> Asked<'a> {
        let h = &self.hyperparameters;
        let shape = self.parameters.shape;
        Asked {
            sparsity_coefficient: if shape.activation.wants_sparsity_loss() {
                sparsity_coefficient(h, step)
            } else {
                0.0
            },
            dead,
            ghost: h.ghost_grad_penalty,
            aux_k: h.aux_k_coefficient.map(|coefficient| AuxK {
                k: h.aux_k.map_or(shape.d_in / 2, i64::from).max(1),
                coefficient,
            }),
            bandwidth: h.jump_bandwidth.unwrap_or(JUMP_BANDWIDTH),
            usual_cut: self.cut,
            count,
            arithmetic: self.arithmetic,
        }
    }

    /// Bool [n]: latents that have not fired within the window.
    fn dead(&self) -> Result<Tensor, TchError> {
        self.since_fired
            .f_ge(i64::from(self.hyperparameters.dead_window_steps))
    }

    fn resample(
        &mut self,
        batch: &Tensor,
        target: &Tensor,
        row_errors: &Tensor,
    ) -> Result<(), TchError> {
        let dead = self.dead()?;
        let rows = resample(
            &self.hyperparameters,
            self.step,
            &dead,
            &mut self.parameters,
            (batch, target),
            row_errors,
        )?;
        forget(&self.optimizer, self.parameters.shape, &rows)?;
        let _ = self.since_fired.f_index_fill_(0, &rows, 0)?;
        Ok(())
    }
}

/// Forgets what an optimizer remembers of some latents (i64), whose weights are new.
fn forget(optimizer: &Optimizer, shape: Shape, latents: &Tensor) -> Result<(), TchError> {
    for moment in [&optimizer.first_moment, &optimizer.second_moment] {
        if moment.numel() > 0 {
            let mut of = Parameters::of(moment.shallow_clone(), shape)?;
            for rows in of.by_latent() {
                let _ = rows.f_index_fill_(0, latents, 0.0)?;
            }
        }
    }
    Ok(())
}
