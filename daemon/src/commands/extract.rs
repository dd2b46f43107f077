//! The features of a training are wanted.

use super::{Accepted, Caller, CommandError, Commands, ResolveError, caller::digest};
use serde::{Deserialize, Serialize};
use trainmaster_domain::{
    Category,
    dataset::Dataset,
    extraction_template::{DEFAULT_TOP_K_EXAMPLES, ExtractionTemplate, KeptExtractionTemplate},
    hyperparameters::{Hook, HookSite},
    id::{DatasetId, JobId, TrainingId},
    job::{Extraction, Job, JobCommand, JobWork, Queued},
    slurm::Placement,
    training::Training,
};
use utoipa::ToSchema;

/// Packed sequences, when nothing is said of them.
const SAMPLES: u64 = 10_000;
/// Tokens on either side, when nothing is said of them.
const CONTEXT_TOKENS: u32 = 25;
/// Below this a latent is no feature, when nothing is said of it.
const MINIMUM_FREQUENCY: f64 = 0.001;

/// An extraction that somebody wants.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Extract {
    /// The training whose autoencoders are looked at.
    pub training: String,
    /// On which text: a dataset's id or name; else the training's.
    #[serde(default)]
    pub dataset: Option<String>,
    /// An extraction template's id or name: its layers, hook types, samples and examples hold where nothing else is said.
    #[serde(default)]
    pub template: Option<String>,
    /// Only autoencoders of these layers; else all.
    #[serde(default)]
    pub layers: Option<Vec<u32>>,
    /// Only autoencoders of these hooks, `residual`, `mlp` or `attention`; else all.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    pub hook_types: Option<Vec<Hook>>,
    /// Packed sequences to read; else 10,000.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub max_samples: Option<u64>,
    /// Strongest examples to keep of each feature; else 100.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 10_000)]
    pub top_k_examples: Option<u32>,
    /// Tokens on either side of an example's strongest token; else 25.
    #[serde(default)]
    #[schema(maximum = 1_000)]
    pub context_tokens: Option<u32>,
    /// Latents that are active on a smaller fraction of tokens are not features; else 0.001.
    #[serde(default)]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub minimum_frequency: Option<f64>,
    /// On which cluster, with which resources; else on the daemon's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::http::schema::Placement>)]
    pub placement: Option<Placement>,
}

const ROUTE: &str = "extractions";

