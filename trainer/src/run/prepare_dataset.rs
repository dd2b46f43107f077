//! Reading and tokenising a dataset.

use super::failure::RunError;
use super::life::Next;
use super::{Run, durable};
use crate::dataset::{DatasetError, Statistics, ingest, tokenize};
use crate::tokenizer::Tokenizer;
use std::ops::ControlFlow;
use std::path::Path;
use trainmaster_domain::run::journal::{DatasetTokenized, Record};
use trainmaster_domain::run::spec::PrepareDataset;

/// How far the work moves on between two records that say so, in percent.
const STRIDE: f64 = 5.0;

/// Reads all text, then tokenises it; each is announced.
///
/// # Errors
/// [`RunError`]: the run ends without a result.
pub(super) fn prepare_dataset(run: &mut Run, prepare: &PrepareDataset) -> Result<(), RunError> {
    let source = Path::new(&prepare.source_path);
    let ingested = watched(run, "ingesting", |watch| {
        ingest(source, &prepare.text_column, watch)
    })?;
    run.say(Record::DatasetIngested(ingested), true)?;

    let tokenizer = Tokenizer::open(Path::new(&prepare.tokenizer_path))?;
    let threads = run.spec.resources.cpu_threads.max(1);
    let output = Path::new(&prepare.output_path);
    let mut statistics: Option<Statistics> = None;
    durable::write_directory(output, |directory| {
        statistics = Some(watched(run, "tokenizing", |watch| {
            tokenize(
                source,
                &prepare.text_column,
                &tokenizer,
                prepare.context_length,
                threads,
                directory,
                watch,
            )
        })?);
        run.still_ours()
    })?;
    let Some(found) = statistics else {
        return Err(RunError::Internal {
            what: "the dataset was tokenised without statistics".into(),
        });
    };
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    run.say(
        Record::DatasetTokenized(DatasetTokenized {
            tokenized_path: prepare.output_path.clone(),
            num_tokens: count(found.num_tokens),
            vocab_size: count(found.vocab_size),
            avg_sequence_length: found.avg_sequence_length,
            num_sequences: count(found.num_sequences),
            sha256: found.sha256,
        }),
        true,
    )
}

/// Does work that tells how far it is, passes that on, and ends it when it is asked to.
fn watched<T>(
    run: &mut Run,
    stage: &str,
    work: impl FnOnce(&mut dyn FnMut(f64) -> ControlFlow<()>) -> Result<T, DatasetError>,
) -> Result<T, RunError> {
    run.say_progress(stage, 0.0)?;
    let mut said = 0.0;
    let mut ended = None;
    let done = work(&mut |percent| {
        run.life.progress();
        ended = match run.life.heard() {
            Next::GoOn if percent >= said + STRIDE => {
                said = percent;
                run.say_progress(stage, percent).err()
            }
            Next::GoOn => None,
            Next::Asked(_) => Some(RunError::Interrupted),
            Next::Leave => Some(RunError::Superseded),
        };
        match ended {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break(()),
        }
    });
    match ended {
        Some(error) => Err(error),
        None => Ok(done?),
    }
}
