//! A language model reading a dataset, as a source of activations.
//!
//! The dataset is read in passes of about 2,048 tokens. Which sequences a pass has does not depend on the training: products of another batch
//! may differ in their last bits, and so every training of the same model and text sees the same activations, whether they are computed or
//! were kept by another.

use super::activation_cache::{ActivationCache, Extent};
use super::failure::RunError;
use super::life::{Life, Next};
use super::train::places::Places;
use crate::autoencoder::{
    activations::{ActivationError, ActivationSource},
    precision::product_kind,
    sae_lens::Provenance,
};
use crate::dataset::TokenizedDataset;
use crate::language_model::{Checkpoint, HookPoint, LanguageModel, LoadOptions, ModelConfig};
use crate::random_order::RandomOrder;
use std::ops::ControlFlow;
use std::path::Path;
use tch::{Device, Kind, Tensor};
use trainmaster_domain::run::spec::{Resources, Train};

/// Tokens that the language model reads at once.
const TOKENS_PER_PASS: u64 = 2_048;

/// Seed of which sequences a pass has.
const PASSES_SEED: u64 = 0x7061_7373;

/// Held-out tokens where the hyperparameters do not say.
const EVALUATION_TOKENS: u32 = 2_048;

/// Held-out sequences are at most this part of the dataset.
const HELD_OUT_PART: u64 = 10;

/// The activations of the places of a training.
pub(super) struct ModelActivations {
    config: ModelConfig,
    device: Device,
    kind: Kind,
    /// Absent where all activations are kept, and nothing else is asked of the model.
    model: Option<LanguageModel>,
    dataset: TokenizedDataset,
    places: Places,
    streams: Vec<HookPoint>,
    cache: ActivationCache,
    /// Which sequences are where in the passes.
    order: RandomOrder,
    held_out: u64,
}

impl ModelActivations {
    /// Opens what a training names. The language model is loaded up to the deepest place; whole, where the training is evaluated, which
    /// takes memory for all its weights.
    ///
    /// # Errors
    /// What is wrong with model or dataset, or that they do not fit each other.
    pub(super) fn open(
        train: &Train,
        resources: &Resources,
        device: Device,
        life: &Life,
    ) -> Result<Self, RunError> {
        let dataset = TokenizedDataset::open(Path::new(&train.tokenized_path))?;
        let path = Path::new(&train.model_path);
        let config = Checkpoint::open(path)?.config().clone();
        if i64::from(dataset.id_bound()) > config.vocab_size {
            return Err(RunError::ShapeMismatch {
                what: format!(
                    "the dataset {} has token ids up to {}, and the model {} a vocabulary of {}: tokenise the dataset with this model's \
                     tokenizer",
                    train.tokenized_path,
                    dataset.id_bound() - 1,
                    train.model_path,
                    config.vocab_size
                ),
            });
        }
        let places = Places::of(train, config.num_layers)?;
        let kind = product_kind(train.hyperparameters.precision, device)
            .map_err(|error| RunError::of_libtorch("trying the device", &error))?;
        let order = RandomOrder::new(PASSES_SEED, dataset.num_sequences());
        let mut source = Self {
            held_out: held_out(train, &dataset),
            model: None,
            streams: places.streams(),
            cache: ActivationCache::none(),
            places,
            config,
            device,
            kind,
            dataset,
            order,
        };
        if let Some(cache) = &train.activation_cache {
            let extent = Extent {
                passes: source.passes(),
                bytes_per_pass: source.activations_per_pass() * source.row_bytes(),
            };
            source.cache = ActivationCache::open(cache, &source.keys(train, resources), extent);
        }
        if source.held_out > 0 || !source.cache.is_complete() {
            source.model = Some(source.load(path, life)?);
        }
        Ok(source)
    }

