//! Work on images.

use super::ResumeFrom;
use crate::{
    id::TrainingId,
    segmentation::{SegmentationSettings, Split},
};
use serde::{Deserialize, Serialize};

/// Train a network that segments images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSegmentation {
    /// The training.
    pub training_id: TrainingId,
    /// A directory of images, or one image: NIfTI or PNG.
    pub images_path: String,
    /// Their labels, named as the images are.
    pub labels_path: String,
    /// How to train.
    pub settings: SegmentationSettings,
    /// The fold that is held out; none: a fraction of the images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Where the result goes; none: `result` in the run's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_path: Option<String>,
    /// The checkpoint to go on from; none: from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_from: Option<ResumeFrom>,
}

/// Segment images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictSegmentation {
    /// The result directory of a segmentation training.
    pub model_path: String,
    /// The hash that its last record announced.
    pub model_sha256: String,
    /// Images, and directories of images.
    pub images: Vec<String>,
    /// Labels to compare with, named as the images are; none: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels_path: Option<String>,
    /// The directory that the predictions are written to.
    pub output_dir: String,
}
