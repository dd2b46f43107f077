//! From a preset or a choice of features to an intervention that says all that a run needs to know.

use super::{FeatureChoice, GenerationRefusal, QueueGeneration};
use crate::commands::{CommandError, Commands};
use sqlx::FromRow;
use std::collections::{BTreeSet, HashMap};
use trainmaster_domain::{
    id::{ModelId, TrainingId},
    job::Intervention,
    kept::{Definition, KeptRefusal},
    preset::{KeptPreset, Preset},
    run::spec::SteeredFeature,
    training::Training,
};

/// As many names as a refusal lists.
const SOME: usize = 5;

/// What steers, before it is known which layers the model has.
pub(super) struct Steering {
    pub(super) training_id: TrainingId,
    /// The model that the training read.
    pub(super) model_id: ModelId,
    preset_id: Option<String>,
    /// The preset's.
    layer: Option<u32>,
    features: Vec<SteeredFeature>,
    /// Those that the features are of.
    layers: BTreeSet<i32>,
}

impl Steering {
    /// The intervention after the layer that was asked for, or else the preset's, or else the features'.
    pub(super) fn intervention(
        self,
        asked: Option<u32>,
    ) -> Result<Intervention, GenerationRefusal> {
        let of_features = || match self.layers.first() {
            Some(layer) if self.layers.len() == 1 => u32::try_from(*layer).ok(),
            _ => None,
        };
        let layer = asked.or(self.layer).or_else(of_features).ok_or_else(|| {
            GenerationRefusal::LayerNeeded {
                layers: self.layers.iter().copied().collect(),
            }
        })?;
        Ok(Intervention {
            training_id: self.training_id,
            preset_id: self.preset_id,
            layer,
            features: self.features,
        })
    }
}

/// A row of `features`.
#[derive(Clone, Copy, FromRow)]
struct Feature {
    id: i64,
    neuron_index: i32,
    layer: Option<i32>,
    max_activation_value: Option<f64>,
}

impl Commands {
    /// What a request steers by, if it does.
    pub(super) async fn steering(
        &self,
        command: &QueueGeneration,
    ) -> Result<Option<Steering>, CommandError> {
        let combination = |what| Err(GenerationRefusal::Combination(what).into());
        let (training, preset, choices) = match (&command.preset, &command.training) {
            (Some(_), _) if command.training.is_some() || !command.features.is_empty() => {
                return combination(
                    "a preset says which features steer; give `preset`, or `training` and `features`",
                );
            }
            (Some(given), _) => {
                let (id, kept) = self.resolve::<KeptPreset>(given, false).await?;
                let Some(preset) = kept.definition() else {
                    return Err(KeptRefusal::Absent(Preset::NOUN).into());
                };
                let layer = preset.intervention_layer;
                (
                    preset.training_id.to_string(),
                    Some((id, layer)),
                    choices(preset),
                )
            }
            (None, Some(training)) if !command.features.is_empty() => {
                (training.clone(), None, command.features.clone())
            }
            (None, Some(_)) => {
                return combination("say which of the training's features steer: `features`");
            }
            (None, None) if !command.features.is_empty() => {
                return combination("say whose features these are: `training`");
            }
            (None, None) if command.layer.is_some() => {
                return combination(
                    "`layer` is where features steer; give a `preset`, or `training` and `features`",
                );
            }
            (None, None) => return Ok(None),
        };
        let (training_id, state) = self.resolve::<Training>(&training, false).await?;
        if state.segmentation().is_some() {
            return Err(CommandError::OfImages(training_id));
        }
        let (Some(definition), Some(_)) = (state.definition(), state.result()) else {
            return Err(GenerationRefusal::NoAutoencoder {
                training: training_id,
                status: state.status().as_str(),
            }
            .into());
        };
        let found = self.chosen(&training_id, &choices).await?;
        Ok(Some(Steering {
            model_id: definition.model_id.clone(),
            training_id: TrainingId::new(training_id)?,
            layer: preset.as_ref().map(|(_, layer)| *layer),
            preset_id: preset.map(|(id, _)| id),
            layers: found
                .iter()
                .filter_map(|(feature, _)| feature.layer)
                .collect(),
            features: steered(&found)?,
        }))
    }

