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
        length("name", "1 to 200 characters", &queue.name, LONGEST_NAME)?;
        let must = "1 to 500 characters";
        length("imagesPath", must, &queue.images_path, LONGEST_PATH)?;
        length("labelsPath", must, &queue.labels_path, LONGEST_PATH)?;
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

fn length(
    name: &'static str,
    must: &'static str,
    given: &str,
    most: usize,
) -> Result<(), TrainingRefusal> {
    if given.is_empty() || given.chars().count() > most {
        Err(TrainingRefusal::Value { name, must })
    } else {
        Ok(())
    }
}
