//! What a run is to do: `spec.json`.

mod segmentation;

pub use segmentation::{PredictSegmentation, TrainSegmentation};

use crate::{
    Lease,
    hub::{HubData, HubRepository},
    hyperparameters::{HookSite, Hyperparameters, InvalidHyperparameter},
    id::TrainingId,
    model::Quantization,
};
use serde::{Deserialize, Serialize};

/// What to do, under which lease, within which limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// [`super::CONTRACT_VERSION`].
    pub contract: u32,
    /// The id of the dataset, model or training that is worked on; also the name of the run's directory.
    pub run_id: String,
    /// The lease under which everything is reported.
    pub lease: Lease,
    /// W3C trace context of the claim, so that the run's span joins the trace of the request that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// How often `heartbeat` is replaced and `control` is looked at, at least.
    pub heartbeat_interval_ms: u64,
    /// Where and with how much of the machine.
    pub resources: Resources,
    /// What SLURM calls the job that executes it; none: it is a process of the daemon's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slurm: Option<SlurmRun>,
    /// The work itself.
    pub work: Work,
}

/// How a run is executed by SLURM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlurmRun {
    /// What its `sbatch` submitted ([`crate::slurm::Submission::submission_id`]).
    pub submission_id: String,
    /// From which restart of the job on the lease holds: a job that has been put back more often waits for the next lease.
    pub restart: u32,
}

/// What the run may use of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// `cpu`, or `cuda:<n>`.
    pub device: String,
    /// Threads for libtorch's intra-op pool and the tokenizer.
    pub cpu_threads: usize,
    /// Address-space independent limit on resident memory that the runner sets; what the trainer sizes its buffers by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
}

/// The kinds of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// Look at a model: verify that its files can be read, count its parameters.
    InspectModel(InspectModel),
    /// Read a dataset's text and tokenise it into a file of packed sequences.
    PrepareDataset(PrepareDataset),
    /// Train an autoencoder on a model's activations.
    Train(Box<Train>),
    /// Take an autoencoder that another program trained as a training's result.
    ImportAutoencoder(ImportAutoencoder),
    /// Find the features of trained autoencoders.
    Extract(Box<Extract>),
    /// Write text, with and without an intervention.
    Generate(Box<Generate>),
    /// Train a network that segments images.
    TrainSegmentation(Box<TrainSegmentation>),
    /// Segment images.
    PredictSegmentation(Box<PredictSegmentation>),
}

/// Fetch a model where it is to come from the hub, look at it, and convert its weights where they are to be held otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InspectModel {
    /// A GGUF file or a Hugging Face directory; with `download`, the directory to fetch into.
    pub model_path: String,
    /// The family it was registered as (`llama`); none: whatever it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// How its weights are to be held; none: as they come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,
    /// Where to fetch it from first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download: Option<HubRepository>,
    /// The directory to write converted weights to; none: they are not converted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantized_path: Option<String>,
}

/// Fetch a dataset where it is to come from the hub, and tokenise it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrepareDataset {
    /// A file, or a directory of files, sorted by name; with `download`, the directory to fetch into.
    pub source_path: String,
    /// For all but text files: the column that holds the text.
    pub text_column: String,
    /// The model (GGUF file or Hugging Face directory) whose tokenizer is used.
    pub tokenizer_path: String,
    /// Tokens in a packed sequence, the beginning-of-sequence token included.
    pub context_length: u32,
    /// The directory in which a directory of `tokens.bin` and `tokens.json` is made, called by what determines its content.
    pub output_path: String,
    /// Where to fetch it from first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download: Option<HubData>,
    /// The hash that the text had when it was ingested; none: it has not been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_sha256: Option<String>,
    /// The directory of all datasets, in whose `<id>/tokenized` the same tokens may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datasets_path: Option<String>,
}

/// Train an autoencoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Train {
    /// The training.
    pub training_id: TrainingId,
    /// A GGUF file or a Hugging Face directory.
    pub model_path: String,
    /// What the SAELens directory names as its model.
    pub model_name: String,
    /// A directory that [`PrepareDataset`] wrote.
    pub tokenized_path: String,
    /// `sparse`, `skip` or `transcoder`.
    pub encoder_type: String,
    /// How to train.
    pub hyperparameters: Hyperparameters,
    /// Where activations may be kept; none: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_cache: Option<ActivationCache>,
    /// The checkpoint to go on from; none: from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_from: Option<ResumeFrom>,
}

/// Where runs keep activations that others of the same model, dataset and place can use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivationCache {
    /// The directory; made where it is absent.
    pub directory: String,
    /// All its files together stay within so many bytes.
    pub most_bytes: u64,
}

