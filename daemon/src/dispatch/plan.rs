//! What a run of a dataset, model or training would have to do, and whether what it needs is ready.

use crate::log::{Log, LogError};
use std::path::Path;
use trainmaster_domain::{
    Category, Lease, StreamId,
    attempt::Attempts,
    dataset::Dataset,
    model::{Model, ModelStatus},
    run::{
        control::Request,
        spec::{self, InspectModel, PrepareDataset, ResumeFrom, Train},
    },
    training::{Training, TrainingStatus},
};

/// Work that can be started.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) work: spec::Work,
    /// The lease that the next claim mints, unless somebody else is faster.
    pub(crate) lease: Lease,
    /// What is asked of the run before it has begun.
    pub(crate) requested: Option<Request>,
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
    state_directory: &Path,
) -> Result<Readiness, LogError> {
    match stream.category {
        Category::Model => plan_model(log, &stream.id).await,
        Category::Dataset => plan_dataset(log, &stream.id, state_directory).await,
        Category::Training => plan_training(log, &stream.id).await,
    }
}

async fn plan_model(log: &Log, id: &str) -> Result<Readiness, LogError> {
    let model = log.load::<Model>(id).await?.state;
    let (true, Some(registered), Some(files)) = (model.waits(), model.registered(), model.files())
    else {
        return Ok(Readiness::Nothing);
    };
    Ok(ready(
        spec::Work::InspectModel(InspectModel {
            model_path: files.file_path.clone(),
            architecture: registered.architecture.clone(),
            quantization: registered.quantization.as_str().to_owned(),
        }),
        model.attempts(),
        None,
    ))
}

async fn plan_dataset(log: &Log, id: &str, state_directory: &Path) -> Result<Readiness, LogError> {
    let dataset = log.load::<Dataset>(id).await?.state;
    let (true, Some(registered), Some(files)) =
        (dataset.waits(), dataset.registered(), dataset.files())
    else {
        return Ok(Readiness::Nothing);
    };
    let tokenizer = registered.tokenizer_model_id.as_str();
    let model = log.load::<Model>(tokenizer).await?.state;
    let (ModelStatus::Ready, Some(model_files)) = (model.status(), model.files()) else {
        return Ok(waits_for_model(tokenizer, &model));
    };
    Ok(ready(
        spec::Work::PrepareDataset(PrepareDataset {
            source_path: files.file_path.clone(),
            text_column: registered.text_column.clone(),
            tokenizer_path: model_files.file_path.clone(),
            context_length: registered.context_length,
            output_path: state_directory
                .join("datasets")
                .join(id)
                .join("tokenized")
                .to_string_lossy()
                .into_owned(),
        }),
        dataset.attempts(),
        None,
    ))
}

async fn plan_training(log: &Log, id: &str) -> Result<Readiness, LogError> {
    let training = log.load::<Training>(id).await?.state;
    let (TrainingStatus::Queued, Some(definition)) = (training.status(), training.definition())
    else {
        return Ok(Readiness::Nothing);
    };
    let model_id = definition.model_id.as_str();
    let model = log.load::<Model>(model_id).await?.state;
    let (ModelStatus::Ready, Some(registered), Some(files)) =
        (model.status(), model.registered(), model.files())
    else {
        return Ok(waits_for_model(model_id, &model));
    };
    let dataset_id = definition.dataset_id.as_str();
    let dataset = log.load::<Dataset>(dataset_id).await?.state;
    let Some(tokenized_path) = dataset.tokenized_path() else {
        return Ok(Readiness::Waits(format!(
            "dataset {dataset_id} is {}",
            dataset.status().as_str()
        )));
    };
    let training_id = match id.parse() {
        Ok(id) => id,
        // The stream exists, so it was an id once.
        Err(_) => return Ok(Readiness::Nothing),
    };
    Ok(ready(
        spec::Work::Train(Box::new(Train {
            training_id,
            model_path: files.file_path.clone(),
            model_name: registered.name.clone(),
            tokenized_path: tokenized_path.to_owned(),
            encoder_type: definition.encoder_type.as_str().to_owned(),
            hyperparameters: definition.hyperparameters.clone(),
            resume_from: training.latest_checkpoint().map(|checkpoint| ResumeFrom {
                step: checkpoint.step,
                path: checkpoint.path.clone(),
                sha256: checkpoint.sha256.clone(),
            }),
        })),
        training.attempts(),
        training.requested(),
    ))
}

fn waits_for_model(id: &str, model: &Model) -> Readiness {
    Readiness::Waits(format!("model {id} is {}", model.status().as_str()))
}

fn ready(work: spec::Work, attempts: &Attempts, requested: Option<Request>) -> Readiness {
    Readiness::Ready(Box::new(Plan {
        work,
        lease: attempts.lease.next(),
        requested,
    }))
}