    fn load(&self, path: &Path, life: &Life) -> Result<LanguageModel, RunError> {
        let options = LoadOptions {
            device: self.device,
            kind: self.kind,
            layers: (self.held_out == 0).then(|| self.places.layers()),
        };
        let model = LanguageModel::load(path, options, &mut |_, _| {
            life.progress();
            match life.heard() {
                Next::Leave => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
        if life.heard() == Next::Leave {
            return Err(RunError::Superseded);
        }
        Ok(model?)
    }

    /// What is trained.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// Where each stream is read.
    pub(super) fn streams(&self) -> &[HookPoint] {
        &self.streams
    }

    /// Width of every stream.
    pub(super) fn width(&self) -> i64 {
        self.config.hidden_size
    }

    /// Bytes of one activation of all streams.
    pub(super) fn bytes_per_activation(&self) -> u64 {
        self.streams.len() as u64 * self.row_bytes()
    }

    /// Bytes of one activation of one stream.
    pub(super) fn row_bytes(&self) -> u64 {
        self.width() as u64 * self.kind.elt_size_in_bytes() as u64
    }

    /// The kind and the width of a stream, and where it is to be.
    pub(super) fn layout(&self) -> (Kind, i64, Device) {
        (self.kind, self.width(), self.device)
    }

    /// The language model, where it is loaded.
    pub(super) fn model(&self) -> Option<&LanguageModel> {
        self.model.as_ref()
    }

    /// The text.
    pub(super) fn dataset(&self) -> &TokenizedDataset {
        &self.dataset
    }

    /// How many sequences at the end of the dataset are not trained on.
    pub(super) fn held_out(&self) -> u64 {
        self.held_out
    }

    /// Makes durable what has been kept so far.
    pub(super) fn settle(&mut self) {
        self.cache.settle();
    }

    /// Which activations the autoencoder of place number `at` is for, as SAELens says it.
    pub(super) fn provenance(&self, train: &Train, at: usize) -> Provenance {
        let streams = self.places.streams_of(at);
        let point = |stream: usize| self.streams.get(stream).copied();
        let hook = |stream| point(stream).map(HookPoint::name);
        let module = |stream| point(stream).map(|at| at.module_name(self.config.family));
        Provenance {
            model_name: train.model_name.clone(),
            hook_name: hook(streams.input).unwrap_or_default(),
            hf_hook_name: module(streams.input).unwrap_or_default(),
            hook_name_out: streams.target.and_then(hook),
            hf_hook_name_out: streams.target.and_then(module),
            context_size: self.dataset.context_length() as i64,
            prepend_bos: self.dataset.bos().is_some(),
        }
    }

    /// What identifies the activations of each stream.
    fn keys(&self, train: &Train, resources: &Resources) -> Vec<serde_json::Value> {
        let statistics = self.dataset.statistics();
        let keys = self.streams.iter().map(|point| {
            serde_json::json!({
                "place": point.name(),
                "model": super::activation_cache::files(Path::new(&train.model_path)),
                "dataset_sha256": statistics.sha256,
                "tokenizer_sha256": statistics.tokenizer_sha256,
                "kind": format!("{:?}", self.kind),
                "device": resources.device,
                "cpu_threads": resources.cpu_threads,
                "tokens_per_pass": TOKENS_PER_PASS,
                "trainer": env!("CARGO_PKG_VERSION"),
                "libtorch": crate::LIBTORCH_VERSION,
            })
        });
        keys.collect()
    }

    fn sequences_per_pass(&self) -> u64 {
        (TOKENS_PER_PASS / self.dataset.context_length().max(1) as u64).max(1)
    }

    fn sequences(&self, pass: u64) -> Vec<u64> {
        let first = pass * self.sequences_per_pass();
        let end = self.order.count().min(first + self.sequences_per_pass());
        (first..end).map(|at| self.order.at(at)).collect()
    }

    fn run(&mut self, pass: u64) -> Result<Vec<Tensor>, RunError> {
        let sequences = self.sequences(pass);
        let batch = self.dataset.batch(&sequences)?;
        let failed = |error| RunError::of_libtorch("reading activations", &error);
        let device = self.device;
        let text = batch
            .is_text
            .f_view([-1])
            .and_then(|is_text| is_text.f_nonzero()?.f_view([-1]))
            .map_err(failed)?;
        let rows = text.size1().map_err(failed)?;
        let mut streams: Vec<Option<Tensor>> = (0..self.streams.len())
            .map(|stream| self.cache.read(stream, pass, rows, self.layout()))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        let missing: Vec<HookPoint> = self
            .streams
            .iter()
            .zip(&streams)
            .filter(|(_, found)| found.is_none())
            .map(|(point, _)| *point)
            .collect();
        if !missing.is_empty() {
            let model = self.model.as_ref().ok_or_else(|| RunError::Internal {
                what: "activations that were kept are gone while they were used".into(),
            })?;
            let computed = model.activations(&batch.tokens, &missing)?;
            let chosen = text.f_to_device(device).map_err(failed)?;
            let width = self.config.hidden_size;
            let empty = streams.iter_mut().enumerate();
            for ((stream, slot), activations) in
                empty.filter(|(_, slot)| slot.is_none()).zip(&computed)
            {
                let rows = activations
                    .f_reshape([-1, width])
                    .and_then(|all| all.f_index_select(0, &chosen))
                    .map_err(failed)?;
                self.cache.keep(stream, pass, &rows);
                *slot = Some(rows);
            }
        }
        let streams: Vec<Tensor> = streams.into_iter().flatten().collect();
        let trained = self.order.count() - self.held_out;
        if sequences.iter().all(|sequence| *sequence < trained) {
            return Ok(streams);
        }
        // What is held out was read with the others; it is left out here.
        let without = || -> Result<Vec<Tensor>, tch::TchError> {
            let own: Vec<bool> = sequences.iter().map(|at| *at < trained).collect();
            let rows = Tensor::f_from_slice(&own)?
                .f_unsqueeze(1)?
                .f_expand_as(&batch.is_text)?
                .f_reshape([-1])?
                .f_index_select(0, &text)?
                .f_nonzero()?
                .f_view([-1])?
                .f_to_device(device)?;
            let left = streams.iter().map(|of| of.f_index_select(0, &rows));
            left.collect::<Result<_, _>>()
        };
        without().map_err(failed)
    }
}

/// How many sequences at the end of a dataset are not trained on.
fn held_out(train: &Train, dataset: &TokenizedDataset) -> u64 {
    let wanted = train
        .hyperparameters
        .evaluation_tokens
        .unwrap_or(EVALUATION_TOKENS);
    u64::from(wanted)
        .div_ceil(dataset.context_length().max(1) as u64)
        .min(dataset.num_sequences() / HELD_OUT_PART)
}

impl ActivationSource for ModelActivations {
    fn passes(&self) -> u64 {
        self.order.count().div_ceil(self.sequences_per_pass())
    }

    fn activations_per_pass(&self) -> u64 {
        self.sequences_per_pass() * self.dataset.context_length() as u64
    }

    fn read(&mut self, pass: u64) -> Result<Vec<Tensor>, ActivationError> {
        self.run(pass)
            .map_err(|error| ActivationError::Source(Box::new(error)))
    }
}
