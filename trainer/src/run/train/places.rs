//! Which places of the language model are trained, and which streams of activations that takes.

use crate::language_model::{HookPoint, Site};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_called_as_its_stream_is() {
        for hook in [Hook::Residual, Hook::Mlp, Hook::Attention] {
            let place = HookSite { layer: 5, hook };
            let places = Places {
                sites: vec![place],
                encoder_type: EncoderType::Sparse,
            };
            let names: Vec<String> = places.streams().into_iter().map(HookPoint::name).collect();
            assert_eq!(names, [place.name()]);
        }
    }

    #[test]
    fn a_transcoder_reads_what_its_mlp_reads() {
        let site = |layer| HookSite {
            layer,
            hook: Hook::Mlp,
        };
        let places = Places {
            sites: vec![site(4), site(2)],
            encoder_type: EncoderType::Transcoder,
        };
        let names: Vec<String> = places.streams().into_iter().map(HookPoint::name).collect();
        assert_eq!(
            names,
            [
                "blocks.4.mlp.hook_in",
                "blocks.4.hook_mlp_out",
                "blocks.2.mlp.hook_in",
                "blocks.2.hook_mlp_out"
            ]
        );
        assert_eq!(
            places.streams_of(1),
            Streams {
                input: 2,
                target: Some(3)
            }
        );
        assert_eq!(places.layers(), 5);
    }
}
