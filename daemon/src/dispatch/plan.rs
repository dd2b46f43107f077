//! What a run of a dataset, model or training would have to do, and whether what it needs is ready.

use super::DispatchOptions;
use crate::log::{Log, LogError};
use std::path::Path;
use trainmaster_domain::{
    Category, Lease, StreamId,
    attempt::Attempts,
    cross_validation::CrossValidation,
    dataset::Dataset,
    hyperparameters::{HookSite, Hyperparameters},
    id::TrainingId,
    job::{Extraction, Generation, Job, JobStatus, JobWork, Prediction},
    model::{Model, ModelStatus},
    run::{
        control::Request,
        spec::{
            self, ActivationCache, Extract, Generate, ImportAutoencoder, InspectModel,
            PredictSegmentation, PrepareDataset, ResumeFrom, Steering, Train, TrainSegmentation,
        },
    },
    slurm::Placement,
    training::{Definition, Fold, ResultFiles, SegmentationQueued, Training, TrainingStatus},
};

/// Work that can be started.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) work: spec::Work,
    /// The lease that the next claim mints, unless somebody else is faster.
    pub(crate) lease: Lease,
    /// What is asked of the run before it has begun.
    pub(crate) requested: Option<Request>,
    /// On which cluster; none: on this machine.
    pub(crate) placement: Option<Placement>,
    /// The fold of a cross-validation that it is.
    pub(crate) fold: Option<Fold>,
    /// What it is, in words.
    pub(crate) described: Described,
}

/// What a run is, in words: what templates and tables want to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) images_path: Option<String>,
    pub(crate) labels_path: Option<String>,
    /// The model that is used, or where the result comes to be, when not in the run's directory.
    pub(crate) model_path: Option<String>,
    pub(crate) output_dir: Option<String>,
}

/// Whether something can be started.
#[derive(Debug)]
pub(crate) enum Readiness {
    /// It can.
    Ready(Box<Plan>),
    /// It waits for something else.
    Waits(String),
    /// It does not wait for a worker: it runs, has ended, or does not exist.
    Nothing,
}

/// Looks at the log.
pub(crate) async fn plan(
    log: &Log,
    stream: &StreamId,
    options: &DispatchOptions,
) -> Result<Readiness, LogError> {
    match stream.category {
        Category::Model => plan_model(log, &stream.id, &options.state_directory).await,
        Category::Dataset => plan_dataset(log, &stream.id, &options.state_directory).await,
        Category::Training => plan_training(log, &stream.id, options).await,
        Category::Job => plan_job(log, &stream.id, options).await,
        Category::Feature
        | Category::TrainingTemplate
        | Category::ExtractionTemplate
        | Category::Preset
        | Category::SlurmJob
        | Category::CrossValidation => Ok(Readiness::Nothing),
    }
}

async fn plan_model(log: &Log, id: &str, state_directory: &Path) -> Result<Readiness, LogError> {
    let model = log.load::<Model>(id).await?.state;
    let (true, Some(registered)) = (model.waits(), model.registered()) else {
        return Ok(Readiness::Nothing);
    };
    let own = |name: &str| path(&state_directory.join("models").join(id).join(name));
    let here = model.files().map(|files| files.file_path.clone());
    Ok(ready(
        spec::Work::InspectModel(InspectModel {
            download: registered.hub.clone().filter(|_| here.is_none()),
            model_path: here.unwrap_or_else(|| own("raw")),
            architecture: registered.architecture.clone(),
            quantization: registered.quantization,
            quantized_path: registered.quantization.map(|_| own("quantized")),
        }),
        model.attempts(),
        None,
    ))
}