impl Commands {
    /// Queues an extraction: a job.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn extract(
        &self,
        command: Extract,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        let content = digest(&command)?;
        let id = JobId::mint(&caller.identity(ROUTE))?;
        if let Some(before) = self
            .registered_before::<Job>(id.as_str(), caller, ROUTE, &content)
            .await?
        {
            return Ok(before);
        }
        let placement = self.placed(command.placement.clone())?;
        let (training_id, training) = self.resolve::<Training>(&command.training, false).await?;
        if training.segmentation().is_some() {
            return Err(CommandError::OfImages(training_id));
        }
        let (Some(definition), Some(_)) = (training.definition(), training.result()) else {
            return Err(CommandError::NoResult {
                training: training_id,
                status: training.status().as_str(),
            });
        };
        let dataset = command
            .dataset
            .as_deref()
            .unwrap_or(definition.dataset_id.as_str());
        let dataset_id = self
            .ready_dataset(dataset, definition.model_id.as_str())
            .await?;
        let template = match &command.template {
            Some(template) => Some(self.extraction_template(template).await?),
            None => None,
        };
        let template = template.as_ref();
        let layers = command
            .layers
            .or_else(|| template.map(|template| template.layers.clone()));
        let hook_types = command
            .hook_types
            .or_else(|| template.map(|template| template.hook_types.clone()));
        let depth = self.layers(definition.model_id.as_str()).await?;
        let sites = definition.hyperparameters.sites(
            depth
                .and_then(|depth| u32::try_from(depth).ok())
                .unwrap_or(0),
        );
        has_site(
            &training_id,
            &sites,
            layers.as_deref(),
            hook_types.as_deref(),
        )?;
        let (first_feature_id, latents) = self.feature_block(&training_id, sites.len()).await?;
        let extraction = Extraction {
            training_id: TrainingId::new(training_id)?,
            dataset_id: DatasetId::new(dataset_id)?,
            layers,
            hook_types,
            max_samples: match (command.max_samples, template) {
                (Some(samples), _) => Some(samples),
                (None, Some(template)) => template.max_samples.map(u64::from),
                (None, None) => Some(SAMPLES),
            },
            top_k_examples: command
                .top_k_examples
                .or_else(|| template.map(|template| template.top_k_examples))
                .unwrap_or(DEFAULT_TOP_K_EXAMPLES),
            context_tokens: command.context_tokens.unwrap_or(CONTEXT_TOKENS),
            minimum_frequency: command.minimum_frequency.unwrap_or(MINIMUM_FREQUENCY),
            first_feature_id,
            latents,
        };
        let queue = JobCommand::Queue(Queued {
            work: JobWork::Extraction(extraction),
            placement,
        });
        self.execute::<Job>(id.as_str(), queue, caller, ROUTE, Some(&content))
            .await
    }

    /// A dataset that a run can read now, tokenised for a model.
    async fn ready_dataset(&self, given: &str, model_id: &str) -> Result<String, CommandError> {
        let (id, dataset) = self.resolve::<Dataset>(given, false).await?;
        if dataset.tokenized_for(model_id).is_some() {
            return Ok(id);
        }
        match dataset.tokenizer() {
            Some(tokenizer) if tokenizer.as_str() != model_id => Err(CommandError::Tokenizer {
                dataset: id,
                tokenizer_model: tokenizer.to_string(),
                model: model_id.to_owned(),
            }),
            _ => Err(CommandError::DatasetNotReady {
                dataset: id,
                status: dataset.status().as_str(),
            }),
        }
    }

    async fn extraction_template(&self, given: &str) -> Result<ExtractionTemplate, CommandError> {
        let (id, kept) = self.resolve::<KeptExtractionTemplate>(given, false).await?;
        kept.definition().cloned().ok_or(CommandError::Deleted {
            category: Category::ExtractionTemplate,
            id,
            addressed: false,
        })
    }

    /// The ids of a training's features: those of its earlier extractions, or new ones.
    async fn feature_block(
        &self,
        training_id: &str,
        sites: usize,
    ) -> Result<(i64, i64), CommandError> {
        let failed = |source| CommandError::ReadModel {
            attempt: format!("the latents of training {training_id}"),
            source,
        };
        let width: Option<i64> = sqlx::query_scalar(include_str!("extract/latents.sql"))
            .bind(training_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?
            .flatten();
        let Some(width) = width.filter(|width| *width > 0) else {
            return Err(ResolveError::Unknown {
                category: Category::Training,
                given: training_id.to_owned(),
                addressed: false,
            }
            .into());
        };
        let latents = width.saturating_mul(i64::try_from(sites).unwrap_or(i64::MAX));
        let known: Option<i64> = sqlx::query_scalar(include_str!("extract/block.sql"))
            .bind(training_id)
            .bind(latents)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        let first = match known {
            Some(first) => first,
            None => sqlx::query_scalar("SELECT log.reserve_features($1)")
                .bind(latents)
                .fetch_one(&self.pool)
                .await
                .map_err(failed)?,
        };
        Ok((first, latents))
    }
}

/// Refuses an extraction that would look at nothing.
fn has_site(
    training_id: &str,
    sites: &[HookSite],
    layers: Option<&[u32]>,
    hook_types: Option<&[Hook]>,
) -> Result<(), CommandError> {
    let matches = |site: &&HookSite| {
        layers.is_none_or(|layers| layers.contains(&site.layer))
            && hook_types.is_none_or(|hooks| hooks.contains(&site.hook))
    };
    if sites.iter().any(|site| matches(&site)) {
        return Ok(());
    }
    Err(CommandError::NoSuchSite {
        training: training_id.to_owned(),
        has: sites
            .iter()
            .map(|site| format!("layer {} {}", site.layer, name(site.hook)))
            .collect(),
    })
}

const fn name(hook: Hook) -> &'static str {
    match hook {
        Hook::Residual => "residual",
        Hook::Mlp => "mlp",
        Hook::Attention => "attention",
    }
}
