//! What several routes take and give, as JSON and as OpenAPI schemas.

use super::{Problem, extract::invalid_query};
use crate::queries::{Cursor, MOST_ROWS};
use axum::http::StatusCode;
use serde::Deserialize;
use trainmaster_domain::{Position, id::TrainingId};
use utoipa::{IntoParams, ToSchema};

/// Which rows of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// Only those that these words find: of a model's name and family, of a dataset's name and description. `"in quotes"`,
    /// `or` and `-without` are understood.
    #[param(max_length = 1000)]
    pub(super) search: Option<String>,
    /// Only those in this status.
    pub(super) status: Option<String>,
    /// Where the last page ended: its `next`.
    pub(super) after: Option<String>,
    /// Rows of the page, 1 to 500, else 50.
    #[param(minimum = 1, maximum = 500)]
    pub(super) limit: Option<u32>,
    /// Wait until reads show this position of the log.
    #[param(example = "812-33")]
    pub(super) at_least: Option<String>,
}

/// Which rows of a list, checked.
pub(super) struct Checked {
    pub(super) search: Option<String>,
    pub(super) status: Option<String>,
    pub(super) after: Option<Cursor>,
    pub(super) limit: u32,
    pub(super) at_least: Option<Position>,
}

impl List {
    pub(super) fn check(self, statuses: &[&str]) -> Result<Checked, Problem> {
        if let Some(words) = &self.search
            && (words.chars().count() > 1000 || words.contains('\0'))
        {
            return Err(invalid_query(
                "search must be at most 1000 characters, none of them NUL",
            ));
        }
        Ok(Checked {
            search: self.search.filter(|words| !words.trim().is_empty()),
            status: one_of("status", self.status, statuses)?,
            after: self
                .after
                .map(|text| text.parse())
                .transpose()
                .map_err(invalid_query)?,
            limit: limit(self.limit)?,
            at_least: optional_position(self.at_least)?,
        })
    }
}

/// How new an answer must be.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AtLeast {
    /// Wait until reads show this position of the log.
    #[param(example = "812-33")]
    at_least: Option<String>,
}

impl AtLeast {
    pub(super) fn position(self) -> Result<Option<Position>, Problem> {
        optional_position(self.at_least)
    }
}

pub(super) fn optional_position(text: Option<String>) -> Result<Option<Position>, Problem> {
    named_position("at_least", text)
}

/// A position that a query gives under a name.
pub(super) fn named_position(
    name: &str,
    text: Option<String>,
) -> Result<Option<Position>, Problem> {
    text.map(|text| text.parse())
        .transpose()
        .map_err(|error| invalid_query(format!("{name}: {error}")))
}

/// One of the words that a query may say.
pub(super) fn one_of(
    name: &str,
    given: Option<String>,
    known: &[&str],
) -> Result<Option<String>, Problem> {
    match given {
        Some(given) if !known.contains(&given.as_str()) => Err(invalid_query(format!(
            "{name} must be one of {}",
            known.join(", ")
        ))),
        given => Ok(given),
    }
}

pub(super) fn limit(given: Option<u32>) -> Result<u32, Problem> {
    match given {
        None => Ok(50),
        Some(rows @ 1..=MOST_ROWS) => Ok(rows),
        Some(_) => Err(invalid_query(format!("limit must be 1 to {MOST_ROWS}"))),
    }
}

pub(super) fn optional_id(text: Option<String>) -> Result<Option<String>, Problem> {
    text.map(TrainingId::new)
        .transpose()
        .map(|id| id.map(String::from))
        .map_err(invalid_query)
}

/// An id or a name, which may be any text that its column can hold.
pub(super) fn id_or_name(what: &str, given: String) -> Result<String, Problem> {
    if given.is_empty() || given.chars().count() > 500 || given.chars().any(char::is_control) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_id",
            format!(
                "it is neither the id nor the name of a {}: GET /v1/{}s lists what there is",
                what.replace('_', " "),
                what.replace('_', "-")
            ),
        ));
    }
    Ok(given)
}

