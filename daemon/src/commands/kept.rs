//! Templates and presets: made, changed, marked, deleted. What they refer to must be there.

use super::{Accepted, Caller, CommandError, Commands, caller::digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trainmaster_domain::{
    dataset::Dataset,
    extraction_template::{DEFAULT_TOP_K_EXAMPLES, ExtractionTemplate},
    hyperparameters::Hook,
    id::{
        DatasetId, ExtractionTemplateId, InvalidId, ModelId, PresetId, TrainingId,
        TrainingTemplateId,
    },
    kept::{Definition, Kept, KeptCommand},
    model::Model,
    preset::{Preset, PresetFeature},
    training::{EncoderType, Training},
    training_template::TrainingTemplate,
};
use utoipa::ToSchema;

/// A way to train that is to be kept.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTrainingTemplate {
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The model that it is tuned for: an id, or a name that only one has; else any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The dataset that it is tuned for: an id, or a name that only one has; else any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Which kind of autoencoder.
    #[serde(default = "super::queue_training::sparse")]
    #[schema(value_type = String, pattern = "^(sparse|skip|transcoder)$", default = "sparse")]
    pub encoder_type: EncoderType,
    /// How. What is not given is as in `GET /v1/hyperparameters`.
    #[serde(default)]
    #[schema(value_type = Option<crate::http::schema::Hyperparameters>)]
    pub hyperparameters: Map<String, Value>,
}

/// A way to extract features that is to be kept.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateExtractionTemplate {
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Layers of the language model, counted from 0, each once.
    pub layers: Vec<u32>,
    /// Where in them: `residual`, `mlp`, `attention`; else `residual` alone.
    #[serde(default = "residual")]
    #[schema(value_type = Vec<String>)]
    pub hook_types: Vec<Hook>,
    /// Packed sequences to read; else all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub max_samples: Option<u32>,
    /// Strongest examples that are kept of each feature; else 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10_000)]
    pub top_k_examples: Option<u32>,
}

fn residual() -> Vec<Hook> {
    vec![Hook::Residual]
}

/// A way to steer that is to be kept.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePreset {
    /// The training whose features steer: its id.
    pub training: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Which features, how strongly: `coefficient` −300 to 300, in units of the feature's maximum.
    #[schema(value_type = Vec<Object>)]
    pub features: Vec<PresetFeature>,
    /// The layer at which the residual stream is changed, counted from 0.
    pub intervention_layer: u32,
}

/// A kind of thing that is kept, as requests address it.
pub trait Addressed: Definition {
    /// The collection of the HTTP interface, and the route that idempotency keys belong to.
    const COLLECTION: &'static str;

    /// A fresh id.
    ///
    /// # Errors
    /// [`InvalidId`] when `unique` holds what an id may not.
    fn mint(unique: &str) -> Result<String, InvalidId>;
}

impl Addressed for TrainingTemplate {
    const COLLECTION: &'static str = "training-templates";
    fn mint(unique: &str) -> Result<String, InvalidId> {
        TrainingTemplateId::mint(unique).map(String::from)
    }
}

impl Addressed for ExtractionTemplate {
    const COLLECTION: &'static str = "extraction-templates";
    fn mint(unique: &str) -> Result<String, InvalidId> {
        ExtractionTemplateId::mint(unique).map(String::from)
    }
}

impl Addressed for Preset {
    const COLLECTION: &'static str = "presets";
    fn mint(unique: &str) -> Result<String, InvalidId> {
        PresetId::mint(unique).map(String::from)
    }
}

