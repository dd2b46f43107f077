//! What a run says: the lines of `journal.jsonl` and the file `heartbeat`.

use crate::{Lease, hyperparameters::Hook, model::Quantization};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The longest line of a journal, newline included. A trainer splits what would be longer.
pub const MAX_LINE_BYTES: usize = 256 * 1024;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalRecord {
    /// The lease of the trainer that speaks.
    pub lease: Lease,
    /// 1, 2, 3… within the lease.
    pub seq: u64,
    /// When, by the trainer's clock. In JSON `written_at`: the records' own fields stand beside it, and metrics have an `at`.
    #[serde(rename = "written_at")]
    pub at: DateTime<Utc>,
    /// What.
    #[serde(flatten)]
    pub record: Record,
}

/// What a trainer can say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// The first line of every lease: the trainer runs and has read its spec.
    Started(Started),
    /// Coarse progress of work that has no metrics (tokenising, loading).
    Progress(Progress),
    /// The files of a model or a dataset have been fetched; they are durable.
    Downloaded(Downloaded),
    /// What was found in a model.
    ModelInspected(ModelInspected),
    /// A model's weights have been converted; they are durable.
    ModelQuantized(ModelQuantized),
    /// All text of a dataset has been read.
    DatasetIngested(DatasetIngested),
    /// A dataset has been tokenised; `tokenized_path` is durable.
    DatasetTokenized(DatasetTokenized),
    /// Model and data are loaded; step `at_step + 1` is next.
    TrainingStarted(TrainingStarted),
    /// A columnar batch of at most 100 recorded steps or 5 s, whichever comes first.
    Metrics(MetricsBatch),
    /// A checkpoint is durable.
    CheckpointSaved(CheckpointSaved),
    /// What was trained so far has been measured on held-out tokens.
    Evaluated(Evaluated),
    /// What was trained so far has been measured on held-out images.
    SegmentationEvaluated(SegmentationQuality),
    /// Images have been segmented; the files are durable. Ends the run.
    Predicted(Box<Predicted>),
    /// A piece of text has been written. For whoever watches: the whole text comes with [`Record::Generated`].
    GeneratedText(GeneratedText),
    /// All text has been written, which ends the run.
    Generated(Box<Generated>),
    /// Features have been extracted; the artifacts are durable. Ends the run.
    FeaturesExtracted(Box<FeaturesExtracted>),
    /// The run has ended without a result because it was asked to stop, and has nothing that could be kept.
    Cancelled {},
    /// The run has ended at a checkpoint (announced before) because it was asked to.
    Paused(AtStep),
    /// The run has ended with a result because it was asked to stop.
    Stopped(Finished),
    /// The run has ended with a result: all its steps are done.
    Completed(Finished),
    /// The run has ended without a result.
    Failed(Failure),
}

/// The trainer runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Process id on `host`.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// The trainer's version.
    pub trainer_version: String,
    /// libtorch's version.
    pub libtorch_version: String,
    /// The device it will use: `cpu` or `cuda:<n>`.
    pub device: String,
}

/// Coarse progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done, as a status: `downloading`, `ingesting`, `tokenizing`, `loading`, `quantizing`, `predicting`.
    pub stage: String,
    /// 0 to 100.
    pub percent: f64,
}

/// Files have been fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downloaded {
    /// The directory that they are in.
    pub path: String,
    /// Bytes of all of them.
    pub size_bytes: i64,
    /// The commit of the repository that they are from.
    pub commit: String,
}

/// What was found in a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelInspected {
    /// All parameters, tied ones counted once.
    pub params_count: i64,
    /// What a run on it needs in memory, in the precision that runs use.
    pub memory_required_bytes: i64,
    /// Bytes of its files.
    pub disk_size_bytes: i64,
    /// `num_layers`, `hidden_size`, `num_attention_heads`, … as found in the file.
    pub architecture_config: serde_json::Value,
    /// Its family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// How most of its weights are stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,
    /// What the weights are to be converted to, which the run does next; none: the work is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converts_to: Option<Quantization>,
}

/// A model's weights have been converted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelQuantized {
    /// The directory of the converted model.
    pub quantized_path: String,
    /// Bytes of its files.
    pub disk_size_bytes: i64,
    /// What a run on it needs in memory.
    pub memory_required_bytes: i64,
    /// What the conversion costs, where it could be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<ConversionLoss>,
}

/// The loss of a model on real text, before and after its weights were converted: the mean negative log-likelihood of a token, in
/// nats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConversionLoss {
    /// Of the weights as they came.
    pub before: f64,
    /// Of the converted weights.
    pub after: f64,
    /// Which text.
    pub evaluated_on: String,
    /// Tokens whose likelihood was asked for.
    pub tokens: i64,
}