/// The one row that an id or a name leads to.
pub(super) fn one<T>(
    what: &str,
    given: &str,
    mut rows: Vec<T>,
    id: impl Fn(&T) -> &str,
) -> Result<T, Problem> {
    match (rows.pop(), rows.is_empty()) {
        (None, _) => Err(Problem::not_found(what, given)),
        (Some(row), true) => Ok(row),
        (Some(row), false) => {
            rows.push(row);
            let ids: Vec<&str> = rows.iter().map(id).collect();
            Err(Problem::new(
                StatusCode::CONFLICT,
                "ambiguous_name",
                format!(
                    "{given:?} is the name of several {}s; say which by its id: {}",
                    what.replace('_', " "),
                    ids.join(", ")
                ),
            ))
        }
    }
}

/// How an autoencoder is trained. The schema alone: the domain reads and checks the values.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code, missing_docs, reason = "read by the schema alone")]
pub struct Hyperparameters {
    /// Peak learning rate.
    #[schema(default = 0.001, exclusive_minimum = 0.0)]
    learning_rate: Option<f64>,
    /// Activations (tokens) in a step.
    #[schema(default = 256, minimum = 1)]
    batch_size: Option<u32>,
    /// λ of mean_b Σ_d (x̂−x)² + λ · mean_b Σ_i f_i ‖W_dec,i‖₂, on activations scaled to E‖x‖ = √d. Ignored with topK.
    #[schema(default = 0.0001, minimum = 0.0)]
    l1_coefficient: Option<f64>,
    /// Latents for each dimension of the activations.
    #[schema(default = 8, minimum = 1)]
    expansion_factor: Option<u32>,
    /// Steps of batchSize activations.
    #[schema(default = 10_000, minimum = 1)]
    training_steps: Option<u32>,
    /// The optimizer.
    #[schema(default = "AdamW", pattern = "^(Adam|AdamW|SGD)$")]
    optimizer: Option<String>,
    /// The learning rate after warm-up.
    #[schema(default = "cosine", pattern = "^(constant|linear|cosine)$")]
    lr_schedule: Option<String>,
    /// Whether dead latents get the ghost-gradient loss.
    #[schema(default = false)]
    ghost_grad_penalty: Option<bool>,
    /// The layer whose activations are read, counted from 0; else the middle one.
    #[schema(minimum = 0)]
    layer: Option<u32>,
    /// Where in the layer.
    #[schema(default = "residual", pattern = "^(residual|mlp|attention)$")]
    hook: Option<String>,
    /// Several places that are trained from one pass over the model, instead of layer and hook.
    #[schema(min_items = 1, max_items = 64)]
    hooks: Option<Vec<HookSite>>,
    /// What makes latents of pre-activations; else TopK where topK is given, else ReLU.
    #[schema(pattern = "^(relu|topk|batchtopk|jumprelu|gated)$")]
    activation_function: Option<String>,
    /// TopK and BatchTopK: how many latents stay active (on average, with BatchTopK).
    #[schema(minimum = 1)]
    top_k: Option<u32>,
    /// JumpReLU: the threshold before training; else 0.001.
    #[schema(exclusive_minimum = 0.0)]
    jump_threshold: Option<f64>,
    /// JumpReLU: width of the kernel of the straight-through estimator; else 0.001.
    #[schema(exclusive_minimum = 0.0)]
    jump_bandwidth: Option<f64>,
    /// Coefficient of the auxiliary loss, in which dead latents reconstruct the residual; else there is none.
    #[schema(exclusive_minimum = 0.0)]
    aux_k_coefficient: Option<f64>,
    /// How many dead latents reconstruct; else half the width of the activations.
    #[schema(minimum = 1)]
    aux_k: Option<u32>,
    /// Every so many steps dead latents are pointed anew at what is reconstructed badly; else never.
    #[schema(minimum = 1)]
    resample_interval: Option<u32>,
    /// The gradient is scaled down to this Euclidean norm; else never.
    #[schema(exclusive_minimum = 0.0)]
    gradient_clip: Option<f64>,
    /// Steps over which the learning rate rises linearly from 0.
    #[schema(default = 0)]
    warmup_steps: Option<u32>,
    /// Steps over which λ rises linearly from 0; else a twentieth of trainingSteps.
    sparsity_warmup_steps: Option<u32>,
    /// Decoupled weight decay (AdamW only).
    #[schema(default = 0.0, minimum = 0.0)]
    weight_decay: Option<f64>,
    /// Exponential decay of the first moment (momentum, with SGD).
    #[schema(default = 0.9, minimum = 0.0, exclusive_maximum = 1.0)]
    beta1: Option<f64>,
    /// Exponential decay of the second moment.
    #[schema(default = 0.999, minimum = 0.0, exclusive_maximum = 1.0)]
    beta2: Option<f64>,
    /// Seed of initialisation and shuffling.
    #[schema(default = 42)]
    seed: Option<u64>,
    /// Metrics are recorded every so many steps.
    #[schema(default = 100, minimum = 1)]
    log_interval: Option<u32>,
    /// A checkpoint is saved every so many steps.
    #[schema(default = 1_000, minimum = 1)]
    checkpoint_interval: Option<u32>,
    /// A latent is dead when it has not fired for so many steps.
    #[schema(default = 1_000, minimum = 1)]
    dead_window_steps: Option<u32>,
    /// Precision of the matrix products.
    #[schema(default = "auto", pattern = "^(auto|f32|bf16)$")]
    precision: Option<String>,
    /// Activations held in the mixing buffer; else what fits.
    buffer_tokens: Option<u32>,
    /// Held-out tokens on which each checkpoint is evaluated, at most a tenth of the dataset; 0: no evaluation; else 2,048.
    evaluation_tokens: Option<u32>,
    /// Whether activations are kept on disk for other trainings of the same model, dataset and hook; else they are not.
    cache_activations: Option<bool>,
}

