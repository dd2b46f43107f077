//! Finding the features of trained autoencoders: one pass over the dataset, names and scores, and two files.

mod open;
mod rows;
mod write;

use super::Run;
use super::failure::RunError;
use super::life::Next;
use crate::features::artifact::ArtifactError;
use crate::features::pass::{Pass, PassError, PassOptions};
use crate::features::score::ScoreError;
use open::Opened;
use trainmaster_domain::run::control::Request;
use trainmaster_domain::run::journal::{FeaturesExtracted, Record};
use trainmaster_domain::run::spec::Extract;

/// How far the work moves on between two records that say so, in percent.
const STRIDE: f64 = 2.0;

/// Why there is no result.
#[derive(Debug)]
enum End {
    /// Somebody asked for none.
    Cancelled,
    /// It could not be had.
    Failed(RunError),
}

impl<E: Into<RunError>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Extracts features. Nothing of it is kept when it ends early: asked to stop, it says so; asked to pause, it leaves, and the next attempt
/// begins anew.
///
/// # Errors
/// [`RunError`]: the run ends without a result.
pub(super) fn extract(run: &mut Run, spec: &Extract) -> Result<(), RunError> {
    match extracted(run, spec) {
        Ok(found) => run.say(Record::FeaturesExtracted(Box::new(found)), true),
        Err(End::Cancelled) => run.say(Record::Cancelled {}, true),
        Err(End::Failed(error)) => Err(error),
    }
}

fn extracted(run: &mut Run, spec: &Extract) -> Result<FeaturesExtracted, End> {
    run.say_progress("loading", 0.0)?;
    let opened = open::open(run, spec)?;
    go_on(run)?;
    let pass = read(run, spec, &opened)?;
    if pass.tokens() == 0 {
        return Err(End::Failed(RunError::DatasetEmpty {
            reason: format!("{} of its sequences hold no text", opened.sample.count()),
        }));
    }
    let (features, scoring) = rows::evaluate(run, spec, &opened, &pass)?;
    let (features, activations) = write::write(run, spec, &opened, &pass, &features)?;
    Ok(FeaturesExtracted {
        features,
        activations,
        samples: i64::from(opened.sample.count()),
        tokens: i64::try_from(pass.tokens()).unwrap_or(i64::MAX),
        scoring,
    })
}

/// The pass over the dataset.
fn read(run: &mut Run, spec: &Extract, opened: &Opened) -> Result<Pass, End> {
    let context = opened
        .dataset
        .context_length()
        .min(spec.context_tokens as usize);
    let options = PassOptions {
        sample: opened.sample,
        // A sequence gives one example of a latent at most.
        top_k: opened.sample.count().min(spec.top_k_examples) as usize,
        context: u16::try_from(context).unwrap_or(u16::MAX / 2),
        codes: opened.reads_itself(),
        threads: run.spec.resources.cpu_threads.max(1),
    };
    let mut progress = Progress::begin(run, "reading")?;
    let mut pass = Pass::new(&opened.sites, options);
    while !pass.is_done() {
        pass.step(&opened.model, &opened.dataset, &opened.sites)?;
        progress.tell(run, pass.percent())?;
    }
    Ok(pass)
}

/// A stage that tells how far it is, and ends when that is asked for.
struct Progress {
    stage: &'static str,
    said: f64,
}

impl Progress {
    fn begin(run: &mut Run, stage: &'static str) -> Result<Self, End> {
        run.say_progress(stage, 0.0)?;
        Ok(Self { stage, said: 0.0 })
    }

    fn tell(&mut self, run: &mut Run, percent: f64) -> Result<(), End> {
        run.life.progress();
        go_on(run)?;
        if percent >= self.said + STRIDE {
            self.said = percent;
            run.say_progress(self.stage, percent)?;
        }
        Ok(())
    }
}

fn go_on(run: &Run) -> Result<(), End> {
    match run.life.heard() {
        Next::GoOn => Ok(()),
        Next::Asked(Request::Stop) => Err(End::Cancelled),
        Next::Asked(Request::Pause) => Err(End::Failed(RunError::Interrupted)),
        Next::Leave => Err(End::Failed(RunError::Superseded)),
        Next::Save | Next::Requeue => Err(End::Failed(RunError::Left)),
    }
}

impl From<PassError> for RunError {
    fn from(error: PassError) -> Self {
        match error {
            PassError::Dataset(error) => error.into(),
            PassError::LanguageModel(error) => error.into(),
            PassError::Libtorch(error) => Self::of_libtorch("reading latents", &error),
        }
    }
}

impl From<ScoreError> for RunError {
    fn from(error: ScoreError) -> Self {
        match error {
            ScoreError::Dataset(error) => error.into(),
            ScoreError::LanguageModel(error) => error.into(),
            ScoreError::Tokenizer(error) => error.into(),
            ScoreError::SentenceEncoder(error) => open::of_sentence_encoder(error),
            ScoreError::Libtorch(error) => Self::of_libtorch("scoring features", &error),
        }
    }
}

impl From<ArtifactError> for RunError {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::File { path, source } => Self::of_file(&path, &source),
            ArtifactError::Rows { .. } => Self::Internal {
                what: error.to_string(),
            },
        }
    }
}
