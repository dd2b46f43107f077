//! From lines of the journal to commands.

use super::{JournalReader, Line, observation::Seen};
use crate::{
    dispatch::{Dispatcher, run_key, work},
    log::LogError,
    telemetry::instruments,
};
use opentelemetry::KeyValue;
use std::{collections::VecDeque, path::PathBuf};
use tracing::{Instrument, debug, info_span, warn};
use trainmaster_domain::{
    Lease, Metadata, StreamId,
    attempt::Report,
    run::journal::{JournalRecord, Record},
};

/// What the lines told so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The run has said its last word, and it has been taken.
    pub(crate) ended: bool,
    /// The lease is not the current one any more.
    pub(crate) superseded: bool,
    /// Why its journal cannot be believed.
    pub(crate) disbelief: Option<String>,
}

impl Dispatcher {
    /// Turns lines into events, in order. A line leaves the queue only once it has been dealt with, so that an error of the
    /// database loses nothing.
    pub(super) async fn hear(
        &self,
        stream: &StreamId,
        lease: Lease,
        lines: &mut VecDeque<Line>,
        seen: &mut Seen,
        told: &mut Told,
    ) -> Result<(), LogError> {
        while let Some(line) = lines.front() {
            if told.superseded || told.disbelief.is_some() {
                // What else it says counts for nothing.
                return Ok(());
            }
            match &line.record {
                None => debug!(%stream, "a line of the journal is torn and is skipped"),
                Some(record) if record.lease == lease && record.seq <= seen.journal_seq => {}
                Some(record) if record.lease == lease && record.seq > seen.journal_seq + 1 => {
                    warn!(%stream, %lease, after = seen.journal_seq, found = record.seq, "the journal has a gap");
                    told.disbelief = Some(format!(
                        "its journal has a gap: line {} follows line {}",
                        record.seq, seen.journal_seq
                    ));
                    return Ok(());
                }
                Some(record) if record.lease > lease => told.superseded = true,
                Some(record) => {
                    self.hear_one(stream, lease, record, seen, told).await?;
                }
            }
            seen.journal_offset = line.end;
            lines.pop_front();
        }
        Ok(())
    }

    async fn hear_one(
        &self,
        stream: &StreamId,
        lease: Lease,
        record: &JournalRecord,
        seen: &mut Seen,
        told: &mut Told,
    ) -> Result<(), LogError> {
        let own = record.lease == lease;
        let report = Report {
            line: record.clone(),
            now: self.log.now().await?,
            policy: self.options.retry,
        };
        let id = format!("{}/{}", run_key("run", stream, record.lease), record.seq);
        let metadata = Metadata {
            causation_id: Some(id.clone()),
            actor: "trainer".to_owned(),
            ..self.own_metadata(id)
        };
        let span = info_span!("report", %stream, lease = record.lease.0, seq = record.seq);
        let heard = work::report(&self.log, stream, report, metadata)
            .instrument(span)
            .await?;
        match heard {
            work::Heard::Taken(_) => {
                told.ended |= own && is_last_word(&record.record);
                measure(stream, &record.record);
            }
            work::Heard::Stale(reason) => {
                warn!(%stream, lease = record.lease.0, seq = record.seq, reason, "a report is refused");
                seen.refused += 1;
                refused(&record.record);
                told.superseded |= own;
            }
            work::Heard::TooEarly => {}
            work::Heard::Refused(reason) => {
                warn!(%stream, lease = record.lease.0, seq = record.seq, reason, "a report is refused");
                seen.refused += 1;
                refused(&record.record);
                if own {
                    told.disbelief = Some(reason);
                }
            }
        }
        if own {
            seen.journal_seq = record.seq;
        }
        Ok(())
    }
}

fn measure(stream: &StreamId, record: &Record) {
    if let Record::Metrics(metrics) = record {
        let training = [KeyValue::new("training", stream.id.clone())];
        let instruments = instruments();
        instruments
            .tokens_per_second
            .record(metrics.tokens_per_second, &training);
        for (gauge, column) in [
            (&instruments.loss, &metrics.loss),
            (&instruments.l0, &metrics.sparsity),
            (&instruments.explained_variance, &metrics.explained_variance),
        ] {
            if let Some(last) = column.last() {
                gauge.record(*last, &training);
            }
        }
        if let Some(dead) = metrics.dead_neurons.last() {
            instruments.dead_latents.record(*dead, &training);
        }
        if let Some(step) = metrics.steps.last() {
            instruments.step.record(*step, &training);
        }
    }
}

fn refused(record: &Record) {
    let kind = match record {
        Record::Started(_) => "started",
        Record::Progress(_) => "progress",
        Record::Downloaded(_) => "downloaded",
        Record::ModelInspected(_) => "model_inspected",
        Record::ModelQuantized(_) => "model_quantized",
        Record::DatasetIngested(_) => "dataset_ingested",
        Record::DatasetTokenized(_) => "dataset_tokenized",
        Record::TrainingStarted(_) => "training_started",
        Record::Metrics(_) => "metrics",
        Record::CheckpointSaved(_) => "checkpoint_saved",
        Record::Evaluated(_) => "evaluated",
        Record::SegmentationEvaluated(_) => "segmentation_evaluated",
        Record::Predicted(_) => "predicted",
        Record::GeneratedText(_) => "generated_text",
        Record::Generated(_) => "generated",
        Record::FeaturesExtracted(_) => "features_extracted",
        Record::Cancelled {} => "cancelled",
        Record::Paused(_) => "paused",
        Record::Stopped(_) => "stopped",
        Record::Completed(_) => "completed",
        Record::Failed(_) => "failed",
    };
    instruments()
        .refused_reports
        .add(1, &[KeyValue::new("report", kind)]);
}

/// Whether a journal says that the run of a lease has what it was for.
pub(crate) fn has_result(journal: PathBuf, lease: Lease) -> bool {
    let mut reader = JournalReader::new(journal, 0);
    while let Ok(lines) = reader.read()
        && !lines.is_empty()
    {
        let says_so = |record: &JournalRecord| {
            record.lease == lease
                && is_last_word(&record.record)
                && !matches!(record.record, Record::Failed(_) | Record::Cancelled {})
        };
        if lines
            .iter()
            .any(|line| line.record.as_ref().is_some_and(says_so))
        {
            return true;
        }
    }
    false
}

/// Whether nothing of a run can follow it.
fn is_last_word(record: &Record) -> bool {
    match record {
        // Unless it goes on to convert it.
        Record::ModelInspected(found) => found.converts_to.is_none(),
        Record::ModelQuantized(_)
        | Record::DatasetTokenized(_)
        | Record::Generated(_)
        | Record::FeaturesExtracted(_)
        | Record::Predicted(_)
        | Record::Cancelled {}
        | Record::Paused(_)
        | Record::Stopped(_)
        | Record::Completed(_)
        | Record::Failed(_) => true,
        Record::Started(_)
        | Record::Progress(_)
        | Record::Downloaded(_)
        | Record::DatasetIngested(_)
        | Record::TrainingStarted(_)
        | Record::GeneratedText(_)
        | Record::Metrics(_)
        | Record::CheckpointSaved(_)
        | Record::Evaluated(_)
        | Record::SegmentationEvaluated(_) => false,
    }
}
