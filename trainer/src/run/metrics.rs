//! Collects steps into the columnar batches of the journal.

use crate::autoencoder::training::{Details, Step};
use chrono::Utc;
use std::time::{Duration, Instant};
use trainmaster_domain::run::journal::MetricsBatch;

/// A batch is written when it has so many steps …
const STEPS: usize = 100;
/// … or is so old.
const AGE: Duration = Duration::from_secs(5);

/// What is recorded of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Which step, from 1.
    pub step: u64,
    /// Its whole loss.
    pub loss: f64,
    /// The learning rate that was used.
    pub learning_rate: f64,
    /// What depends on what is trained.
    pub measured: Measured,
}

/// What is measured of a step, by what is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measured {
    /// Of autoencoders.
    Autoencoder {
        /// The reconstruction part of the loss.
        reconstruction_error: f64,
        /// The rest.
        details: Details,
    },
    /// Of a network that segments images.
    Segmentation {
        /// The mean Dice coefficient of the step's batch.
        dice: f64,
    },
}

impl Row {
    /// Of a step whose details were measured.
    #[must_use]
    pub fn of(step: &Step) -> Option<Self> {
        step.details.map(|details| Self {
            step: step.step,
            loss: step.loss,
            learning_rate: step.learning_rate,
            measured: Measured::Autoencoder {
                reconstruction_error: step.reconstruction_error,
                details,
            },
        })
    }

    /// L0, of autoencoders.
    #[must_use]
    pub fn sparsity(&self) -> Option<f64> {
        match self.measured {
            Measured::Autoencoder { details, .. } => Some(details.active_latents),
            Measured::Segmentation { .. } => None,
        }
    }
}

/// What a step did to several autoencoders: the means, and the sum of the dead latents.
#[must_use]
pub fn mean(steps: &[Step]) -> Option<Step> {
    let first = steps.first()?;
    let count = steps.len() as f64;
    let mean = |of: &dyn Fn(&Step) -> f64| steps.iter().map(of).sum::<f64>() / count;
    let details: Option<Vec<Details>> = steps.iter().map(|step| step.details).collect();
    let of_details =
        |of: fn(&Details) -> f64, details: &[Details]| details.iter().map(of).sum::<f64>() / count;
    Some(Step {
        step: first.step,
        loss: mean(&|step| step.loss),
        reconstruction_error: mean(&|step| step.reconstruction_error),
        learning_rate: first.learning_rate,
        details: details.map(|details| Details {
            active_latents: of_details(|details| details.active_latents, &details),
            explained_variance: of_details(|details| details.explained_variance, &details),
            dead_latents: details.iter().map(|details| details.dead_latents).sum(),
        }),
    })
}

/// The batch that is being collected.
#[derive(Debug)]
pub struct Collector {
    batch: MetricsBatch,
    /// Samples trained on since the last batch.
    trained: u64,
    since: Instant,
}

impl Collector {
    /// Nothing collected yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            batch: MetricsBatch::default(),
            trained: 0,
            since: Instant::now(),
        }
    }

    /// Takes up a step over so many samples (activations, slices of images), and its row, where it is recorded.
    pub fn push(&mut self, row: Option<Row>, samples: u64) {
        self.trained += samples;
        let Some(row) = row else {
            return;
        };
        let batch = &mut self.batch;
        batch.steps.push(row.step);
        batch.loss.push(row.loss);
        batch.learning_rate.push(row.learning_rate);
        batch.at.push(Utc::now());
        match row.measured {
            Measured::Autoencoder {
                reconstruction_error,
                details,
            } => {
                batch.sparsity.push(details.active_latents);
                batch.reconstruction_error.push(reconstruction_error);
                batch.dead_neurons.push(details.dead_latents);
                batch.explained_variance.push(details.explained_variance);
            }
            Measured::Segmentation { dice } => batch.dice.push(dice),
        }
    }

    /// Whether the batch should be written now.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.batch.steps.len() >= STEPS
            || (!self.batch.steps.is_empty() && self.since.elapsed() >= AGE)
    }

    /// The batch so far, if there is anything in it, and begins another.
    pub fn take(&mut self) -> Option<MetricsBatch> {
        if self.batch.steps.is_empty() {
            return None;
        }
        let seconds = self.since.elapsed().as_secs_f64().max(1e-6);
        let mut batch = std::mem::take(&mut self.batch);
        batch.tokens_per_second = self.trained as f64 / seconds;
        self.trained = 0;
        self.since = Instant::now();
        Some(batch)
    }
}

impl Default for Collector {
    fn default() -> Self {
        Self::new()
    }
}
