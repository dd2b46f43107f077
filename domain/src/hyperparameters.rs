//! How an autoencoder is trained: the document's eight names, and documented optional ones beside them.

use serde::{Deserialize, Serialize};
use std::collections::HashSet;

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
    /// Several places that are trained from one pass over the model, each with an autoencoder of its own; none: the one that
    /// `layer` and `hook` name. At most 64, each once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Vec<HookSite>>,
    /// What makes latents of pre-activations; none: TopK where `topK` is given, else ReLU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_function: Option<ActivationFunction>,
    /// TopK and BatchTopK: how many latents stay active (on average, with BatchTopK).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// JumpReLU: the threshold before training; none: 0.001.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump_threshold: Option<f64>,
    /// JumpReLU: width of the kernel of the straight-through estimator; none: 0.001.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump_bandwidth: Option<f64>,
    /// Coefficient of the auxiliary loss (AuxK, Gao et al. 2024, arXiv:2406.04093): dead latents reconstruct the residual; none: no
    /// such loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aux_k_coefficient: Option<f64>,
    /// AuxK: how many dead latents reconstruct; none: half the width of the activations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aux_k: Option<u32>,
    /// Every so many steps dead latents are pointed anew at what is reconstructed badly (Bricken et al. 2023), and their moments are
    /// reset; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resample_interval: Option<u32>,
    /// The gradient is scaled down to this Euclidean norm; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_clip: Option<f64>,
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
    /// Activations of each place held in the mixing buffer, at least two batches: one half is served in random order while the other is
    /// read, in whole passes of about 2,048 tokens. None: sixteen batches, but at least 16,384 and at most 262,144 divided among the
    /// places, within a quarter of the run's memory limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer_tokens: Option<u32>,
    /// Held-out tokens on which each checkpoint is evaluated, in whole sequences at the end of the dataset, at most a tenth of it; none:
    /// 2,048; 0: no evaluation. For an evaluation the whole language model is in memory, else only up to the deepest place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation_tokens: Option<u32>,
    /// Whether activations are kept on disk, for further epochs and for other trainings of the same model, dataset and hook, within
    /// the limit that the daemon sets; none: streamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_activations: Option<bool>,
}

/// A place in a language model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookSite {
    /// The layer, counted from 0.
    pub layer: u32,
    /// Where in it.
    #[serde(default)]
    pub hook: Hook,
}

impl HookSite {
    /// In TransformerLens's words, such as `blocks.5.hook_mlp_out`.
    #[must_use]
    pub fn name(&self) -> String {
        let hook = match self.hook {
            Hook::Residual => "hook_resid_post",
            Hook::Mlp => "hook_mlp_out",
            Hook::Attention => "hook_attn_out",
        };
        format!("blocks.{}.{hook}", self.layer)
    }
}

/// What makes latents of pre-activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActivationFunction {
    /// ReLU, made sparse by an L1 loss with `l1Coefficient`.
    Relu,
    /// The `topK` largest of each activation (Gao et al. 2024, arXiv:2406.04093).
    TopK,
    /// The `topK` × batch largest of a batch (Bussmann et al. 2024, arXiv:2412.06410); a threshold once it is trained.
    BatchTopK,
    /// A learned threshold for each latent (Rajamanoharan et al. 2024, arXiv:2407.14435), with `l1Coefficient` × L0 as its loss.
    JumpRelu,
    /// A gate decides what is active, a magnitude how much (Rajamanoharan et al. 2024, arXiv:2404.16014).
    Gated,
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
            hooks: None,
            activation_function: None,
            top_k: None,
            jump_threshold: None,
            jump_bandwidth: None,
            aux_k_coefficient: None,
            aux_k: None,
            resample_interval: None,
            gradient_clip: None,
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
            evaluation_tokens: None,
            cache_activations: None,
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

impl Hook {
    /// As tables and JSON have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Residual => "residual",
            Self::Mlp => "mlp",
            Self::Attention => "attention",
        }
    }
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

/// The most places that one training can have.
pub const MAX_HOOKS: usize = 64;

impl Hyperparameters {
    /// What makes latents of pre-activations.
    #[must_use]
    pub fn activation_function(&self) -> ActivationFunction {
        self.activation_function.unwrap_or(if self.top_k.is_some() {
            ActivationFunction::TopK
        } else {
            ActivationFunction::Relu
        })
    }

    /// The places that are trained, in order, in a model of `num_layers` layers.
    #[must_use]
    pub fn sites(&self, num_layers: u32) -> Vec<HookSite> {
        self.hooks.clone().unwrap_or_else(|| {
            vec![HookSite {
                layer: self.layer.unwrap_or(num_layers / 2),
                hook: self.hook,
            }]
        })
    }

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
        let function = self.activation_function();
        let wants_k = matches!(
            function,
            ActivationFunction::TopK | ActivationFunction::BatchTopK
        );
        if wants_k != self.top_k.is_some() {
            let given = self
                .top_k
                .map_or_else(|| "absent".to_owned(), |k| k.to_string());
            return bad(
                "topK",
                "given with activationFunction topk and batchtopk, and only with them",
                given,
            );
        }
        for (name, value) in [
            ("jumpThreshold", self.jump_threshold),
            ("jumpBandwidth", self.jump_bandwidth),
            ("auxKCoefficient", self.aux_k_coefficient),
            ("gradientClip", self.gradient_clip),
        ] {
            if let Some(value) = value
                && !(value.is_finite() && value > 0.0)
            {
                return bad(name, positive, value.to_string());
            }
        }
        for (name, value) in [
            ("auxK", self.aux_k),
            ("resampleInterval", self.resample_interval),
        ] {
            if value == Some(0) {
                return bad(name, "at least 1", "0".to_owned());
            }
        }
        if let Some(hooks) = &self.hooks {
            let mut seen = HashSet::new();
            if hooks.is_empty()
                || hooks.len() > MAX_HOOKS
                || !hooks.iter().all(|site| seen.insert(site))
            {
                return bad(
                    "hooks",
                    "1 to 64 places, each once",
                    format!("{} places", hooks.len()),
                );
            }
            if self.layer.is_some() {
                return bad("layer", "absent where hooks are given", "given".to_owned());
            }
        }
        if let Some(tokens) = self.buffer_tokens
            && tokens < self.batch_size.saturating_mul(2)
        {
            return bad("bufferTokens", "at least two batches", tokens.to_string());
        }
        Ok(())
    }
}
