//! What a run says becomes events: the fence, the journal's numbering, and one transition a kind of record.

use crate::{
    attempt::Report,
    run::journal::Record,
    training::{Training, TrainingEvent, TrainingRefusal},
};

impl Training {
    /// A line that has become an event before, and one that changes nothing, cause no event.
    pub(in crate::training) fn report(
        &self,
        report: Report,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        if self.attempts.has_heard(&report.line) {
            return Ok(vec![]);
        }
        let (lease, seq) = (report.line.lease, report.line.seq);
        self.attempts.fence(lease)?;
        match report.line.record {
            Record::Started(_) | Record::Progress(_) => Ok(vec![]),
            Record::TrainingStarted(started) => self.start(lease, seq, &started),
            Record::Metrics(metrics) => self.record_metrics(lease, seq, metrics),
            Record::CheckpointSaved(saved) => self.save_checkpoint(lease, seq, saved),
            Record::Evaluated(evaluated) => self.evaluate(lease, seq, evaluated),
            Record::SegmentationEvaluated(quality) => {
                self.evaluate_segmentation(lease, seq, quality)
            }
            Record::Paused(at) => self.pause(lease, seq, at),
            Record::Stopped(finished) => self.stop(lease, seq, finished),
            Record::Completed(finished) => self.complete(lease, seq, finished),
            Record::Failed(failure) => self.fail(lease, seq, failure, report.now, report.policy),
            Record::Downloaded(_)
            | Record::ModelInspected(_)
            | Record::ModelQuantized(_)
            | Record::DatasetIngested(_)
            | Record::DatasetTokenized(_)
            | Record::Predicted(_)
            | Record::GeneratedText(_)
            | Record::Generated(_)
            | Record::FeaturesExtracted(_)
            | Record::Cancelled {} => Err(TrainingRefusal::Unbelievable(
                "it speaks of other work than a training".to_owned(),
            )),
        }
    }
}