/// A checkpoint to go on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeFrom {
    /// Steps that are done.
    pub step: u64,
    /// The checkpoint's directory.
    pub path: String,
    /// The hash that its record announced (see [`super::journal::Record::CheckpointSaved`]).
    pub sha256: String,
}

/// Take an autoencoder that another program trained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportAutoencoder {
    /// The training whose result it becomes.
    pub training_id: TrainingId,
    /// A SAELens directory.
    pub source_path: String,
    /// The model it is for, whose width it must have.
    pub model_path: String,
}

/// Find features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extract {
    /// The training whose autoencoders are looked at.
    pub training_id: TrainingId,
    /// A GGUF file or a Hugging Face directory.
    pub model_path: String,
    /// The dataset: examples are named after it.
    pub dataset_id: String,
    /// A directory that [`PrepareDataset`] wrote.
    pub tokenized_path: String,
    /// The training's result directory: an autoencoder, or one for each site in a directory named after its hook.
    pub autoencoder_path: String,
    /// The hash that the training's last record announced.
    pub autoencoder_sha256: String,
    /// Its kind: `sparse`, `skip` or `transcoder`.
    pub encoder_type: String,
    /// The training's sites, in the order in which latents are counted.
    pub sites: Vec<HookSite>,
    /// Those that are wanted.
    pub wanted: Vec<HookSite>,
    /// Packed sequences to read, spread over the dataset; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_samples: Option<u64>,
    /// Strongest examples that are kept of each feature.
    pub top_k_examples: u32,
    /// Tokens on either side of an example's strongest token.
    pub context_tokens: u32,
    /// Latents that are active on a smaller fraction of tokens are not features.
    pub minimum_frequency: f64,
    /// A directory with a sentence encoder (BERT family: `config.json`, `tokenizer.json`, safetensors), to score with; none: the
    /// studied model's own representations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedder_path: Option<String>,
}

/// Write text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// A GGUF file or a Hugging Face directory.
    pub model_path: String,
    /// What it goes on from.
    pub prompt: String,
    /// Whether the prompt is wrapped as a user's turn of the model's chat template.
    pub chat: bool,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// The intervention; none: plain text only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steering: Option<Steering>,
}

/// How tokens are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Sampling {
    /// Tokens to write, at most.
    pub max_new_tokens: u32,
    /// Logits are divided by it; 0: always the likeliest token.
    pub temperature: f64,
    /// Only the likeliest tokens that have this probability together; 1: all.
    pub top_p: f64,
    /// Only so many of the likeliest tokens; 0: all.
    pub top_k: u32,
    /// Logits of tokens that have been written before are divided (if above 0, else multiplied) by it (Keskar et al. 2019,
    /// arXiv:1909.05858); 1: not.
    pub repetition_penalty: f64,
    /// Of the drawing; the plain and the steered text have the same.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            max_new_tokens: 100,
            temperature: 0.7,
            top_p: 1.0,
            top_k: 0,
            repetition_penalty: 1.0,
            seed: 42,
        }
    }
}

impl Sampling {
    /// Checks every range.
    ///
    /// # Errors
    /// The first value that is out of it.
    pub fn validate(&self) -> Result<(), InvalidHyperparameter> {
        let bad = |name, must, given: String| Err(InvalidHyperparameter { name, must, given });
        if !(1..=100_000).contains(&self.max_new_tokens) {
            return bad(
                "maxNewTokens",
                "1 to 100,000",
                self.max_new_tokens.to_string(),
            );
        }
        if !(0.0..=100.0).contains(&self.temperature) {
            return bad("temperature", "0 to 100", self.temperature.to_string());
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return bad("topP", "above 0 and at most 1", self.top_p.to_string());
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty <= 100.0) {
            return bad(
                "repetitionPenalty",
                "above 0 and at most 100",
                self.repetition_penalty.to_string(),
            );
        }
        Ok(())
    }
}

/// An intervention at one layer: `h += Σ coefficient · max_activation · W_dec[latent]` at every position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Steering {
    /// The training's result directory, as in [`Extract`].
    pub autoencoder_path: String,
    /// The hash that the training's last record announced.
    pub autoencoder_sha256: String,
    /// The training's sites, in the order in which latents are counted.
    pub sites: Vec<HookSite>,
    /// After which layer (of the residual stream).
    pub layer: u32,
    /// Which features, how strongly.
    pub features: Vec<SteeredFeature>,
}

/// A feature that a text is steered with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SteeredFeature {
    /// Its id in `features`.
    pub feature_id: i64,
    /// Its latent, counted through all the training's autoencoders.
    pub neuron_index: i64,
    /// In units of `max_activation`.
    pub coefficient: f64,
    /// The largest activation that the extraction saw.
    pub max_activation: f64,
}
