//! The output score: what the model says when a feature is made to fire in a text that says nothing.
//!
//! As Arad, Mueller and Belinkov define it (arXiv:2505.20063): on a neutral prompt, the feature's activation at the last token is raised by
//! [`AMPLIFICATION`] times the largest activation there. Of the [`super::evaluate::PROMISED`] tokens that the logit lens says the feature
//! promotes, `p` is the greatest probability of any as the next token and `r` the best rank (0: the most probable);
//! with a vocabulary of `V` the score is `(1 − r / V) · p`.

use super::evaluate::ScoreError;
use crate::features::pass::Site;
use crate::language_model::{HookPoint, KvCache, LanguageModel};
use tch::{Kind, TchError, Tensor};

/// The paper's neutral prompt.
pub(super) const PROMPT: &str = "From my experience,";

/// How many times the largest activation a feature is raised by.
const AMPLIFICATION: f64 = 10.0;

/// The neutral prompt, read for one site.
pub(super) struct Neutral {
    tokens: Vec<i64>,
    writes: HookPoint,
    /// By how much activations are raised.
    strength: f64,
}

impl Neutral {
    /// Reads the prompt.
    pub(super) fn new(
        tokens: &[u32],
        site: &Site,
        writes: HookPoint,
        model: &LanguageModel,
    ) -> Result<Self, ScoreError> {
        let _no_grad = tch::no_grad_guard();
        let tokens: Vec<i64> = tokens.iter().map(|id| i64::from(*id)).collect();
        let prompt = Tensor::f_from_slice(&tokens)?.f_unsqueeze(0)?;
        let hooked = model.activations(&prompt, &[site.reads])?;
        let mut strength = 0.0;
        if let Some(activations) = hooked.first() {
            let last = activations.f_select(1, -1)?.f_to_kind(Kind::Float)?;
            let latents = site.autoencoder.encode(&last)?;
            strength = AMPLIFICATION * latents.f_max()?.f_double_value(&[])?;
        }
        Ok(Self {
            tokens,
            writes,
            strength,
        })
    }

    /// Logits of the next token when each of `directions` (f32 `[n, hidden]`) is added: f32 `[n, vocab]`.
    pub(super) fn logits(
        &self,
        directions: &Tensor,
        model: &LanguageModel,
    ) -> Result<Tensor, ScoreError> {
        let _no_grad = tch::no_grad_guard();
        let rows = directions.size()[0];
        let length = self.tokens.len() as i64;
        let tokens = Tensor::f_from_slice(&self.tokens)?
            .f_unsqueeze(0)?
            .f_repeat([rows, 1])?;
        let added = directions.f_mul_scalar(self.strength)?;
        let mut cache = KvCache::new(model, rows, length)?;
        let logits = model.next_logits(&tokens, &mut cache, &mut |point, activation| {
            if point != self.writes {
                return Ok(None);
            }
            let raised = activation.f_mul_scalar(1.0)?;
            let _ = raised
                .f_select(1, length - 1)?
                .f_add_(&added.f_to_kind(activation.kind())?)?;
            Ok(Some(raised))
        })?;
        Ok(logits.f_to_kind(Kind::Float)?)
    }
}

/// The output score of each row of `logits` (f32 `[n, vocab]`) for the tokens that are promised there (i64 `[n, promised]`).
pub(super) fn output_scores(
    logits: &Tensor,
    promised: &Tensor,
) -> Result<Vec<Option<f64>>, TchError> {
    let vocabulary = logits.size()[1] as f64;
    let best = logits
        .f_gather(1, promised, false)?
        .f_amax(&[1][..], true)?;
    let greater = logits.f_gt_tensor(&best)?;
    let rank = greater.f_sum_dim_intlist(&[1][..], false, Kind::Double)?;
    let probability = (best.f_squeeze_dim(1)? - logits.f_logsumexp(&[1][..], false)?)
        .f_exp()?
        .f_to_kind(Kind::Double)?;
    let standing = rank.f_mul_scalar(-1.0 / vocabulary)?.f_add_scalar(1.0)?;
    let scores = standing.f_mul(&probability)?;
    let scores = Vec::<f64>::try_from(scores.f_to_device(tch::Device::Cpu)?)?;
    let finite = |score: f64| score.is_finite().then_some(score.clamp(0.0, 1.0));
    Ok(scores.into_iter().map(finite).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_score_is_rank_times_probability() {
        let logits = Tensor::from_slice(&[1.0_f32, 3.0, 2.0, 0.0]).view([1, 4]);
        let promised = Tensor::from_slice(&[0_i64, 2]).view([1, 2]);
        let scores = output_scores(&logits, &promised).unwrap();
        let all: f64 = [1.0_f64, 3.0, 2.0, 0.0]
            .iter()
            .map(|logit| logit.exp())
            .sum();
        // Token 2 is the second of four.
        let expected = 0.75 * 2.0_f64.exp() / all;
        assert!((scores[0].unwrap() - expected).abs() < 1e-6);
    }
}
