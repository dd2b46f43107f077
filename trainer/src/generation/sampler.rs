//! Drawing tokens from logits.
//!
//! In this order: repetition penalty (Keskar et al. 2019, arXiv:1909.05858), temperature, top-k (Fan et al. 2018, arXiv:1805.04833),
//! top-p (nucleus sampling, Holtzman et al. 2020, arXiv:1904.09751). The drawing is a function of the seed alone, on every device.

use crate::random::Random;
use std::collections::HashSet;
use trainmaster_domain::run::spec::Sampling;

/// Draws one token after the other. Memory: a few numbers for each token of the vocabulary.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    random: Random,
    seen: HashSet<u32>,
}

impl Sampler {
    /// A sampler for a text that goes on from `prompt`: its tokens count as written, as they do in transformers.
    #[must_use]
    pub fn new(sampling: &Sampling, prompt: &[u32]) -> Self {
        Self {
            random: Random::new(sampling.seed, "generation", 0),
            sampling: sampling.clone(),
            seen: prompt.iter().copied().collect(),
        }
    }

    /// Draws the next token from the logits of all, which it may change. None if they are not numbers.
    pub fn draw(&mut self, logits: &mut [f32]) -> Option<u32> {
        self.penalise(logits);
        // Taken for every token, so that two texts of one seed stay in step.
        let chance = self.random.uniform();
        let likeliest = likeliest(logits)?;
        let token = if self.sampling.temperature > 0.0 {
            self.candidates(logits, likeliest).pick(chance)
        } else {
            likeliest
        };
        self.seen.insert(token);
        Some(token)
    }

    fn penalise(&self, logits: &mut [f32]) {
        let penalty = self.sampling.repetition_penalty as f32;
        if penalty == 1.0 {
            return;
        }
        for token in &self.seen {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit = if *logit > 0.0 {
                    *logit / penalty
                } else {
                    *logit * penalty
                };
            }
        }
    }

    /// What can be drawn.
    fn candidates(&self, logits: &[f32], likeliest: u32) -> Candidates {
        let highest = f64::from(logits[likeliest as usize]);
        let temperature = self.sampling.temperature;
        // Relative to the likeliest, so that no exponential overflows.
        let mut weighted: Vec<(u32, f64)> = (0..)
            .zip(logits)
            .map(|(token, logit)| (token, ((f64::from(*logit) - highest) / temperature).exp()))
            .collect();
        let falling = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        let top_k = self.sampling.top_k as usize;
        if top_k > 0 && top_k < weighted.len() {
            weighted.select_nth_unstable_by(top_k - 1, falling);
            weighted.truncate(top_k);
        }
        // In a fixed order, which the drawing depends on.
        weighted.sort_unstable_by(falling);
        if self.sampling.top_p < 1.0 {
            let enough = self.sampling.top_p * total(&weighted);
            let mut sum = 0.0;
            let kept = weighted
                .iter()
                .position(|(_, weight)| {
                    sum += weight;
                    sum >= enough
                })
                .map_or(weighted.len(), |last| last + 1);
            weighted.truncate(kept);
        }
        Candidates(weighted)
    }
}

/// Tokens and what they weigh, the heaviest first; at least one.
struct Candidates(Vec<(u32, f64)>);

impl Candidates {
    /// The token at `chance` (0 to 1) of the whole weight.
    fn pick(&self, chance: f64) -> u32 {
        let mut left = chance * total(&self.0);
        for (token, weight) in &self.0 {
            left -= weight;
            if left < 0.0 {
                return *token;
            }
        }
        // Rounding may leave a little.
        self.0.first().map_or(0, |(token, _)| *token)
    }
}

fn total(weighted: &[(u32, f64)]) -> f64 {
    weighted.iter().map(|(_, weight)| weight).sum()
}

/// The first of the likeliest tokens; none where a logit is not a number, or none is finite.
fn likeliest(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (token, logit) in (0..).zip(logits) {
        if logit.is_nan() || *logit == f32::INFINITY {
            return None;
        }
        if best.is_none_or(|(_, highest)| *logit > highest) {
            best = Some((token, *logit));
        }
    }
    best.filter(|(_, highest)| highest.is_finite())
        .map(|(token, _)| token)
}
