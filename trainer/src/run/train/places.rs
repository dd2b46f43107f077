//! Which places of the language model are trained, and which streams of activations that takes.

use crate::language_model::{Family, HookPoint, Site};
use crate::run::failure::RunError;
use trainmaster_domain::hyperparameters::{Hook, HookSite};
use trainmaster_domain::run::spec::Train;
use trainmaster_domain::training::EncoderType;

/// The places of a training.
#[derive(Clone, Debug)]
pub(in crate::run) struct Places {
    /// Each gets an autoencoder of its own.
    pub sites: Vec<HookSite>,
    /// Of this kind.
    pub encoder_type: EncoderType,
}

/// The streams that one autoencoder needs, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) struct Streams {
    /// What it reads.
    pub input: usize,
    /// What it is to write, where that is something else.
    pub target: Option<usize>,
}

impl Places {
    /// Those that a spec names, in a model of so many layers.
    ///
    /// # Errors
    /// [`RunError::Unsupported`] for an encoder type that does not exist, or one that is not for these places.
    pub(in crate::run) fn of(train: &Train, num_layers: usize) -> Result<Self, RunError> {
        let encoder_type = [
            EncoderType::Sparse,
            EncoderType::Skip,
            EncoderType::Transcoder,
        ]
        .into_iter()
        .find(|known| known.as_str() == train.encoder_type)
        .ok_or_else(|| RunError::Unsupported {
            what: format!(
                "there is no encoder type {:?}; \"sparse\", \"skip\" and \"transcoder\" can be trained",
                train.encoder_type
            ),
        })?;
        let sites = train
            .hyperparameters
            .sites(u32::try_from(num_layers).unwrap_or(u32::MAX));
        if encoder_type != EncoderType::Sparse && sites.iter().any(|site| site.hook != Hook::Mlp) {
            return Err(RunError::Unsupported {
                what: format!(
                    "encoder type {:?} learns what an MLP makes of what it reads: give it the hook \"mlp\"",
                    train.encoder_type
                ),
            });
        }
        Ok(Self {
            sites,
            encoder_type,
        })
    }

    fn is_transcoder(&self) -> bool {
        self.encoder_type != EncoderType::Sparse
    }

    /// Where each stream is read.
    pub(in crate::run) fn streams(&self) -> Vec<HookPoint> {
        let points = self.sites.iter().flat_map(|place| {
            let point = |site| HookPoint {
                layer: place.layer as usize,
                site,
            };
            let input = self.is_transcoder().then(|| point(Site::MlpInput));
            input.into_iter().chain([point(place.hook.into())])
        });
        points.collect()
    }

    /// The streams of the autoencoder of place number `at`.
    pub(in crate::run) fn streams_of(&self, at: usize) -> Streams {
        if self.is_transcoder() {
            Streams {
                input: 2 * at,
                target: Some(2 * at + 1),
            }
        } else {
            Streams {
                input: at,
                target: None,
            }
        }
    }

    /// Layers of the language model that are needed.
    pub(in crate::run) fn layers(&self) -> usize {
        let deepest = self.sites.iter().map(|site| site.layer).max();
        deepest.map_or(0, |layer| layer as usize + 1)
    }
}

/// A place in TransformerLens's words.
pub(in crate::run) fn hook_name(point: HookPoint) -> String {
    let hook = match point.site {
        Site::Residual => "hook_resid_post",
        Site::MlpOutput => "hook_mlp_out",
        Site::MlpInput => "mlp.hook_in",
        Site::AttentionOutput => "hook_attn_out",
    };
    format!("blocks.{}.{hook}", point.layer)
}

/// The module of transformers whose output (of [`Site::MlpInput`] whose input) a place is.
pub(in crate::run) fn module_name(family: Family, point: HookPoint) -> String {
    let (layers, attention) = match family {
        Family::Llama | Family::Phi => ("model.layers", "self_attn"),
        Family::Gpt2 => ("transformer.h", "attn"),
        Family::GptNeox => ("gpt_neox.layers", "attention"),
    };
    let layer = format!("{layers}.{}", point.layer);
    match point.site {
        Site::Residual => layer,
        Site::MlpInput | Site::MlpOutput => format!("{layer}.mlp"),
        Site::AttentionOutput => format!("{layer}.{attention}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_called_as_transformer_lens_and_transformers_call_them() {
        for (family, site, hook, module) in [
            (
                Family::Llama,
                Site::Residual,
                "hook_resid_post",
                "model.layers.3",
            ),
            (
                Family::Llama,
                Site::AttentionOutput,
                "hook_attn_out",
                "model.layers.3.self_attn",
            ),
            (
                Family::Gpt2,
                Site::MlpOutput,
                "hook_mlp_out",
                "transformer.h.3.mlp",
            ),
            (
                Family::Gpt2,
                Site::AttentionOutput,
                "hook_attn_out",
                "transformer.h.3.attn",
            ),
            (
                Family::GptNeox,
                Site::MlpInput,
                "mlp.hook_in",
                "gpt_neox.layers.3.mlp",
            ),
            (
                Family::GptNeox,
                Site::AttentionOutput,
                "hook_attn_out",
                "gpt_neox.layers.3.attention",
            ),
            (
                Family::Phi,
                Site::MlpOutput,
                "hook_mlp_out",
                "model.layers.3.mlp",
            ),
        ] {
            let point = HookPoint { layer: 3, site };
            assert_eq!(hook_name(point), format!("blocks.3.{hook}"));
            assert_eq!(module_name(family, point), module);
        }
        for hook in [Hook::Residual, Hook::Mlp, Hook::Attention] {
            let place = HookSite { layer: 5, hook };
            let point = HookPoint {
                layer: 5,
                site: hook.into(),
            };
            assert_eq!(place.name(), hook_name(point));
        }
    }
}