/// All text has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetIngested {
    /// Documents: a text file is one, and so is a line of JSONL or a row of a table.
    pub num_samples: i64,
    /// Bytes of the source files.
    pub size_bytes: i64,
    /// Lower-case hex SHA-256 of the text: each document in UTF-8 and a byte 0xFF after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_sha256: Option<String>,
}

/// A dataset has been tokenised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetTokenized {
    /// Where the packed sequences are.
    pub tokenized_path: String,
    /// Tokens, padding and inserted special tokens not counted.
    pub num_tokens: i64,
    /// Entries of the tokenizer's vocabulary.
    pub vocab_size: i64,
    /// Tokens a document, on average.
    pub avg_sequence_length: f64,
    /// Packed sequences.
    pub num_sequences: i64,
    /// Of `tokens.bin`, lower-case hex.
    pub sha256: String,
}

/// Training begins or goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingStarted {
    /// Steps that were done before: 0, or the checkpoint's.
    pub at_step: u64,
    /// Width of the activations; none where there are no activations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub d_in: Option<u32>,
    /// Latents of the dictionary; none where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub d_sae: Option<u32>,
}

/// Metrics of several steps, a column each. A column is as long as `steps`, or empty where a training has no such metric: an autoencoder
/// has no `dice`, a network that segments images has `loss`, `dice`, `learning_rate` and `at`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricsBatch {
    /// The step, counted from 1; ascending.
    pub steps: Vec<u64>,
    /// Loss in the training's documented unit.
    pub loss: Vec<f64>,
    /// L0: mean count of non-zero latents a token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sparsity: Vec<f64>,
    /// Reconstruction part of the loss.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reconstruction_error: Vec<f64>,
    /// Latents that have not fired within the window.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dead_neurons: Vec<i64>,
    /// Fraction of variance explained on the step's batch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub explained_variance: Vec<f64>,
    /// Dice coefficient of the step's batch: the mean over classes but the background.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dice: Vec<f64>,
    /// Learning rate of the step.
    pub learning_rate: Vec<f64>,
    /// When the step ended, by the trainer's clock.
    pub at: Vec<DateTime<Utc>>,
    /// Activations, or images, trained on a second since the last batch.
    pub tokens_per_second: f64,
}

/// A checkpoint is durable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointSaved {
    /// Steps that are done in it.
    pub step: u64,
    /// Loss of that step, when it is known.
    pub loss: Option<f64>,
    /// L0 of that step, when it is known.
    pub sparsity: Option<f64>,
    /// Its directory.
    pub path: String,
    /// Bytes of all its files.
    pub file_size_bytes: i64,
    /// Lower-case hex SHA-256 of `<sha256 of file>  <file name>\n` for each file in name order (what `sha256sum *` prints). The name of a
    /// file in a directory of it is its path below (`blocks.5.hook_mlp_out/state.json`).
    pub sha256: String,
}

/// What a network makes of held-out images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentationQuality {
    /// Steps that are done.
    pub step: u64,
    /// Held-out images (slices of volumes).
    pub images: u64,
    /// Loss on them.
    pub loss: f64,
    /// Dice coefficient of each class but the background, over all pixels of all of them: 2 |A ∩ B| / (|A| + |B|). None for a class that neither
    /// labels nor predictions have.
    pub dice: Vec<Option<f64>>,
    /// The mean of those that there are; none when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_dice: Option<f64>,
}

/// Images have been segmented.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// The directory of the files.
    pub output_dir: String,
    /// For people and programs: what was found in each image.
    pub prediction: serde_json::Value,
}

/// An immutable file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Where it is.
    pub path: String,
    /// Of its bytes, lower-case hex.
    pub sha256: String,
    /// Its bytes.
    pub size_bytes: i64,
    /// Its rows.
    pub rows: i64,
}

/// How features were scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scoring {
    /// Raised with every change of the method.
    pub version: u32,
    /// The published methods that went into it, by the names of their components.
    pub components: Vec<String>,
    /// What read the examples: the studied model itself, or the name of a sentence encoder.
    pub embedder: String,
    /// The mean score of features whose examples were permuted among them, before it is taken off every score: what no meaning
    /// looks like.
    pub permuted_mean: f64,
    /// The 95th percentile of the same.
    pub permuted_p95: f64,
}

/// Features have been extracted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeaturesExtracted {
    /// As [`super::artifact`] describes it.
    pub features: Artifact,
    /// As [`super::artifact`] describes it.
    pub activations: Artifact,
    /// Packed sequences that were read.
    pub samples: i64,
    /// Tokens that were read, padding and special tokens not counted.
    pub tokens: i64,
    /// How features were scored.
    pub scoring: Scoring,
}

