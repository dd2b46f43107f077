//! What is collected of the latents of one autoencoder.

use super::active::Active;
use super::examples::Examples;
use super::passage::Passage;
use super::representation::Sums;

/// How often and how strongly each latent is active, and its strongest examples.
#[derive(Debug)]
pub struct Statistics {
    /// Tokens on which each latent is active.
    counts: Vec<u64>,
    /// The largest activation of each.
    maxima: Vec<f32>,
    examples: Examples,
}

impl Statistics {
    /// Of nothing yet.
    #[must_use]
    pub fn new(latents: usize, examples: Examples) -> Self {
        Self {
            counts: vec![0; latents],
            maxima: vec![0.0; latents],
            examples,
        }
    }

    /// Takes up a sequence, a later one than any before: what is active in it, and its running sums where codes are kept.
    pub fn read(&mut self, passage: &Passage, active: &Active, sums: Option<&Sums>) {
        for column in active.columns() {
            let latent = column.latent as usize;
            self.counts[latent] += column.positions.len() as u64;
            let (position, strength) = column.strongest();
            let maximum = &mut self.maxima[latent];
            *maximum = maximum.max(strength);
            if !self.examples.would_keep(latent, strength) {
                continue;
            }
            // Active are tokens of text only.
            let Some(nth) = passage.nth(position) else {
                continue;
            };
            let window = passage.window(nth, self.examples.context());
            self.examples
                .keep(column, strength, passage.number, window, |code| {
                    if let Some(sums) = sums {
                        sums.encode(nth, window, code);
                    }
                });
        }
    }

    /// Latents.
    #[must_use]
    pub fn latents(&self) -> usize {
        self.counts.len()
    }

    /// Tokens on which a latent was active.
    #[must_use]
    pub fn count(&self, latent: usize) -> u64 {
        self.counts[latent]
    }

    /// A latent's largest activation; 0: never active.
    #[must_use]
    pub fn maximum(&self, latent: usize) -> f32 {
        self.maxima[latent]
    }

    /// The examples.
    #[must_use]
    pub fn examples(&self) -> &Examples {
        &self.examples
    }
}
