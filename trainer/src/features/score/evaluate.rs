//! The components of the scores of several features at once.

use super::embedder::{Context, Embedder};
use super::neutral::{Neutral, PROMPT, output_scores};
use super::{Components, area_under_curve};
use crate::dataset::{DatasetError, TokenizedDataset};
use crate::features::pass::Site;
use crate::features::probes::Probes;
use crate::features::sentence_encoder::SentenceEncoderError;
use crate::features::token_text::TokenTexts;
use crate::language_model::{HookPoint, LanguageModel, LanguageModelError};
use crate::tokenizer::TokenizerError;
use tch::{Device, Kind, TchError, Tensor};

/// Tokens that the logit lens promises, the most promoted first.
pub const PROMISED: i64 = 20;

/// Examples that are needed to judge by.
const LEAST: usize = 4;

/// Random stretches of text that examples are compared with, at most, and those that are told apart from examples.
const REFERENCES: usize = 16;
const QUERIES: usize = 64;

/// A feature could not be scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The dataset cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The language model cannot be run.
    #[error(transparent)]
    LanguageModel(#[from] LanguageModelError),
    /// Text cannot be had from tokens.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The sentence encoder cannot read.
    #[error(transparent)]
    SentenceEncoder(#[from] SentenceEncoderError),
    /// libtorch failed.
    #[error("libtorch failed: {0}")]
    Libtorch(#[from] TchError),
}

/// What is known of a feature from its direction and its examples.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    /// Of its score.
    pub components: Components,
    /// The tokens that it promotes, the most promoted first.
    pub promoted: Vec<u32>,
}

/// What is the same for all features of an extraction.
pub struct Evaluator<'a> {
    model: &'a LanguageModel,
    dataset: &'a TokenizedDataset,
    texts: &'a TokenTexts,
    probes: &'a Probes,
    embedder: &'a Embedder,
    /// Of each probe.
    vectors: Vec<Vec<f32>>,
    /// Of each probe, the token that follows its middle.
    following: Vec<Option<u32>>,
    prompt: Vec<u32>,
}

/// What is the same for all features of a site.
pub struct Lens<'a> {
    site: &'a Site,
    number: usize,
    neutral: Neutral,
}

impl<'a> Evaluator<'a> {
    /// Reads the random stretches of text.
    ///
    /// # Errors
    /// [`ScoreError`].
    pub fn new(
        model: &'a LanguageModel,
        dataset: &'a TokenizedDataset,
        texts: &'a TokenTexts,
        probes: &'a Probes,
        embedder: &'a Embedder,
    ) -> Result<Self, ScoreError> {
        let mut prompt: Vec<u32> = dataset.bos().into_iter().collect();
        prompt.extend(texts.encode(PROMPT)?);
        let mut evaluator = Self {
            model,
            dataset,
            texts,
            probes,
            embedder,
            vectors: Vec::new(),
            following: Vec::new(),
            prompt,
        };
        let contexts: Vec<Context> = probes.all().iter().map(Context::from).collect();
        evaluator.vectors = evaluator.vectors_of(&contexts.iter().collect::<Vec<_>>())?;
        evaluator.following = contexts
            .iter()
            .map(|context| evaluator.token_after(context))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(evaluator)
    }

