//! A network that segments images is wanted: one training, or one for each fold of a cross-validation.

mod images;

pub use images::ImagesError;
pub(super) use images::{absolute, files};

use super::{
    Accepted, Caller, CommandError, Commands, caller::digest, queue_training::overlaid, text,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trainmaster_domain::{
    cross_validation::{self, CrossValidation, CrossValidationCommand},
    id::{CrossValidationId, TrainingId},
    segmentation::SegmentationSettings,
    slurm::Placement,
    training::{self, Training, TrainingCommand},
};
use utoipa::ToSchema;

/// A network that segments images is wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// What to call it; else the name of the directory that holds the images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    pub name: Option<String>,
    /// A directory of images (`.nii`, `.nii.gz`, `.png`), or one image: an absolute path on the daemon's machine, and on the nodes of the
    /// cluster where it is placed on one.
    #[schema(example = "/srv/hearts/images")]
    pub images: String,
    /// Their labels: a directory with a file of the same name for each, or the labels of the one image.
    #[schema(example = "/srv/hearts/labels")]
    pub labels: String,
    /// How. What is not given is as in `GET /v1/segmentation-settings`.
    #[serde(default)]
    #[schema(value_type = Option<crate::http::schema::SegmentationSettings>)]
    pub settings: Map<String, Value>,
    /// On which cluster, with which resources; else on the daemon's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::http::schema::Placement>)]
    pub placement: Option<Placement>,
}

/// A cross-validation is wanted: the images are dealt into folds, and for each a network is trained on the others and measured on it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CrossValidate {
    /// How many folds.
    #[schema(minimum = 2, maximum = 100)]
    pub folds: u16,
    /// As of a segmentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    pub name: Option<String>,
    /// As of a segmentation; a directory.
    #[schema(example = "/srv/hearts/images")]
    pub images: String,
    /// As of a segmentation.
    #[schema(example = "/srv/hearts/labels")]
    pub labels: String,
    /// How each is trained. What is not given is as in `GET /v1/segmentation-settings`.
    #[serde(default)]
    #[schema(value_type = Option<crate::http::schema::SegmentationSettings>)]
    pub settings: Map<String, Value>,
    /// On which cluster, with which resources each fold, all as one array; else on the daemon's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::http::schema::Placement>)]
    pub placement: Option<Placement>,
}

/// What is wanted, checked.
struct Wanted {
    name: String,
    images_path: String,
    labels_path: String,
    settings: SegmentationSettings,
    placement: Option<Placement>,
    /// How many images there are.
    images: usize,
}

const ROUTE: &str = "segmentations";
const FOLDS_ROUTE: &str = "cross-validations";

impl Commands {
    /// Queues a segmentation training.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn segment(
        &self,
        command: Segment,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        let content = digest(&command)?;
        let id = TrainingId::segmentation(&caller.identity(ROUTE))?;
        if let Some(before) = self
            .registered_before::<Training>(id.as_str(), caller, ROUTE, &content)
            .await?
        {
            return Ok(before);
        }
        let wanted = self.segmentation(command).await?;
        let queue = training::QueueSegmentation {
            name: wanted.name,
            images_path: wanted.images_path,
            labels_path: wanted.labels_path,
            settings: wanted.settings,
            fold: None,
            placement: wanted.placement,
        };
        let queue = TrainingCommand::QueueSegmentation(Box::new(queue));
        self.execute::<Training>(id.as_str(), queue, caller, ROUTE, Some(&content))
            .await
    }

    /// Queues a cross-validation, whose folds become trainings.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn cross_validate(
        &self,
        command: CrossValidate,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        let content = digest(&command)?;
        let id = CrossValidationId::mint(&caller.identity(FOLDS_ROUTE))?;
        if let Some(before) = self
            .registered_before::<CrossValidation>(id.as_str(), caller, FOLDS_ROUTE, &content)
            .await?
        {
            return Ok(before);
        }
        let folds = command.folds;
        let each = Segment {
            name: command.name,
            images: command.images,
            labels: command.labels,
            settings: command.settings,
            placement: command.placement,
        };
        let wanted = self.segmentation(each).await?;
        if wanted.images < usize::from(folds) {
            return Err(CommandError::Invalid {
                field: "folds",
                problem: format!(
                    "{} images cannot be dealt into {folds} folds: each needs one at least",
                    wanted.images
                ),
            });
        }
        let queue = CrossValidationCommand::Queue(Box::new(cross_validation::Queued {
            name: wanted.name,
            images_path: wanted.images_path,
            labels_path: wanted.labels_path,
            settings: wanted.settings,
            folds,
            placement: wanted.placement,
        }));
        self.execute::<CrossValidation>(id.as_str(), queue, caller, FOLDS_ROUTE, Some(&content))
            .await
    }

    async fn segmentation(&self, command: Segment) -> Result<Wanted, CommandError> {
        text::line("name", command.name.as_deref())?;
        let placement = self.placed(command.placement)?;
        let settings = overlaid(
            SegmentationSettings::default(),
            &command.settings,
            CommandError::Settings,
        )?;
        settings.validate()?;
        let (images, labels) = (command.images, command.labels);
        let found = tokio::task::spawn_blocking(move || images::pairs(&images, &labels))
            .await
            .map_err(|_| CommandError::ShuttingDown)??;
        Ok(Wanted {
            name: command.name.unwrap_or_else(|| found.default_name()),
            images_path: found.images_path,
            labels_path: found.labels_path,
            images: found.images,
            settings,
            placement,
        })
    }
}