/// Which of two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Without intervention.
    Plain,
    /// With it.
    Steered,
}

/// A piece of text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratedText {
    /// Of which text.
    pub variant: Variant,
    /// What follows what was said before.
    pub text: String,
    /// Tokens written so far.
    pub tokens: u32,
}

/// A text that a model wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// The prompt not included.
    pub text: String,
    /// Tokens of it.
    pub tokens: u32,
    /// Why it ends.
    pub ended: CompletionEnd,
}

/// Why a text ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompletionEnd {
    /// The model ended it.
    EndOfText,
    /// It is as long as was asked for.
    Length,
    /// The model's context is full.
    Context,
}

/// All text has been written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generated {
    /// Without intervention.
    pub plain: Completion,
    /// With it, from the same seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steered: Option<Completion>,
}

/// A measurement on tokens that are never trained on, of every autoencoder of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Steps that were done.
    pub step: u64,
    /// One for each place that is trained, in the order of the hyperparameters.
    pub sites: Vec<EvaluatedSite>,
}

/// A measurement of one autoencoder. Positions that say nothing about text, and outliers, count in the losses of the language model
/// alone, where they keep their activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluatedSite {
    /// The layer, counted from 0.
    pub layer: u32,
    /// Where in it.
    pub hook: Hook,
    /// `1 − E‖y − ŷ‖² / (E‖y‖² − ‖E y‖²)` of what is reconstructed, in f64; 0 where it does not vary.
    pub explained_variance: f64,
    /// L0: active latents a token, on average.
    pub active_latents: f64,
    /// Latents that fired on none of the tokens.
    pub dead_latents: u64,
    /// Latents that fired on more than one token in ten.
    pub dense_latents: u64,
    /// Cross-entropy of the language model as it is, in nats a token.
    pub ce_clean: f64,
    /// Cross-entropy with the reconstruction in place of the activation; none where it is not finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ce_spliced: Option<f64>,
    /// Cross-entropy with zero in place of the activation.
    pub ce_ablated: f64,
    /// `(ce_ablated − ce_spliced) / (ce_ablated − ce_clean)`; none where ablation changes nothing, or `ce_spliced` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ce_score: Option<f64>,
    /// Tokens that were measured.
    pub tokens: u64,
}

impl EvaluatedSite {
    /// Whether all numbers are, which JSON demands.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        [
            Some(self.explained_variance),
            Some(self.active_latents),
            Some(self.ce_clean),
            self.ce_spliced,
            Some(self.ce_ablated),
            self.ce_score,
        ]
        .into_iter()
        .flatten()
        .all(f64::is_finite)
    }
}

/// A step at which something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtStep {
    /// Steps that are done.
    pub step: u64,
}

/// The run has a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Steps that are done.
    pub step: u64,
    /// The result's directory.
    pub path: String,
    /// As of a checkpoint: see [`CheckpointSaved::sha256`].
    pub sha256: String,
}

/// The run has ended without a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whose fault it is, which decides whether another attempt makes sense.
    pub class: FailureClass,
    /// Stable, snake_case: `loss_not_finite`, `dataset_empty`, `shape_mismatch`, `file_missing`, `file_truncated`,
    /// `file_altered`, `content_changed`, `pixel_invalid`, `disk_full`, `out_of_memory`, `unsupported`, `internal`.
    pub code: String,
    /// A sentence that says what went wrong and what to do next.
    pub message: String,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The workload itself: the same input would fail again. The training's status is `failed`.
    Workload,
    /// The infrastructure: another attempt may succeed. The training's status is `error`.
    Infrastructure,
}

/// The sign of life: the file `heartbeat`, replaced (written beside and renamed).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The lease of the trainer that lives.
    pub lease: Lease,
    /// Grows with every beat.
    pub beat: u64,
    /// Grows whenever the work has moved on: steps done, documents read, bytes loaded. A trainer that beats without
    /// progress is hung.
    pub progress: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_metrics_is_read_as_it_was_written() {
        let at: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        let line = JournalRecord {
            lease: Lease(1),
            seq: 2,
            at,
            record: Record::Metrics(MetricsBatch {
                steps: vec![1],
                loss: vec![0.5],
                sparsity: vec![1.0],
                reconstruction_error: vec![0.25],
                dead_neurons: vec![0],
                dice: vec![],
                explained_variance: vec![0.75],
                learning_rate: vec![0.001],
                at: vec![at],
                tokens_per_second: 100.0,
            }),
        };
        let text = serde_json::to_string(&line).unwrap();
        let read: JournalRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(read, line);
    }
}
