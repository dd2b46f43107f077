//! Images are to be segmented by a network that was trained here.

use super::{
    Accepted, Caller, CommandError, Commands,
    caller::digest,
    segment::{absolute, files},
};
use serde::{Deserialize, Serialize};
use std::path::Path;
use trainmaster_domain::{
    id::{JobId, TrainingId},
    job::{Job, JobCommand, JobWork, Prediction, PredictionInput, Queued},
    slurm::Placement,
    training::Training,
};
use utoipa::ToSchema;

/// Images that somebody wants segmented.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Predict {
    /// By which model: its id, a name that only one has, or the training that it comes from.
    pub model: String,
    /// Images, and directories of images: absolute paths on the daemon's machine, and on the nodes of the cluster where it is placed on one.
    #[schema(min_items = 1, max_items = 10_000)]
    pub images: Vec<String>,
    /// Labels to compare with, called as the images are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// The directory that the predictions are written to; else one of the daemon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 500)]
    pub output_dir: Option<String>,
    /// On which cluster, with which resources; else on the daemon's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::http::schema::Placement>)]
    pub placement: Option<Placement>,
}

const ROUTE: &str = "predictions";

impl Commands {
    /// Queues a prediction: a job.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn predict(
        &self,
        command: Predict,
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
        let placement = self.placed(command.placement)?;
        let (training_id, model_id) = self.model_of_images(&command.model).await?;
        let output_dir = match (&command.output_dir, &self.predictions) {
            (Some(given), _) => output(given)?,
            (None, Some(directory)) => directory.join(id.as_str()).display().to_string(),
            (None, None) => {
                return Err(CommandError::Invalid {
                    field: "output_dir",
                    problem: "say where the predictions are to be written to".to_owned(),
                });
            }
        };
        let (images, labels) = (command.images, command.labels);
        let (images, labels_path) = tokio::task::spawn_blocking(move || {
            let labels: Vec<String> = labels.into_iter().collect();
            let labels = files("labels", &labels)?.pop();
            Ok::<_, CommandError>((files("images", &images)?, labels))
        })
        .await
        .map_err(|_| CommandError::ShuttingDown)??;
        let work = JobWork::Prediction(Prediction {
            model_id,
            training_id: TrainingId::new(training_id)?,
            input: PredictionInput {
                images,
                labels_path,
            },
            output_dir,
        });
        let queue = JobCommand::Queue(Queued { work, placement });
        self.execute::<Job>(id.as_str(), queue, caller, ROUTE, Some(&content))
            .await
    }

    /// The training and the model that `given` means: the training's id, the model's id, or the model's name.
    async fn model_of_images(&self, given: &str) -> Result<(String, String), CommandError> {
        let mut found = vec![];
        if TrainingId::new(given).is_ok() {
            let training = self.log().load::<Training>(given).await?;
            if training.version > 0 {
                found.push(given.to_owned());
            }
        }
        if found.is_empty() {
            found = self.trainings_of_model(given).await?;
        }
        let training_id = match (found.pop(), found.is_empty()) {
            (Some(training), true) => training,
            (Some(training), false) => {
                found.push(training);
                return Err(CommandError::SeveralModels {
                    given: given.to_owned(),
                    trainings: found,
                });
            }
            (None, _) => {
                return Err(CommandError::NoModelOfImages {
                    given: given.chars().take(100).collect(),
                });
            }
        };
        let (training_id, training) = self.resolve::<Training>(&training_id, false).await?;
        if training.segmentation().is_none() {
            return Err(CommandError::NotOfImages(training_id));
        }
        match training.model() {
            Some(model) if training.result().is_some() => Ok((training_id, model.model_id.clone())),
            _ => Err(CommandError::NoModel {
                training: training_id,
                status: training.status().as_str(),
            }),
        }
    }

    /// Some of the trainings whose model is of an id or a name, but for those that have been deleted.
    async fn trainings_of_model(&self, given: &str) -> Result<Vec<String>, CommandError> {
        if given.is_empty() || given.contains('\0') || given.chars().count() > 255 {
            return Ok(vec![]);
        }
        sqlx::query_scalar(include_str!("predict/trainings.sql"))
            .bind(given)
            .fetch_all(self.pool())
            .await
            .map_err(|source| CommandError::ReadModel {
                attempt: format!("the models of images of id or name {given:?}"),
                source,
            })
    }
}

/// A directory that is to be made, or is one.
fn output(given: &str) -> Result<String, CommandError> {
    let path: &Path = absolute("output_dir", given)?;
    if path.exists() && !path.is_dir() {
        return Err(CommandError::Invalid {
            field: "output_dir",
            problem: format!("{given} is there, and no directory; name another"),
        });
    }
    Ok(given.to_owned())
}
