//! training → training: what was trained so far has been measured. An attempt that repeats steps measures the same again, which is no news.

use crate::{
    Lease,
    run::journal,
    training::{
        Evaluated, SegmentationEvaluated, Training, TrainingEvent, TrainingRefusal, TrainingStatus,
    },
};

impl Training {
    pub(in crate::training) fn evaluate(
        &self,
        lease: Lease,
        seq: u64,
        evaluated: journal::Evaluated,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        if self.status != TrainingStatus::Training {
            return Err(TrainingRefusal::NotAllowed {
                status: self.status.as_str(),
                wanted: "evaluated",
            });
        }
        if self.evaluated_step >= Some(evaluated.step) {
            return Ok(vec![]);
        }
        if evaluated.step > self.total_steps
            || evaluated.sites.is_empty()
            || !evaluated
                .sites
                .iter()
                .all(journal::EvaluatedSite::is_finite)
        {
            return Err(TrainingRefusal::Unbelievable(format!(
                "an evaluation at step {} of {} has no sites, or a value that is not finite",
                evaluated.step, self.total_steps
            )));
        }
        Ok(vec![TrainingEvent::TrainingEvaluated(Evaluated {
            lease,
            seq,
            step: evaluated.step,
            sites: evaluated.sites,
        })])
    }

    pub(in crate::training) fn on_evaluated(&mut self, evaluated: &Evaluated) -> bool {
        if self.status != TrainingStatus::Training
            || evaluated.lease != self.attempts.lease
            || self.evaluated_step >= Some(evaluated.step)
            || evaluated.step > self.total_steps
        {
            return false;
        }
        self.evaluated_step = Some(evaluated.step);
        self.attempts.on_heard(evaluated.seq);
        true
    }

    pub(in crate::training) fn evaluate_segmentation(
        &self,
        lease: Lease,
        seq: u64,
        quality: journal::SegmentationQuality,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        if self.status != TrainingStatus::Training {
            return Err(TrainingRefusal::NotAllowed {
                status: self.status.as_str(),
                wanted: "evaluated",
            });
        }
        if self.evaluated_step >= Some(quality.step) {
            return Ok(vec![]);
        }
        let is_fraction = |dice: &f64| (0.0..=1.0).contains(dice);
        if self.segmentation.is_none()
            || quality.step > self.total_steps
            || !quality.loss.is_finite()
            || !quality.dice.iter().flatten().all(is_fraction)
            || !quality.mean_dice.iter().all(is_fraction)
        {
            return Err(TrainingRefusal::Unbelievable(format!(
                "an evaluation on images at step {} of {} has a value that cannot be, or is of another kind of training",
                quality.step, self.total_steps
            )));
        }
        Ok(vec![TrainingEvent::SegmentationEvaluated(
            SegmentationEvaluated {
                lease,
                seq,
                quality,
            },
        )])
    }

    pub(in crate::training) fn on_segmentation_evaluated(
        &mut self,
        evaluated: &SegmentationEvaluated,
    ) -> bool {
        let step = evaluated.quality.step;
        if self.status != TrainingStatus::Training
            || evaluated.lease != self.attempts.lease
            || self.segmentation.is_none()
            || self.evaluated_step >= Some(step)
            || step > self.total_steps
        {
            return false;
        }
        self.evaluated_step = Some(step);
        self.quality = Some(evaluated.quality.clone());
        self.attempts.on_heard(evaluated.seq);
        true
    }
}
