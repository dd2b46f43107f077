//! What a job's run says becomes events.

use super::{
    ActivationsAttached, Ended, FeatureBlock, FeaturesExtracted, FeaturesLabelled, FeaturesScored,
    Job, JobEvent, JobRefusal, JobWork, Predicted, Progressed, TextGenerated,
};
use crate::{
    Lease,
    attempt::{AfterFailure, Report},
    run::journal::{self, Record},
};

impl Job {
    pub(super) fn report(&self, report: Report) -> Result<Vec<JobEvent>, JobRefusal> {
        if self.attempts.has_heard(&report.line) {
            return Ok(vec![]);
        }
        let (lease, seq) = (report.line.lease, report.line.seq);
        self.attempts.fence(lease)?;
        match (report.line.record, &self.work) {
            (Record::Started(_), _) => Ok(vec![]),
            (Record::Progress(progress), _) => Ok(vec![JobEvent::JobProgressed(Progressed {
                lease,
                seq,
                stage: progress.stage,
                percent: progress.percent.clamp(0.0, 100.0),
            })]),
            // Read from the journal by whoever watches; the whole of it becomes an event at the end.
            (Record::GeneratedText(_), Some(JobWork::Generation(_))) => Ok(vec![]),
            (Record::Generated(generated), Some(JobWork::Generation(_))) => Ok(vec![
                JobEvent::TextGenerated(TextGenerated {
                    lease,
                    seq,
                    plain: generated.plain,
                    steered: generated.steered,
                }),
                JobEvent::JobCompleted(Ended { lease, seq }),
            ]),
            (Record::Predicted(predicted), Some(JobWork::Prediction(_))) => Ok(vec![
                JobEvent::Predicted(Predicted {
                    lease,
                    seq,
                    output_dir: predicted.output_dir,
                    prediction: predicted.prediction,
                }),
                JobEvent::JobCompleted(Ended { lease, seq }),
            ]),
            (Record::FeaturesExtracted(found), Some(JobWork::Extraction(wanted))) => {
                let block = FeatureBlock {
                    training_id: wanted.training_id.clone(),
                    first_feature_id: wanted.first_feature_id,
                    latents: wanted.latents,
                };
                Ok(extracted((lease, seq), block, *found))
            }
            (Record::Cancelled {}, _) if self.cancel_requested => {
                Ok(vec![JobEvent::JobCancelled(Ended { lease, seq })])
            }
            (Record::Failed(failure), _) => {
                let after =
                    self.attempts
                        .after_failure((lease, seq), failure, report.now, report.policy);
                Ok(match after {
                    AfterFailure::Final(failed) | AfterFailure::GivenUp(failed) => {
                        vec![JobEvent::JobFailed(failed)]
                    }
                    AfterFailure::Again(failed, retried) => {
                        vec![JobEvent::JobFailed(failed), JobEvent::JobRetried(retried)]
                    }
                })
            }
            _ => Err(JobRefusal::Unbelievable(
                "it speaks of other work than the job's".to_owned(),
            )),
        }
    }
}

fn extracted(
    (lease, seq): (Lease, u64),
    block: FeatureBlock,
    found: journal::FeaturesExtracted,
) -> Vec<JobEvent> {
    let features = found.features;
    vec![
        JobEvent::FeaturesExtracted(FeaturesExtracted {
            lease,
            seq,
            block: block.clone(),
            artifact: features.clone(),
            samples: found.samples,
            tokens: found.tokens,
        }),
        JobEvent::FeaturesLabelled(FeaturesLabelled {
            lease,
            seq,
            block: block.clone(),
            artifact: features.clone(),
        }),
        JobEvent::FeaturesScored(FeaturesScored {
            lease,
            seq,
            block: block.clone(),
            artifact: features,
            scoring: found.scoring,
        }),
        JobEvent::ActivationsAttached(ActivationsAttached {
            lease,
            seq,
            block,
            artifact: found.activations,
        }),
        JobEvent::JobCompleted(Ended { lease, seq }),
    ]
}
