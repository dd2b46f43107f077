//! training → training: what was trained so far has been measured. An attempt that repeats steps measures the same again, which is no news.

use crate::{
    Lease,
    run::journal,
    training::{Evaluated, Training, TrainingEvent, TrainingRefusal, TrainingStatus},
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
}
