//! What reads examples, so that they can be compared.

use crate::features::examples::Example;
use crate::features::passage::Window;
use crate::features::probes::Probe;
use crate::features::score::ScoreError;
use crate::features::sentence_encoder::SentenceEncoder;

/// A stretch of text.
#[derive(Clone, Debug)]
pub struct Context {
    /// The packed sequence.
    pub sequence: u32,
    /// Its tokens.
    pub window: Window,
    /// What the studied model makes of it; empty where a sentence encoder reads.
    pub code: Vec<i8>,
}

impl From<&Example<'_>> for Context {
    fn from(example: &Example<'_>) -> Self {
        Self {
            sequence: example.sequence,
            window: example.window,
            code: example.code.to_vec(),
        }
    }
}

impl From<&Probe> for Context {
    fn from(probe: &Probe) -> Self {
        Self {
            sequence: probe.sequence,
            window: probe.window,
            code: probe.code.clone(),
        }
    }
}

/// What reads.
pub enum Embedder {
    /// The studied model itself, while the pass went over the text.
    Own,
    /// A sentence encoder.
    Sentences(Box<SentenceEncoder>),
}

impl Embedder {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Own => "the studied model".to_owned(),
            Self::Sentences(encoder) => encoder.name().to_owned(),
        }
    }

    /// Examples of a feature that it reads, at most. A sentence encoder works for each, a code is there already.
    #[must_use]
    pub fn examples(&self) -> usize {
        match self {
            Self::Own => 32,
            Self::Sentences(_) => 16,
        }
    }

    /// A vector of length 1 for each stretch of text. `text` says what stands there.
    ///
    /// # Errors
    /// What `text` or the sentence encoder say.
    pub fn vectors(
        &self,
        contexts: &[&Context],
        text: &dyn Fn(&Context) -> Result<String, ScoreError>,
    ) -> Result<Vec<Vec<f32>>, ScoreError> {
        match self {
            Self::Own => Ok(contexts
                .iter()
                .map(|context| of_code(&context.code))
                .collect()),
            Self::Sentences(encoder) => {
                let texts = contexts
                    .iter()
                    .map(|context| text(context))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(encoder.encode(&texts)?)
            }
        }
    }
}

fn of_code(code: &[i8]) -> Vec<f32> {
    let squares: f32 = code.iter().map(|part| f32::from(*part).powi(2)).sum();
    let norm = squares.sqrt().max(1.0);
    code.iter().map(|part| f32::from(*part) / norm).collect()
}