impl Commands {
    /// Keeps a way to train.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn create_training_template(
        &self,
        command: CreateTrainingTemplate,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        let content = digest(&command)?;
        if let Some(before) = self
            .kept_before::<TrainingTemplate>(caller, &content)
            .await?
        {
            return Ok(before);
        }
        let hyperparameters = super::queue_training::complete(None, &command.hyperparameters)?;
        let model_id = match &command.model {
            Some(given) => Some(ModelId::new(self.resolve::<Model>(given, false).await?.0)?),
            None => None,
        };
        let dataset_id = match &command.dataset {
            Some(given) => Some(DatasetId::new(
                self.resolve::<Dataset>(given, false).await?.0,
            )?),
            None => None,
        };
        let template = TrainingTemplate {
            name: command.name,
            description: command.description,
            model_id,
            dataset_id,
            encoder_type: command.encoder_type,
            hyperparameters,
        };
        self.keep(template, caller, &content).await
    }

    /// Keeps a way to extract features.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn create_extraction_template(
        &self,
        command: CreateExtractionTemplate,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        let content = digest(&command)?;
        if let Some(before) = self
            .kept_before::<ExtractionTemplate>(caller, &content)
            .await?
        {
            return Ok(before);
        }
        let template = ExtractionTemplate {
            name: command.name,
            description: command.description,
            layers: command.layers,
            hook_types: command.hook_types,
            max_samples: command.max_samples,
            top_k_examples: command.top_k_examples.unwrap_or(DEFAULT_TOP_K_EXAMPLES),
        };
        self.keep(template, caller, &content).await
    }

    /// Keeps a way to steer.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn create_preset(
        &self,
        command: CreatePreset,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        let content = digest(&command)?;
        if let Some(before) = self.kept_before::<Preset>(caller, &content).await? {
            return Ok(before);
        }
        let (training_id, training) = self.resolve::<Training>(&command.training, false).await?;
        self.features_of(&training_id, &command.features).await?;
        self.layer_of(&training, command.intervention_layer).await?;
        let preset = Preset {
            training_id: TrainingId::new(training_id)?,
            name: command.name,
            description: command.description,
            features: command.features,
            intervention_layer: command.intervention_layer,
        };
        self.keep(preset, caller, &content).await
    }

    /// Changes a training template: a merge patch of `name`, `description`, `model`, `dataset`, `encoder_type`, `hyperparameters` and
    /// `is_favorite`.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn update_training_template(
        &self,
        id: &str,
        mut patch: Map<String, Value>,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        let content = digest(&patch)?;
        for field in ["model_id", "dataset_id"] {
            if patch.contains_key(field) {
                return Err(CommandError::Invalid {
                    field,
                    problem: "say model or dataset, by id or name".to_owned(),
                });
            }
        }
        if let Some(given) = reference(&mut patch, "model")? {
            let id = match given {
                Some(given) => Value::String(self.resolve::<Model>(&given, false).await?.0),
                None => Value::Null,
            };
            patch.insert("model_id".to_owned(), id);
        }
        if let Some(given) = reference(&mut patch, "dataset")? {
            let id = match given {
                Some(given) => Value::String(self.resolve::<Dataset>(&given, false).await?.0),
                None => Value::Null,
            };
            patch.insert("dataset_id".to_owned(), id);
        }
        self.change::<TrainingTemplate>(id, patch, caller, &content)
            .await
    }

    /// Changes an extraction template: a merge patch of its fields and `is_favorite`.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn update_extraction_template(
        &self,
        id: &str,
        patch: Map<String, Value>,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        let content = digest(&patch)?;
        self.change::<ExtractionTemplate>(id, patch, caller, &content)
            .await
    }

    /// Changes a preset: a merge patch of `name`, `description`, `features` and `intervention_layer`.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn update_preset(
        &self,
        id: &str,
        patch: Map<String, Value>,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        let content = digest(&patch)?;
        for field in ["training", "training_id"] {
            if patch.contains_key(field) {
                return Err(CommandError::Invalid {
                    field: "training",
                    problem: "a preset stays with its training; make another one".to_owned(),
                });
            }
        }
        let (_, kept) = self.resolve::<Kept<Preset>>(id, true).await?;
        if let Some(preset) = kept.definition() {
            let training_id = preset.training_id.as_str();
            let (_, training) = self.resolve::<Training>(training_id, false).await?;
            if let Some(features) = patch.get("features") {
                let features: Vec<PresetFeature> = serde_json::from_value(features.clone())
                    .map_err(|error| CommandError::Invalid {
                        field: "features",
                        problem: error.to_string(),
                    })?;
                self.features_of(training_id, &features).await?;
            }
            if let Some(layer) = patch
                .get("intervention_layer")
                .and_then(Value::as_u64)
                .and_then(|layer| u32::try_from(layer).ok())
            {
                self.layer_of(&training, layer).await?;
            }
        }
        self.change::<Preset>(id, patch, caller, &content).await
    }

    /// Deletes a template or preset.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn delete_kept<D: Addressed>(
        &self,
        id: &str,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        let route = format!("{}/{id}/delete", D::COLLECTION);
        self.execute::<Kept<D>>(id, KeptCommand::Delete, caller, &route, None)
            .await
    }

    async fn keep<D: Addressed>(
        &self,
        definition: D,
        caller: &Caller,
        content: &str,
    ) -> Result<Accepted, CommandError> {
        let id = D::mint(&caller.identity(D::COLLECTION))?;
        let create = KeptCommand::Create(Box::new(definition));
        self.execute::<Kept<D>>(&id, create, caller, D::COLLECTION, Some(content))
            .await
    }

    async fn kept_before<D: Addressed>(
        &self,
        caller: &Caller,
        content: &str,
    ) -> Result<Option<Accepted>, CommandError> {
        let id = D::mint(&caller.identity(D::COLLECTION))?;
        self.registered_before::<Kept<D>>(&id, caller, D::COLLECTION, content)
            .await
    }

    async fn change<D: Addressed>(
        &self,
        id: &str,
        mut patch: Map<String, Value>,
        caller: &Caller,
        content: &str,
    ) -> Result<Accepted, CommandError> {
        let is_favorite = match patch.remove("is_favorite") {
            None => None,
            Some(Value::Bool(mark)) => Some(mark),
            Some(_) => {
                return Err(CommandError::Invalid {
                    field: "is_favorite",
                    problem: "it must be true or false".to_owned(),
                });
            }
        };
        let route = format!("{}/{id}/update", D::COLLECTION);
        let update = KeptCommand::Update { patch, is_favorite };
        self.execute::<Kept<D>>(id, update, caller, &route, Some(content))
            .await
    }

    /// Each must be a feature of the training, as extractions have found them.
    async fn features_of(
        &self,
        training_id: &str,
        features: &[PresetFeature],
    ) -> Result<(), CommandError> {
        let ids: Vec<i64> = features.iter().map(|feature| feature.feature_id).collect();
        let (has_features, strangers): (bool, Vec<i64>) = sqlx::query_as(
            "SELECT EXISTS (SELECT FROM mistudio.features WHERE training_id = $1),
                    ARRAY (SELECT id FROM unnest($2::bigint[]) AS id
                            WHERE NOT EXISTS (SELECT FROM mistudio.features f WHERE f.id = id.id AND f.training_id = $1)
                            LIMIT 5)",
        )
        .bind(training_id)
        .bind(&ids)
        .fetch_one(&self.pool)
        .await
        .map_err(|source| CommandError::ReadModel {
            attempt: format!("the features of training {training_id}"),
            source,
        })?;
        if !has_features {
            return Err(CommandError::NoFeatures(training_id.to_owned()));
        }
        if strangers.is_empty() {
            return Ok(());
        }
        Err(CommandError::ForeignFeatures {
            training: training_id.to_owned(),
            features: strangers,
        })
    }

    /// The layer must be one of the training's model, once that has been looked at.
    async fn layer_of(&self, training: &Training, layer: u32) -> Result<(), CommandError> {
        let Some(definition) = training.definition() else {
            return Ok(());
        };
        let model = definition.model_id.as_str();
        match self.layers(model).await? {
            Some(layers) if u64::from(layer) >= layers => Err(CommandError::Layer {
                layer,
                model: model.to_owned(),
                last: layers.saturating_sub(1),
            }),
            _ => Ok(()),
        }
    }
}

/// What a patch says of a reference: nothing, none, or an id or name.
fn reference(
    patch: &mut Map<String, Value>,
    field: &'static str,
) -> Result<Option<Option<String>>, CommandError> {
    match patch.remove(field) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(Value::String(text)) => Ok(Some(Some(text))),
        Some(_) => Err(CommandError::Invalid {
            field,
            problem: "it must be an id, a name or null".to_owned(),
        }),
    }
}
