//! The direction of a steering, from the autoencoders of a training's result.

use crate::autoencoder::Autoencoder;
use crate::generation::SteeringVector;
use crate::language_model::LanguageModel;
use crate::run::failure::RunError;
use crate::run::{Run, durable};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::{Device, Tensor};
use trainmaster_domain::hyperparameters::{Hook, HookSite};
use trainmaster_domain::run::spec::{SteeredFeature, Steering};

/// `Σ coefficient · max_activation · W_dec[latent]` of a steering. Memory: one autoencoder at a time.
///
/// # Errors
/// [`RunError`]: the result is not the one that was announced, or does not fit the model or the features.
pub(super) fn vector(
    run: &Run,
    steering: &Steering,
    model: &LanguageModel,
) -> Result<SteeringVector, RunError> {
    let config = model.config();
    let layer = steering.layer as usize;
    if layer >= config.num_layers {
        return Err(RunError::ShapeMismatch {
            what: format!(
                "layer {layer} is not one of the model's: it has layers 0 to {}",
                config.num_layers - 1
            ),
        });
    }
    let directory = Path::new(&steering.autoencoder_path);
    durable::expect(directory, &steering.autoencoder_sha256)?;
    let mut vector = SteeringVector::new(layer, config.hidden_size, model.device())?;
    let latents = Autoencoder::load(&of_site(steering, 0), Device::Cpu)?
        .w_dec
        .size2()
        .map_err(|error| RunError::of_libtorch("reading a decoder", &error))?
        .0;
    for (site, features) in by_site(steering, latents)? {
        run.life.progress();
        let decoder = Autoencoder::load(&of_site(steering, site), Device::Cpu)?.w_dec;
        for (row, feature) in features {
            vector.add(
                feature.coefficient * feature.max_activation,
                &direction(&decoder, row, config.hidden_size, feature)?,
            )?;
        }
    }
    Ok(vector)
}

/// Rows of a decoder and their features, by the number of their site.
type BySite<'a> = BTreeMap<usize, Vec<(i64, &'a SteeredFeature)>>;

/// Features and their rows, by the number of their site: latents are counted through the sites, of which each has `latents`.
fn by_site(steering: &Steering, latents: i64) -> Result<BySite<'_>, RunError> {
    let mut found = BySite::new();
    for feature in &steering.features {
        let site = usize::try_from(feature.neuron_index.div_euclid(latents)).ok();
        match site.filter(|site| *site < steering.sites.len()) {
            Some(site) => found
                .entry(site)
                .or_default()
                .push((feature.neuron_index.rem_euclid(latents), feature)),
            None => {
                return Err(RunError::ShapeMismatch {
                    what: format!(
                        "feature {} is latent {}, and the training has {} autoencoders of {latents} latents: extract its features again",
                        feature.feature_id,
                        feature.neuron_index,
                        steering.sites.len()
                    ),
                });
            }
        }
    }
    Ok(found)
}

fn direction(
    decoder: &Tensor,
    row: i64,
    width: i64,
    feature: &SteeredFeature,
) -> Result<Tensor, RunError> {
    let direction = decoder
        .f_get(row)
        .map_err(|error| RunError::of_libtorch("reading a decoder", &error))?;
    if direction.size() == [width] {
        return Ok(direction);
    }
    Err(RunError::ShapeMismatch {
        what: format!(
            "feature {} writes {} numbers, and the model's residual stream is {width} wide: steer the model that the training read",
            feature.feature_id,
            direction.numel()
        ),
    })
}

/// The directory of a site's autoencoder: the result itself, where there is one only.
fn of_site(steering: &Steering, site: usize) -> PathBuf {
    let result = Path::new(&steering.autoencoder_path);
    match steering.sites.get(site) {
        Some(site) if steering.sites.len() > 1 => names(site)
            .map(|name| result.join(name))
            .into_iter()
            .reduce(|usual, other| if usual.exists() { usual } else { other })
            .unwrap_or_default(),
        _ => result.to_owned(),
    }
}

/// What a site is called in SAELens: the hook of an autoencoder, and the one that a transcoder reads.
fn names(site: &HookSite) -> [String; 2] {
    let (usual, of_transcoder) = match site.hook {
        Hook::Residual => ("hook_resid_post", "hook_resid_post"),
        Hook::Mlp => ("hook_mlp_out", "mlp.hook_in"),
        Hook::Attention => ("hook_attn_out", "hook_attn_out"),
    };
    [usual, of_transcoder].map(|hook| format!("blocks.{}.{hook}", site.layer))
}