/// A place in a language model. The schema alone: see the domain's type.
#[derive(ToSchema)]
#[allow(dead_code, missing_docs, reason = "read by the schema alone")]
pub struct HookSite {
    /// The layer, counted from 0.
    layer: u32,
    /// Where in it.
    #[schema(default = "residual", pattern = "^(residual|mlp|attention)$")]
    hook: Option<String>,
}

/// How good an autoencoder was on held-out tokens. The schema alone: see the domain's type.
#[derive(ToSchema)]
#[allow(dead_code, missing_docs, reason = "read by the schema alone")]
pub struct EvaluatedSite {
    /// The layer, counted from 0.
    layer: u32,
    /// Where in it.
    #[schema(pattern = "^(residual|mlp|attention)$")]
    hook: String,
    /// 1 − E‖y − ŷ‖² / (E‖y‖² − ‖E y‖²) of what is reconstructed.
    explained_variance: f64,
    /// L0: active latents a token.
    active_latents: f64,
    /// Latents that fired on none of the tokens.
    dead_latents: u64,
    /// Latents that fired on more than one token in ten.
    dense_latents: u64,
    /// Cross-entropy of the language model as it is, in nats a token.
    ce_clean: f64,
    /// The same with the reconstruction in place of the activation.
    ce_spliced: Option<f64>,
    /// The same with zero in place of the activation.
    ce_ablated: f64,
    /// (ce_ablated − ce_spliced) / (ce_ablated − ce_clean).
    ce_score: Option<f64>,
    /// Tokens that were measured.
    tokens: u64,
}

/// How tokens are drawn. The schema alone: the domain reads and checks the values.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code, missing_docs, reason = "read by the schema alone")]
pub struct Sampling {
    /// Tokens to write, at most.
    #[schema(default = 100, minimum = 1, maximum = 100_000)]
    max_new_tokens: Option<u32>,
    /// Logits are divided by it; 0: always the likeliest token.
    #[schema(default = 0.7, minimum = 0.0, maximum = 100.0)]
    temperature: Option<f64>,
    /// Only the likeliest tokens that have this probability together.
    #[schema(default = 1.0, exclusive_minimum = 0.0, maximum = 1.0)]
    top_p: Option<f64>,
    /// Only so many of the likeliest tokens; 0: all.
    #[schema(default = 0)]
    top_k: Option<u32>,
    /// Logits of tokens that have been written before, or are in the prompt, are divided (if above 0, else multiplied) by it.
    #[schema(default = 1.0, exclusive_minimum = 0.0, maximum = 100.0)]
    repetition_penalty: Option<f64>,
    /// Of the drawing; the plain and the steered text have the same.
    #[schema(default = 42)]
    seed: Option<u64>,
}

