//! Writing text: plain, and steered from the same seed.

mod steering;

use super::failure::RunError;
use super::life::Next;
use super::{Run, device};
use crate::autoencoder::precision::product_kind;
use crate::generation::{GenerationError, Writer};
use crate::language_model::{Intervene, LanguageModel, LoadOptions};
use crate::tokenizer::Tokenizer;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};
use trainmaster_domain::hyperparameters::Precision;
use trainmaster_domain::run::control::Request;
use trainmaster_domain::run::journal::{Completion, Generated, GeneratedText, Record, Variant};
use trainmaster_domain::run::spec::Generate;

/// Pieces of text are put together for so long before they are said.
const BETWEEN_PIECES: Duration = Duration::from_millis(50);

impl From<GenerationError> for RunError {
    fn from(error: GenerationError) -> Self {
        Self::Reported(error.failure())
    }
}

/// Loads the model once and writes.
///
/// # Errors
/// [`RunError`]: the run ends without a result.
pub(super) fn generate(run: &mut Run, wanted: &Generate) -> Result<(), RunError> {
    match write_all(run, wanted)? {
        Some(generated) => run.say(Record::Generated(Box::new(generated)), true),
        None => run.say(Record::Cancelled {}, true),
    }
}

/// All that is wanted, or nothing if the run is asked to stop.
fn write_all(run: &mut Run, wanted: &Generate) -> Result<Option<Generated>, RunError> {
    wanted
        .sampling
        .validate()
        .map_err(|error| RunError::Unsupported {
            what: error.to_string(),
        })?;
    run.say_progress("loading", 0.0)?;
    let path = Path::new(&wanted.model_path);
    let Some(model) = load(run, path)? else {
        return Ok(None);
    };
    let tokenizer = Tokenizer::open(path)?;
    let writer = Writer::new(path, &model, &tokenizer)?;
    let prompt = writer.prompt(&wanted.prompt, wanted.chat)?;
    let steered_by = match &wanted.steering {
        Some(steering) => Some(steering::vector(run, steering, &model)?),
        None => None,
    };
    run.say_progress("generating", 0.0)?;
    let mut text = |variant, intervene: &mut Intervene<'_>| -> Result<_, RunError> {
        let mut telling = Telling::new(run, variant);
        let completion = writer.write(
            &prompt,
            &wanted.sampling,
            intervene,
            &mut |piece, tokens| telling.hear(piece, tokens),
        )?;
        telling.end(completion)
    };
    let Some(plain) = text(Variant::Plain, &mut |_, _| Ok(None))? else {
        return Ok(None);
    };
    let steered = match &steered_by {
        None => None,
        Some(vector) => {
            let intervene =
                &mut |point, activation: &tch::Tensor| vector.intervene(point, activation);
            match text(Variant::Steered, intervene)? {
                None => return Ok(None),
                steered => steered,
            }
        }
    };
    Ok(Some(Generated { plain, steered }))
}

/// The model, or nothing if the run is asked to stop.
fn load(run: &Run, path: &Path) -> Result<Option<LanguageModel>, RunError> {
    let device = device(&run.spec.resources.device)?;
    let kind = product_kind(Precision::Auto, device)
        .map_err(|error| RunError::of_libtorch("trying the device", &error))?;
    let options = LoadOptions {
        device,
        kind,
        layers: None,
    };
    let loaded = LanguageModel::load(path, options, &mut |_, _| {
        run.life.progress();
        match run.life.heard() {
            Next::GoOn => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    });
    match asked(run) {
        Ok(true) => Ok(Some(loaded?)),
        Ok(false) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether to go on; not if the run is to stop.
fn asked(run: &Run) -> Result<bool, RunError> {
    match run.life.next() {
        Next::GoOn => Ok(true),
        Next::Asked(Request::Stop) => Ok(false),
        Next::Asked(Request::Pause) => Err(RunError::Interrupted),
        Next::Leave => Err(RunError::Superseded),
        Next::Save | Next::Requeue => Err(RunError::Left),
    }
}

/// Tells the journal of a text as it grows.
struct Telling<'a> {
    run: &'a mut Run,
    variant: Variant,
    /// Not told yet.
    text: String,
    tokens: u32,
    told_at: Instant,
    /// Why it is not to go on.
    ended: Option<Result<(), RunError>>,
}

impl<'a> Telling<'a> {
    fn new(run: &'a mut Run, variant: Variant) -> Self {
        Self {
            run,
            variant,
            text: String::new(),
            tokens: 0,
            told_at: Instant::now(),
            ended: None,
        }
    }

    fn hear(&mut self, piece: &str, tokens: u32) -> ControlFlow<()> {
        self.run.life.progress();
        self.text.push_str(piece);
        self.tokens = tokens;
        let done = match asked(self.run) {
            Ok(true) if self.told_at.elapsed() >= BETWEEN_PIECES => self.tell().map(|()| true),
            other => other,
        };
        match done {
            Ok(true) => return ControlFlow::Continue(()),
            Ok(false) => self.ended = Some(Ok(())),
            Err(error) => self.ended = Some(Err(error)),
        }
        ControlFlow::Break(())
    }

    fn tell(&mut self) -> Result<(), RunError> {
        if self.text.is_empty() {
            return Ok(());
        }
        self.told_at = Instant::now();
        let record = Record::GeneratedText(GeneratedText {
            variant: self.variant,
            text: std::mem::take(&mut self.text),
            tokens: self.tokens,
        });
        self.run.say(record, false)
    }

    fn end(mut self, completion: Option<Completion>) -> Result<Option<Completion>, RunError> {
        if let Some(Err(error)) = self.ended.take() {
            return Err(error);
        }
        self.tell()?;
        Ok(completion)
    }
}
