//! What the run that fetches, looks at and converts a model says becomes events.

use crate::{
    attempt::{AfterFailure, Report},
    hub::Fetched,
    model::{
        Downloaded, Inspected, Model, ModelEvent, ModelRefusal, ModelStatus, Progressed, Quantized,
    },
    run::journal::Record,
};

impl Model {
    pub(super) fn report(&self, report: Report) -> Result<Vec<ModelEvent>, ModelRefusal> {
        if self.attempts.has_heard(&report.line) {
            return Ok(vec![]);
        }
        let (lease, seq) = (report.line.lease, report.line.seq);
        self.attempts.fence(lease)?;
        match report.line.record {
            Record::Started(_) => Ok(vec![]),
            Record::Progress(progress) => Ok(vec![ModelEvent::ModelProgressed(Progressed {
                lease,
                seq,
                stage: self.status,
                percent: progress.percent.clamp(0.0, 100.0),
            })]),
            Record::Downloaded(found) => {
                self.expect(ModelStatus::Downloading, "downloaded")?;
                Ok(vec![ModelEvent::ModelDownloaded(Downloaded {
                    file_path: found.path,
                    disk_size_bytes: found.size_bytes,
                    architecture: None,
                    quantization: None,
                    fetched: Some(Fetched {
                        lease,
                        seq,
                        commit: found.commit,
                    }),
                })])
            }
            // An attempt at the conversion looks at the files again; that it did is not news.
            Record::ModelInspected(found)
                if self.status == ModelStatus::Quantizing && found.converts_to.is_some() =>
            {
                Ok(vec![])
            }
            Record::ModelInspected(found) => {
                if self.status == ModelStatus::Downloading {
                    return Err(self.not_allowed("inspected"));
                }
                Ok(vec![ModelEvent::ModelInspected(Inspected {
                    lease,
                    seq,
                    params_count: found.params_count,
                    memory_required_bytes: found.memory_required_bytes,
                    disk_size_bytes: found.disk_size_bytes,
                    architecture_config: found.architecture_config,
                    architecture: found.architecture,
                    quantization: found.quantization,
                    converts_to: found.converts_to,
                })])
            }
            Record::ModelQuantized(found) => {
                self.expect(ModelStatus::Quantizing, "quantized")?;
                Ok(vec![ModelEvent::ModelQuantized(Quantized {
                    lease,
                    seq,
                    quantized_path: found.quantized_path,
                    disk_size_bytes: found.disk_size_bytes,
                    memory_required_bytes: found.memory_required_bytes,
                    loss: found.loss,
                })])
            }
            Record::Failed(failure) => {
                let after =
                    self.attempts
                        .after_failure((lease, seq), failure, report.now, report.policy);
                Ok(match after {
                    AfterFailure::Final(failed) | AfterFailure::GivenUp(failed) => {
                        vec![ModelEvent::ModelFailed(failed)]
                    }
                    AfterFailure::Again(failed, retried) => {
                        vec![
                            ModelEvent::ModelFailed(failed),
                            ModelEvent::ModelRetried(retried),
                        ]
                    }
                })
            }
            _ => Err(ModelRefusal::Unbelievable(
                "it speaks of other work than looking at a model".to_owned(),
            )),
        }
    }

    fn expect(&self, status: ModelStatus, wanted: &'static str) -> Result<(), ModelRefusal> {
        if self.status == status {
            Ok(())
        } else {
            Err(self.not_allowed(wanted))
        }
    }
}