    /// The features that are chosen, in their order, with their coefficients.
    async fn chosen(
        &self,
        training_id: &str,
        choices: &[FeatureChoice],
    ) -> Result<Vec<(Feature, f64)>, CommandError> {
        let mut wanted = Vec::with_capacity(choices.len());
        for choice in choices {
            wanted.push(match (choice.feature_id, choice.neuron_index) {
                (Some(id), None) => Wanted::Id(id),
                (None, Some(latent)) => Wanted::Latent(latent),
                _ => {
                    return Err(GenerationRefusal::Combination(
                        "each feature is named by its `feature_id` or by its `neuron_index`",
                    )
                    .into());
                }
            });
        }
        let ids: Vec<i64> = wanted.iter().filter_map(Wanted::id).collect();
        let latents: Vec<i64> = wanted.iter().filter_map(Wanted::latent).collect();
        let rows: Vec<Feature> = sqlx::query_as(
            "SELECT id, neuron_index, layer, max_activation_value
               FROM mistudio.features
              WHERE training_id = $1 AND id = ANY ($2)
              UNION
             SELECT id, neuron_index, layer, max_activation_value
               FROM mistudio.features
              WHERE training_id = $1 AND neuron_index = ANY ($3)",
        )
        .bind(training_id)
        .bind(&ids)
        .bind(&latents)
        .fetch_all(self.pool())
        .await
        .map_err(|source| CommandError::ReadModel {
            attempt: format!("the features of training {training_id}"),
            source,
        })?;
        let by_id: HashMap<i64, &Feature> = rows.iter().map(|row| (row.id, row)).collect();
        let by_latent: HashMap<i64, &Feature> = rows
            .iter()
            .map(|row| (i64::from(row.neuron_index), row))
            .collect();
        let mut found = Vec::with_capacity(choices.len());
        let mut missing: HashMap<&'static str, Vec<i64>> = HashMap::new();
        for (wanted, choice) in wanted.iter().zip(choices) {
            let row = match wanted {
                Wanted::Id(id) => by_id.get(id),
                Wanted::Latent(latent) => by_latent.get(latent),
            };
            match row {
                Some(row) => found.push((**row, choice.coefficient)),
                None => missing
                    .entry(wanted.what())
                    .or_default()
                    .push(wanted.number()),
            }
        }
        match missing.into_iter().next() {
            None => Ok(found),
            Some((what, mut missing)) => {
                missing.truncate(SOME);
                Err(GenerationRefusal::UnknownFeatures {
                    training: training_id.to_owned(),
                    what,
                    missing,
                }
                .into())
            }
        }
    }
}

/// How a feature was named.
enum Wanted {
    Id(i64),
    Latent(i64),
}

impl Wanted {
    const fn id(&self) -> Option<i64> {
        match self {
            Self::Id(id) => Some(*id),
            Self::Latent(_) => None,
        }
    }
    const fn latent(&self) -> Option<i64> {
        match self {
            Self::Latent(latent) => Some(*latent),
            Self::Id(_) => None,
        }
    }
    const fn number(&self) -> i64 {
        match self {
            Self::Id(number) | Self::Latent(number) => *number,
        }
    }
    const fn what(&self) -> &'static str {
        match self {
            Self::Id(_) => "feature",
            Self::Latent(_) => "latent",
        }
    }
}

fn choices(preset: &Preset) -> Vec<FeatureChoice> {
    let chosen = preset.features.iter().map(|feature| FeatureChoice {
        feature_id: Some(feature.feature_id),
        neuron_index: None,
        coefficient: feature.coefficient,
    });
    chosen.collect()
}

fn steered(found: &[(Feature, f64)]) -> Result<Vec<SteeredFeature>, GenerationRefusal> {
    let unknown: Vec<i64> = found
        .iter()
        .filter(|(feature, _)| feature.max_activation_value.is_none())
        .map(|(feature, _)| feature.id)
        .take(SOME)
        .collect();
    if !unknown.is_empty() {
        return Err(GenerationRefusal::NoMaximum { features: unknown });
    }
    Ok(found
        .iter()
        .filter_map(|(feature, coefficient)| {
            Some(SteeredFeature {
                feature_id: feature.id,
                neuron_index: i64::from(feature.neuron_index),
                coefficient: *coefficient,
                max_activation: feature.max_activation_value?,
            })
        })
        .collect())
}