async fn plan_dataset(log: &Log, id: &str, state_directory: &Path) -> Result<Readiness, LogError> {
    let dataset = log.load::<Dataset>(id).await?.state;
    let (true, Some(registered), Some(tokenizer)) =
        (dataset.waits(), dataset.registered(), dataset.tokenizer())
    else {
        return Ok(Readiness::Nothing);
    };
    let model = log.load::<Model>(tokenizer.as_str()).await?.state;
    let (ModelStatus::Ready, Some(model_files)) = (model.status(), model.files()) else {
        return Ok(waits_for_model(tokenizer.as_str(), &model));
    };
    let datasets = state_directory.join("datasets");
    let own = |name: &str| path(&datasets.join(id).join(name));
    let here = dataset.files().map(|files| files.file_path.clone());
    Ok(ready(
        spec::Work::PrepareDataset(PrepareDataset {
            download: registered.hub.clone().filter(|_| here.is_none()),
            source_path: here.unwrap_or_else(|| own("raw")),
            text_column: registered.text_column.clone(),
            // The files as they came, so that conversions of one model share tokens.
            tokenizer_path: model_files.file_path.clone(),
            context_length: registered.context_length,
            output_path: own("tokenized"),
            content_sha256: dataset.content_sha256().map(str::to_owned),
            datasets_path: Some(path(&datasets)),
        }),
        dataset.attempts(),
        None,
    ))
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

async fn plan_training(
    log: &Log,
    id: &str,
    options: &DispatchOptions,
) -> Result<Readiness, LogError> {
    let training = log.load::<Training>(id).await?.state;
    if training.status() != TrainingStatus::Queued {
        return Ok(Readiness::Nothing);
    }
    if let Some(segmentation) = training.segmentation() {
        return plan_segmentation(log, id, &training, segmentation, options).await;
    }
    let Some(definition) = training.definition() else {
        return Ok(Readiness::Nothing);
    };
    let model_id = definition.model_id.as_str();
    let model = log.load::<Model>(model_id).await?.state;
    let (ModelStatus::Ready, Some(registered), Some(model_path)) =
        (model.status(), model.registered(), model.weights_path())
    else {
        return Ok(waits_for_model(model_id, &model));
    };
    if let Some(source_path) = &definition.import_from {
        let Ok(training_id) = id.parse() else {
            return Ok(Readiness::Nothing);
        };
        return Ok(ready(
            spec::Work::ImportAutoencoder(ImportAutoencoder {
                training_id,
                source_path: source_path.clone(),
                model_path: model_path.to_owned(),
            }),
            training.attempts(),
            training.requested(),
        )
        .on(training.placement(), named(id)));
    }
    let dataset_id = definition.dataset_id.as_str();
    let dataset = log.load::<Dataset>(dataset_id).await?.state;
    let Some(tokenized_path) = dataset.tokenized_for(model_id) else {
        return Ok(Readiness::Waits(no_tokens(dataset_id, &dataset)));
    };
    let training_id = match id.parse() {
        Ok(id) => id,
        // The stream exists, so it was an id once.
        Err(_) => return Ok(Readiness::Nothing),
    };
    Ok(ready(
        spec::Work::Train(Box::new(Train {
            training_id,
            model_path: model_path.to_owned(),
            model_name: registered.name.clone(),
            tokenized_path: tokenized_path.to_owned(),
            encoder_type: definition.encoder_type.as_str().to_owned(),
            activation_cache: activation_cache(&definition.hyperparameters, options),
            hyperparameters: definition.hyperparameters.clone(),
            resume_from: resume_from(&training),
        })),
        training.attempts(),
        training.requested(),
    )
    .on(training.placement(), named(id)))
}

/// What has no name is called by its id.
fn named(id: &str) -> Described {
    Described {
        name: id.to_owned(),
        ..Described::default()
    }
}

/// The latest checkpoint, never the best.
fn resume_from(training: &Training) -> Option<ResumeFrom> {
    training.latest_checkpoint().map(|checkpoint| ResumeFrom {
        step: checkpoint.step,
        path: checkpoint.path.clone(),
        sha256: checkpoint.sha256.clone(),
    })
}

async fn plan_segmentation(
    log: &Log,
    id: &str,
    training: &Training,
    segmentation: &SegmentationQueued,
    options: &DispatchOptions,
) -> Result<Readiness, LogError> {
    if let Some(fold) = &segmentation.fold {
        let group = fold.group.as_str();
        let validation = log.load::<CrossValidation>(group).await?.state;
        if !validation.has_folds() {
            return Ok(Readiness::Waits(format!(
                "cross-validation {group} is not complete yet"
            )));
        }
    }
    let Ok(training_id) = id.parse() else {
        return Ok(Readiness::Nothing);
    };
    let result_path = options
        .models_base_path
        .as_ref()
        .map(|base| path(&base.join(id)));
    let described = Described {
        name: segmentation.name.clone(),
        images_path: Some(segmentation.images_path.clone()),
        labels_path: Some(segmentation.labels_path.clone()),
        model_path: result_path.clone(),
        output_dir: None,
    };
    let ready = ready(
        spec::Work::TrainSegmentation(Box::new(TrainSegmentation {
            training_id,
            images_path: segmentation.images_path.clone(),
            labels_path: segmentation.labels_path.clone(),
            settings: segmentation.settings.clone(),
            split: segmentation.fold.as_ref().map(|fold| fold.split.clone()),
            result_path,
            resume_from: resume_from(training),
        })),
        training.attempts(),
        training.requested(),
    )
    .on(training.placement(), described);
    Ok(match ready {
        Readiness::Ready(mut plan) => {
            plan.fold.clone_from(&segmentation.fold);
            Readiness::Ready(plan)
        }
        other => other,
    })
}

/// Where a training that wants it keeps activations; none where it does not, or may not.
fn activation_cache(
    hyperparameters: &Hyperparameters,
    options: &DispatchOptions,
) -> Option<ActivationCache> {
    let most_bytes = options.activation_cache_bytes;
    (hyperparameters.cache_activations == Some(true) && most_bytes > 0).then(|| ActivationCache {
        directory: options
            .state_directory
            .join("activations")
            .to_string_lossy()
            .into_owned(),
        most_bytes,
    })
}

async fn plan_job(log: &Log, id: &str, options: &DispatchOptions) -> Result<Readiness, LogError> {
    let job = log.load::<Job>(id).await?.state;
    let (JobStatus::Queued, Some(work)) = (job.status(), job.work()) else {
        return Ok(Readiness::Nothing);
    };
    let work = match work {
        JobWork::Extraction(extraction) => plan_extraction(log, extraction, options).await?,
        JobWork::Generation(generation) => plan_generation(log, generation).await?,
        JobWork::Prediction(prediction) => plan_prediction(log, prediction).await?,
    };
    let described = match &work {
        Ok(spec::Work::PredictSegmentation(predict)) => Described {
            name: id.to_owned(),
            images_path: predict.images.first().cloned(),
            labels_path: predict.labels_path.clone(),
            model_path: Some(predict.model_path.clone()),
            output_dir: Some(predict.output_dir.clone()),
        },
        _ => named(id),
    };
    Ok(match work {
        Ok(work) => ready(work, job.attempts(), job.requested()).on(job.placement(), described),
        Err(reason) => Readiness::Waits(reason),
    })
}

/// What a training has trained.
struct Trained {
    definition: Definition,
    sites: Vec<HookSite>,
    result: ResultFiles,
    model_path: String,
}

/// The autoencoders of a training that has ended, or what keeps them from being used.
async fn trained(log: &Log, training_id: &TrainingId) -> Result<Result<Trained, String>, LogError> {
    let training = log.load::<Training>(training_id.as_str()).await?.state;
    let (Some(definition), Some(result)) = (training.definition(), training.result()) else {
        return Ok(Err(format!(
            "training {training_id} is {} and has no autoencoder",
            training.status().as_str()
        )));
    };
    let model_id = definition.model_id.as_str();
    let model = log.load::<Model>(model_id).await?.state;
    let (ModelStatus::Ready, Some(model_path)) = (model.status(), model.weights_path()) else {
        return Ok(Err(format!(
            "model {model_id} is {}",
            model.status().as_str()
        )));
    };
    Ok(Ok(Trained {
        sites: definition.hyperparameters.sites(model.num_layers()),
        definition: definition.clone(),
        result: result.clone(),
        model_path: model_path.to_owned(),
    }))
}

async fn plan_extraction(
    log: &Log,
    extraction: &Extraction,
    options: &DispatchOptions,
) -> Result<Result<spec::Work, String>, LogError> {
    let trained = match trained(log, &extraction.training_id).await? {
        Ok(trained) => trained,
        Err(reason) => return Ok(Err(reason)),
    };
    let dataset_id = extraction.dataset_id.as_str();
    let dataset = log.load::<Dataset>(dataset_id).await?.state;
    let model_id = trained.definition.model_id.as_str();
    let Some(tokenized_path) = dataset.tokenized_for(model_id) else {
        return Ok(Err(no_tokens(dataset_id, &dataset)));
    };
    let wanted = |site: &&HookSite| {
        let of_layer = extraction
            .layers
            .as_ref()
            .is_none_or(|layers| layers.contains(&site.layer));
        let of_hook = extraction
            .hook_types
            .as_ref()
            .is_none_or(|hooks| hooks.contains(&site.hook));
        of_layer && of_hook
    };
    Ok(Ok(spec::Work::Extract(Box::new(Extract {
        training_id: extraction.training_id.clone(),
        model_path: trained.model_path,
        dataset_id: dataset_id.to_owned(),
        tokenized_path: tokenized_path.to_owned(),
        autoencoder_path: trained.result.path,
        autoencoder_sha256: trained.result.sha256,
        encoder_type: trained.definition.encoder_type.as_str().to_owned(),
        wanted: trained.sites.iter().filter(wanted).copied().collect(),
        sites: trained.sites,
        max_samples: extraction.max_samples,
        top_k_examples: extraction.top_k_examples,
        context_tokens: extraction.context_tokens,
        minimum_frequency: extraction.minimum_frequency,
        embedder_path: options
            .sentence_encoder
            .as_ref()
            .map(|path| path.display().to_string()),
    }))))
}

async fn plan_generation(
    log: &Log,
    generation: &Generation,
) -> Result<Result<spec::Work, String>, LogError> {
    let model_id = generation.model_id.as_str();
    let model = log.load::<Model>(model_id).await?.state;
    let (ModelStatus::Ready, Some(model_path)) = (model.status(), model.weights_path()) else {
        return Ok(Err(format!(
            "model {model_id} is {}",
            model.status().as_str()
        )));
    };
    let steering = match &generation.intervention {
        None => None,
        Some(intervention) => match trained(log, &intervention.training_id).await? {
            Err(reason) => return Ok(Err(reason)),
            Ok(trained) => Some(Steering {
                autoencoder_path: trained.result.path,
                autoencoder_sha256: trained.result.sha256,
                sites: trained.sites,
                layer: intervention.layer,
                features: intervention.features.clone(),
            }),
        },
    };
    Ok(Ok(spec::Work::Generate(Box::new(Generate {
        model_path: model_path.to_owned(),
        prompt: generation.prompt.clone(),
        chat: generation.chat,
        sampling: generation.sampling.clone(),
        steering,
    }))))
}

async fn plan_prediction(
    log: &Log,
    prediction: &Prediction,
) -> Result<Result<spec::Work, String>, LogError> {
    let training_id = prediction.training_id.as_str();
    let training = log.load::<Training>(training_id).await?.state;
    let (Some(result), Some(_)) = (training.result(), training.model()) else {
        return Ok(Err(format!(
            "training {training_id} is {} and has no model",
            training.status().as_str()
        )));
    };
    Ok(Ok(spec::Work::PredictSegmentation(Box::new(
        PredictSegmentation {
            model_path: result.path.clone(),
            model_sha256: result.sha256.clone(),
            images: prediction.input.images.clone(),
            labels_path: prediction.input.labels_path.clone(),
            output_dir: prediction.output_dir.clone(),
        },
    ))))
}

fn no_tokens(id: &str, dataset: &Dataset) -> String {
    format!(
        "dataset {id} is {} and not tokenised for the model",
        dataset.status().as_str()
    )
}

fn waits_for_model(id: &str, model: &Model) -> Readiness {
    Readiness::Waits(format!("model {id} is {}", model.status().as_str()))
}

fn ready(work: spec::Work, attempts: &Attempts, requested: Option<Request>) -> Readiness {
    Readiness::Ready(Box::new(Plan {
        work,
        lease: attempts.lease.next(),
        requested,
        placement: None,
        fold: None,
        described: Described::default(),
    }))
}

impl Readiness {
    /// The same, on a cluster.
    fn on(mut self, placement: Option<&Placement>, described: Described) -> Self {
        if let Self::Ready(plan) = &mut self {
            plan.placement = placement.cloned();
            plan.described = described;
        }
        self
    }
}
