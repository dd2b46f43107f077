//! How an autoencoder is trained: the document's eight names, and documented optional ones beside them.

use serde::{Deserialize, Serialize};

/// The hyperparameters of a training, named in JSON as the document names them (camelCase). An unknown name is refused, so
/// that a misspelt one is not silently a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hyperparameters {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Activations (tokens) in a step.
    pub batch_size: u32,
    /// λ of the sparsity loss, in the convention `mean_b Σ_d (x̂−x)² + λ · mean_b Σ_i f_i ‖W_dec,i‖₂` on activations scaled
    /// to E‖x‖ = √d. Ignored with `topK`.
    pub l1_coefficient: f64,
    /// Latents for each dimension of the activations.
    pub expansion_factor: u32,
    /// Steps of `batchSize` activations.
    pub training_steps: u32,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The learning rate after warm-up.
    pub lr_schedule: LrSchedule,
    /// Whether dead latents get the ghost-gradient loss.
    pub ghost_grad_penalty: bool,

    /// The layer whose activations are read, counted from 0; none: the middle one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<u32>,
    /// Where in the layer.
    #[serde(default)]
    pub hook: Hook,
    /// TopK instead of ReLU with L1: how many latents stay active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Steps over which the learning rate rises linearly from 0.
    #[serde(default)]
    pub warmup_steps: u32,
    /// Steps over which λ rises linearly from 0; none: a twentieth of `trainingSteps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparsity_warmup_steps: Option<u32>,
    /// Weight decay: decoupled with AdamW, an L2 term of the gradient with Adam and SGD.
    #[serde(default)]
    pub weight_decay: f64,
    /// Exponential decay of the first moment (momentum, with SGD).
    #[serde(default = "default_beta1")]
    pub beta1: f64,
    /// Exponential decay of the second moment.
    #[serde(default = "default_beta2")]
    pub beta2: f64,
    /// Seed of initialisation and shuffling.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Metrics are recorded every so many steps (and at the first and last).
    #[serde(default = "default_log_interval")]
    pub log_interval: u32,
    /// A checkpoint is saved every so many steps (and at the last).
    #[serde(default = "default_checkpoint_interval")]
    pub checkpoint_interval: u32,
    /// A latent is dead when it has not fired for so many steps.
    #[serde(default = "default_dead_window")]
    pub dead_window_steps: u32,
    /// Precision of the matrix products; master weights are always f32.
    #[serde(default)]
    pub precision: Precision,
    /// Activations held in the mixing buffer, at least two batches: one half is served in random order while the other is read. None:
    /// sixteen batches, but at least 16,384 and at most 262,144, within a quarter of the run's memory limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer_tokens: Option<u32>,
}

fn default_beta1() -> f64 {
    0.9
}
fn default_beta2() -> f64 {
    0.999
}
fn default_seed() -> u64 {
    42
}
fn default_log_interval() -> u32 {
    100
}
fn default_checkpoint_interval() -> u32 {
    1_000
}
fn default_dead_window() -> u32 {
    1_000
}

impl Default for Hyperparameters {
    /// The document's example values, and the optional ones' defaults.
    fn default() -> Self {
        Self {
            learning_rate: 0.001,
            batch_size: 256,
            l1_coefficient: 0.0001,
            expansion_factor: 8,
            training_steps: 10_000,
            optimizer: Optimizer::AdamW,
            lr_schedule: LrSchedule::Cosine,
            ghost_grad_penalty: false,
            layer: None,
            hook: Hook::default(),
            top_k: None,
            warmup_steps: 0,
            sparsity_warmup_steps: None,
            weight_decay: 0.0,
            beta1: default_beta1(),
            beta2: default_beta2(),
            seed: default_seed(),
            log_interval: default_log_interval(),
            checkpoint_interval: default_checkpoint_interval(),
            dead_window_steps: default_dead_window(),
            precision: Precision::default(),
            buffer_tokens: None,
        }
    }
}

/// The optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Optimizer {
    /// Kingma and Ba, with `weightDecay` as an L2 term of the gradient.
    Adam,
    /// Loshchilov and Hutter: decoupled weight decay.
    AdamW,
    /// Gradient descent with momentum `beta1`.
    #[serde(rename = "SGD")]
    Sgd,
}

/// The learning rate after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrSchedule {
    /// Stays.
    Constant,
    /// Falls linearly to 0 at the last step.
    Linear,
    /// Falls along half a cosine to 0 at the last step.
    Cosine,
}

/// Where in a layer activations are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// The residual stream after the layer (`blocks.<n>.hook_resid_post`).
    #[default]
    Residual,
    /// What the MLP adds to the residual stream (`blocks.<n>.hook_mlp_out`).
    Mlp,
    /// What attention adds to the residual stream (`blocks.<n>.hook_attn_out`).
    Attention,
}

/// Precision of matrix products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// bf16 where the device gains from it, else f32.
    #[default]
    Auto,
    /// IEEE single.
    F32,
    /// bfloat16 products accumulated in f32.
    Bf16,
}

/// A hyperparameter out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be {must}; it is {given}")]
pub struct InvalidHyperparameter {
    /// Its JSON name.
    pub name: &'static str,
    /// What it must be.
    pub must: &'static str,
    /// What was given.
    pub given: String,
}

impl Hyperparameters {
    /// Checks every range.
    ///
    /// # Errors
    /// The first [`InvalidHyperparameter`].
    pub fn validate(&self) -> Result<(), InvalidHyperparameter> {
        let positive = "a finite number above 0";
        let not_negative = "a finite number of 0 or more";
        let beta = "at least 0 and below 1";
        let bad = |name, must, given: String| Err(InvalidHyperparameter { name, must, given });
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return bad("learningRate", positive, self.learning_rate.to_string());
        }
        if !(self.l1_coefficient.is_finite() && self.l1_coefficient >= 0.0) {
            return bad(
                "l1Coefficient",
                not_negative,
                self.l1_coefficient.to_string(),
            );
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return bad("weightDecay", not_negative, self.weight_decay.to_string());
        }
        for (name, value) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&value) {
                return bad(name, beta, value.to_string());
            }
        }
        let counts = [
            ("batchSize", self.batch_size, 1 << 20),
            ("expansionFactor", self.expansion_factor, 1 << 10),
            ("trainingSteps", self.training_steps, i32::MAX as u32),
            ("logInterval", self.log_interval, i32::MAX as u32),
            (
                "checkpointInterval",
                self.checkpoint_interval,
                i32::MAX as u32,
            ),
            ("deadWindowSteps", self.dead_window_steps, i32::MAX as u32),
        ];
        for (name, value, most) in counts {
            if value == 0 || value > most {
                return bad(
                    name,
                    "at least 1 and not beyond any machine",
                    value.to_string(),
                );
            }
        }
        if self.warmup_steps > self.training_steps {
            return bad(
                "warmupSteps",
                "at most trainingSteps",
                self.warmup_steps.to_string(),
            );
        }
        if let Some(k) = self.top_k
            && k == 0
        {
            return bad("topK", "at least 1", k.to_string());
        }
        if let Some(tokens) = self.buffer_tokens
            && tokens < self.batch_size.saturating_mul(2)
        {
            return bad("bufferTokens", "at least two batches", tokens.to_string());
        }
        Ok(())
    }
}
