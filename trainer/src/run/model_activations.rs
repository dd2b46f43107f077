//! A language model reading a dataset, as a source of activations.

use super::failure::RunError;
use super::life::{Life, Next};
use crate::autoencoder::{
    activations::{ActivationError, ActivationSource},
    precision::product_kind,
    sae_lens::Provenance,
};
use crate::dataset::TokenizedDataset;
use crate::language_model::{HookPoint, LanguageModel, LoadOptions};
use std::ops::ControlFlow;
use std::path::Path;
use tch::{Device, Kind, Tensor};
use trainmaster_domain::run::spec::Train;

/// Tokens that the language model reads at once.
const TOKENS_PER_PASS: usize = 2_048;

/// The activations of one hook.
pub(super) struct ModelActivations {
    model: LanguageModel,
    dataset: TokenizedDataset,
    point: HookPoint,
}

impl ModelActivations {
    /// Opens what a training names.
    ///
    /// # Errors
    /// What is wrong with model or dataset, or that they do not fit each other.
    pub(super) fn open(train: &Train, device: Device, life: &Life) -> Result<Self, RunError> {
        let dataset = TokenizedDataset::open(Path::new(&train.tokenized_path))?;
        let path = Path::new(&train.model_path);
        let config = crate::language_model::Checkpoint::open(path)?
            .config()
            .clone();
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
        let layer = train
            .hyperparameters
            .layer
            .map_or(config.num_layers / 2, |layer| layer as usize);
        let kind = product_kind(train.hyperparameters.precision, device)
            .map_err(|error| RunError::of_libtorch("trying the device", &error))?;
        let options = LoadOptions {
            device,
            kind,
            layers: Some(layer + 1),
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
        Ok(Self {
            model: model?,
            dataset,
            point: HookPoint {
                layer,
                site: train.hyperparameters.hook.into(),
            },
        })
    }

    /// Which activations these are, as SAELens says it.
    pub(super) fn provenance(&self, train: &Train) -> Provenance {
        Provenance {
            model_name: train.model_name.clone(),
            hook_name: self.point.name(),
            hf_hook_name: self.point.module_name(self.model.config().family),
            hook_name_out: None,
            hf_hook_name_out: None,
            context_size: self.dataset.context_length() as i64,
            prepend_bos: self.dataset.bos().is_some(),
        }
    }

    fn run(&self, sequences: &[u64]) -> Result<Tensor, RunError> {
        let batch = self.dataset.batch(sequences)?;
        let device = self.model.device();
        let failed = |error| RunError::of_libtorch("reading activations", &error);
        let tokens = batch.tokens.f_to_device(device).map_err(failed)?;
        let hooked = self.model.activations(&tokens, &[self.point])?;
        let Some(activations) = hooked.first() else {
            return Err(RunError::Internal {
                what: "the language model returned no activations".into(),
            });
        };
        let width = self.model.config().hidden_size;
        let text_rows = || {
            let text = batch.is_text.f_view([-1])?.f_nonzero()?.f_view([-1])?;
            activations
                .f_reshape([-1, width])?
                .f_index_select(0, &text.f_to_device(device)?)?
                .f_to_kind(Kind::Float)
        };
        text_rows().map_err(failed)
    }
}

impl ActivationSource for ModelActivations {
    fn width(&self) -> i64 {
        self.model.config().hidden_size
    }

    fn sequences(&self) -> u64 {
        self.dataset.num_sequences()
    }

    fn activations_per_sequence(&self) -> u64 {
        self.dataset.context_length() as u64
    }

    fn sequences_per_pass(&self) -> usize {
        (TOKENS_PER_PASS / self.dataset.context_length().max(1)).max(1)
    }

    fn read(&mut self, sequences: &[u64]) -> Result<Tensor, ActivationError> {
        self.run(sequences)
            .map_err(|error| ActivationError::Source(Box::new(error)))
    }
}