/// How a network that segments images is trained. The schema alone: the domain reads and checks the values.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code, missing_docs, reason = "read by the schema alone")]
pub struct SegmentationSettings {
    /// Classes, the background (0) included; else the largest label and one.
    #[schema(minimum = 2, maximum = 255)]
    classes: Option<u32>,
    /// Steps of batchSize images.
    #[schema(default = 2_000, minimum = 1)]
    training_steps: Option<u32>,
    /// Images (slices of volumes) in a step.
    #[schema(default = 8, minimum = 1, maximum = 1_024)]
    batch_size: Option<u32>,
    /// Height and width, in pixels, of the part of an image that a step sees: a multiple of 2 to the power of depth.
    #[schema(default = 128, minimum = 16, maximum = 2_048)]
    patch_size: Option<u32>,
    /// Channels of the first level of the U-Net; each level below has twice as many.
    #[schema(default = 16, minimum = 1, maximum = 256)]
    base_channels: Option<u32>,
    /// Levels below the first.
    #[schema(default = 3, minimum = 1, maximum = 6)]
    depth: Option<u32>,
    /// Peak learning rate of AdamW.
    #[schema(default = 0.001, exclusive_minimum = 0.0, maximum = 1.0)]
    learning_rate: Option<f64>,
    /// Decoupled weight decay.
    #[schema(default = 0.01, minimum = 0.0, maximum = 1.0)]
    weight_decay: Option<f64>,
    /// Steps over which the learning rate rises linearly from 0; then it falls along a half cosine.
    #[schema(default = 100)]
    warmup_steps: Option<u32>,
    /// Share of the Dice loss in the loss; the rest is cross-entropy.
    #[schema(default = 0.5, minimum = 0.0, maximum = 1.0)]
    dice_weight: Option<f64>,
    /// Whether images are flipped, turned, scaled and changed in brightness, contrast and noise.
    #[schema(default = true)]
    augment: Option<bool>,
    /// Fraction of the images that is held out where there is no cross-validation.
    #[schema(default = 0.2, minimum = 0.0, maximum = 0.9)]
    held_out: Option<f64>,
    /// Seed of initialisation, order, augmentation and held-out images.
    #[schema(default = 42)]
    seed: Option<u64>,
    /// Metrics are recorded every so many steps.
    #[schema(default = 10, minimum = 1)]
    log_interval: Option<u32>,
    /// A checkpoint is saved, and held-out images are measured, every so many steps.
    #[schema(default = 200, minimum = 1)]
    checkpoint_interval: Option<u32>,
}

/// A cluster and what is asked of it. The schema alone: see the domain's type.
#[derive(ToSchema)]
#[allow(dead_code, missing_docs, reason = "read by the schema alone")]
pub struct Placement {
    /// The cluster, by the name that the settings give it; `slurm`: the only one there is.
    #[schema(example = "slurm")]
    cluster: String,
    /// What is asked for; what is left open is the cluster's, or the template's, to say.
    resources: Option<SlurmResources>,
}

/// What a job asks SLURM for: the options of sbatch of the same meaning. The schema alone: see the domain's type.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code, missing_docs, reason = "read by the schema alone")]
pub struct SlurmResources {
    /// Processor cores, which are the run's threads.
    #[schema(minimum = 1, maximum = 4_096)]
    cpus: Option<u32>,
    /// Memory of its node in MiB.
    #[schema(minimum = 1, maximum = 67_108_864)]
    memory_mib: Option<u64>,
    /// GPUs.
    #[schema(maximum = 64)]
    gpus: Option<u32>,
    /// Partitions, separated by commas.
    partition: Option<String>,
    /// The account that is charged.
    account: Option<String>,
    /// The quality of service.
    qos: Option<String>,
    /// The time limit in minutes. What can be gone on with is queued again before it is over.
    #[schema(minimum = 1, maximum = 525_600)]
    time_limit_minutes: Option<u32>,
    /// Tasks of an array that run at the same time, at most.
    #[schema(minimum = 1, maximum = 10_000)]
    array_limit: Option<u32>,
}