    /// Prepares for the features of a site, which writes to the residual stream at `writes`.
    ///
    /// # Errors
    /// [`ScoreError`].
    pub fn lens(
        &self,
        site: &'a Site,
        number: usize,
        writes: HookPoint,
    ) -> Result<Lens<'a>, ScoreError> {
        Ok(Lens {
            site,
            number,
            neutral: Neutral::new(&self.prompt, site, writes, self.model)?,
        })
    }

    /// Evaluates latents by their directions and these examples of them. `permuted`: what the logit lens promises is taken from the next
    /// latent in the list. Memory: twice `4 · latents · vocabulary` bytes.
    ///
    /// # Errors
    /// [`ScoreError`].
    pub fn evaluate(
        &self,
        lens: &Lens<'_>,
        latents: &[usize],
        examples: &[Vec<Context>],
        permuted: bool,
    ) -> Result<Vec<Evaluated>, ScoreError> {
        let _no_grad = tch::no_grad_guard();
        let decoder = &lens.site.autoencoder.w_dec;
        let indices: Vec<i64> = latents.iter().map(|latent| *latent as i64).collect();
        let indices = Tensor::f_from_slice(&indices)?.f_to_device(decoder.device())?;
        let directions = decoder
            .f_index_select(0, &indices)?
            .f_to_kind(Kind::Float)?;
        let promoted = self.model.promoted(&directions)?;
        let most = PROMISED.min(promoted.size()[1]);
        let (_, promised) = promoted.f_topk(most, 1, true, true)?;
        let logits = lens.neutral.logits(&directions, self.model)?;
        let outputs = if permuted {
            output_scores(&logits, &promised.f_roll(&[-1][..], &[0][..])?)?
        } else {
            output_scores(&logits, &promised)?
        };
        drop(logits);
        let vectors = self.vectors_of(&examples.iter().flatten().collect::<Vec<_>>())?;
        let promised = promised.f_to_device(Device::Cpu)?;
        let mut rest = vectors.as_slice();
        let mut evaluated = Vec::with_capacity(latents.len());
        for (row, (latent, examples)) in latents.iter().zip(examples).enumerate() {
            let (vectors, behind) = rest.split_at(examples.len());
            rest = behind;
            let silent: Vec<usize> = (0..self.vectors.len())
                .filter(|probe| !self.probes.is_active(*probe, lens.number, *latent))
                .collect();
            let promoted =
                Vec::<f32>::try_from(promoted.f_get(row as i64)?.f_to_device(Device::Cpu)?)?;
            let promised = Vec::<i64>::try_from(promised.f_get(row as i64)?)?;
            evaluated.push(Evaluated {
                components: Components {
                    example_embedding: self.example_embedding(vectors, &silent),
                    following: self.following(examples, &silent, &promoted)?,
                    output: outputs[row],
                },
                promoted: promised.into_iter().map(|id| id as u32).collect(),
            });
        }
        Ok(evaluated)
    }

    /// Every second example is compared with the others and with random stretches of text where the latent is silent, and so are
    /// further such stretches: the area under the curve of the difference between both mean similarities.
    fn example_embedding(&self, examples: &[Vec<f32>], silent: &[usize]) -> Option<f64> {
        if examples.len() < LEAST || silent.len() < 2 * LEAST {
            return None;
        }
        let references = REFERENCES.min(silent.len() / 2);
        let (compared, told_apart) = silent.split_at(references);
        let alike = mean(examples.iter().step_by(2));
        let unlike = mean(compared.iter().map(|probe| &self.vectors[*probe]));
        let difference = |vector: &Vec<f32>| {
            let sides = alike.iter().zip(&unlike).zip(vector);
            sides
                .map(|((alike, unlike), part)| f64::from(*part) * (alike - unlike))
                .sum()
        };
        let positive: Vec<f64> = examples.iter().skip(1).step_by(2).map(difference).collect();
        let negative: Vec<f64> = told_apart
            .iter()
            .take(QUERIES)
            .map(|probe| difference(&self.vectors[*probe]))
            .collect();
        area_under_curve(&positive, &negative)
    }

    /// The area under the curve of how much the latent promotes the tokens after its examples' strongest, against those at random
    /// places where it is silent.
    fn following(
        &self,
        examples: &[Context],
        silent: &[usize],
        promoted: &[f32],
    ) -> Result<Option<f64>, ScoreError> {
        let of_token = |id: u32| promoted.get(id as usize).map(|value| f64::from(*value));
        let mut positive = Vec::new();
        for example in examples {
            positive.extend(self.token_after(example)?.and_then(of_token));
        }
        let after = silent.iter().filter_map(|probe| self.following[*probe]);
        let negative: Vec<f64> = after.filter_map(of_token).take(QUERIES).collect();
        if positive.len() < LEAST || negative.len() < LEAST {
            return Ok(None);
        }
        Ok(area_under_curve(&positive, &negative))
    }

    /// The token after the middle of a stretch of text; none at its end.
    fn token_after(&self, context: &Context) -> Result<Option<u32>, ScoreError> {
        if context.window.after == 0 {
            return Ok(None);
        }
        let tokens = self.dataset.sequence(u64::from(context.sequence))?;
        Ok(tokens.get(context.window.position as usize + 1).copied())
    }

    fn vectors_of(&self, contexts: &[&Context]) -> Result<Vec<Vec<f32>>, ScoreError> {
        self.embedder.vectors(contexts, &|context| {
            let tokens = self.dataset.sequence(u64::from(context.sequence))?;
            let window = context.window.start() as usize..context.window.end() as usize;
            Ok(self.texts.of_all(tokens.get(window).unwrap_or_default())?)
        })
    }
}

fn mean<'a>(vectors: impl Iterator<Item = &'a Vec<f32>>) -> Vec<f64> {
    let mut sum: Vec<f64> = Vec::new();
    let mut count = 0.0;
    for vector in vectors {
        sum.resize(vector.len(), 0.0);
        for (sum, part) in sum.iter_mut().zip(vector) {
            *sum += f64::from(*part);
        }
        count += 1.0;
    }
    sum.iter_mut().for_each(|sum| *sum /= count);
    sum
}
