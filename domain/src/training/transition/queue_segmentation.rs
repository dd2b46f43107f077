//! absent → queued: somebody wants a network trained that segments images.

use crate::training::{
    QueueSegmentation, SegmentationQueued, Training, TrainingEvent, TrainingRefusal, TrainingStatus,
};

/// The longest name, in characters: what stands after it in a model's name must fit as well.
const LONGEST_NAME: usize = 200;
/// The longest path, in characters.
const LONGEST_PATH: usize = 500;

impl Training {
    pub(in crate::training) fn queue_segmentation(
        &self,
        queue: QueueSegmentation,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        if self.status != TrainingStatus::Absent {
            return Err(TrainingRefusal::Exists);
        }
        queue.settings.validate()?;
        if let Some(placement) = &queue.placement {
            placement.validate()?;
        }
        if let Err((name, must)) =
            check_lengths(&queue.name, &queue.images_path, &queue.labels_path)
        {
            return Err(TrainingRefusal::Value { name, must });
        }
        Ok(vec![TrainingEvent::SegmentationQueued(Box::new(
            SegmentationQueued {
                name: queue.name,
                images_path: queue.images_path,
                labels_path: queue.labels_path,
                total_steps: u64::from(queue.settings.training_steps),
                settings: queue.settings,
                fold: queue.fold,
                placement: queue.placement,
            },
        ))])
    }

    pub(in crate::training) fn on_segmentation_queued(
        &mut self,
        queued: &SegmentationQueued,
    ) -> bool {
        if self.status != TrainingStatus::Absent {
            return false;
        }
        self.status = TrainingStatus::Queued;
        self.total_steps = queued.total_steps;
        self.placement.clone_from(&queued.placement);
        self.segmentation = Some(queued.clone());
        true
    }
}

/// Whether a name and two paths fit wherever they are kept: else which does not, and what it must be.
pub(crate) fn check_lengths(
    name: &str,
    images_path: &str,
    labels_path: &str,
) -> Result<(), (&'static str, &'static str)> {
    let fits = |text: &str, most: usize| !text.is_empty() && text.chars().count() <= most;
    if !fits(name, LONGEST_NAME) {
        Err(("name", "1 to 200 characters"))
    } else if !fits(images_path, LONGEST_PATH) {
        Err(("imagesPath", "1 to 500 characters"))
    } else if !fits(labels_path, LONGEST_PATH) {
        Err(("labelsPath", "1 to 500 characters"))
    } else {
        Ok(())
    }
}
