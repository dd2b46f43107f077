//! What the run that reads and tokenises a dataset says becomes events.

use crate::{
    attempt::{AfterFailure, Report},
    dataset::{
        Dataset, DatasetEvent, DatasetRefusal, DatasetStatus, Downloaded, Ingested, Progressed,
        Tokenized,
    },
    hub::Fetched,
    run::journal::Record,
};

impl Dataset {
    pub(super) fn report(&self, report: Report) -> Result<Vec<DatasetEvent>, DatasetRefusal> {
        if self.attempts.has_heard(&report.line) {
            return Ok(vec![]);
        }
        let (lease, seq) = (report.line.lease, report.line.seq);
        self.attempts.fence(lease)?;
        match report.line.record {
            Record::Started(_) => Ok(vec![]),
            Record::Progress(progress) => Ok(vec![DatasetEvent::DatasetProgressed(Progressed {
                lease,
                seq,
                stage: self.status,
                percent: progress.percent.clamp(0.0, 100.0),
            })]),
            Record::Downloaded(found) => {
                if self.status != DatasetStatus::Downloading {
                    return Err(self.not_allowed("downloaded"));
                }
                Ok(vec![DatasetEvent::DatasetDownloaded(Downloaded {
                    file_path: found.path,
                    size_bytes: found.size_bytes,
                    fetched: Some(Fetched {
                        lease,
                        seq,
                        commit: found.commit,
                    }),
                })])
            }
            // An attempt at the last stage reads all text again; that it did is not news.
            Record::DatasetIngested(_) if self.status == DatasetStatus::Tokenizing => Ok(vec![]),
            Record::DatasetIngested(_) if self.status == DatasetStatus::Downloading => {
                Err(self.not_allowed("ingested"))
            }
            Record::DatasetIngested(found) => Ok(vec![DatasetEvent::DatasetIngested(Ingested {
                lease,
                seq,
                num_samples: found.num_samples,
                size_bytes: found.size_bytes,
                content_sha256: found.content_sha256,
            })]),
            Record::DatasetTokenized(found) => {
                if self.status != DatasetStatus::Tokenizing {
                    return Err(DatasetRefusal::NotAllowed {
                        status: self.status.as_str(),
                        wanted: "tokenized",
                    });
                }
                Ok(vec![DatasetEvent::DatasetTokenized(Tokenized {
                    lease,
                    seq,
                    tokenized_path: found.tokenized_path,
                    num_tokens: found.num_tokens,
                    vocab_size: found.vocab_size,
                    avg_sequence_length: found.avg_sequence_length,
                    num_sequences: found.num_sequences,
                    sha256: found.sha256,
                })])
            }
            Record::Failed(failure) => {
                let after =
                    self.attempts
                        .after_failure((lease, seq), failure, report.now, report.policy);
                Ok(match after {
                    AfterFailure::Final(failed) | AfterFailure::GivenUp(failed) => {
                        vec![DatasetEvent::DatasetFailed(failed)]
                    }
                    AfterFailure::Again(failed, retried) => {
                        vec![
                            DatasetEvent::DatasetFailed(failed),
                            DatasetEvent::DatasetRetried(retried),
                        ]
                    }
                })
            }
            _ => Err(DatasetRefusal::Unbelievable(
                "it speaks of other work than reading a dataset".to_owned(),
            )),
        }
    }
}
