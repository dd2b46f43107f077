//! Where activations come from, seen from the autoencoder.

use tch::Tensor;

/// Why activations could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// The source failed; it says why.
    #[error(transparent)]
    Source(#[from] Box<dyn std::error::Error + Send + Sync>),
    /// libtorch failed while they were mixed.
    #[error("mixing activations failed: {0}")]
    Libtorch(#[from] tch::TchError),
    /// No position of the dataset can be trained on.
    #[error("of {sequences} sequences not one position is left to train on")]
    Empty {
        /// How many sequences there are.
        sequences: u64,
    },
}

/// Sequences whose activations an autoencoder trains on. Reading the same sequences again must give the same bits: an exact
/// continuation is built on it.
pub trait ActivationSource {
    /// Width of an activation.
    fn width(&self) -> i64;

    /// How many sequences there are.
    fn sequences(&self) -> u64;

    /// The most activations that a sequence can have.
    fn activations_per_sequence(&self) -> u64;

    /// How many sequences are best read in one pass.
    fn sequences_per_pass(&self) -> usize;

    /// The activations of some sequences, one after another: f32 [rows, width] on the device of the training. Positions that say nothing
    /// about text (beginning of sequence, padding) are left out.
    ///
    /// # Errors
    /// [`ActivationError::Source`] with the reason.
    fn read(&mut self, sequences: &[u64]) -> Result<Tensor, ActivationError>;
}

/// Activations in memory, cut into sequences of equal length: for tests and benchmarks.
#[derive(Debug)]
pub struct InMemory {
    rows: Tensor,
    per_sequence: i64,
}

impl InMemory {
    /// f32 [rows, width], in sequences of `per_sequence` rows; rows beyond the last whole sequence are not used.
    #[must_use]
    pub fn new(rows: Tensor, per_sequence: i64) -> Self {
        Self { rows, per_sequence }
    }
}

impl ActivationSource for InMemory {
    fn width(&self) -> i64 {
        self.rows.size().last().copied().unwrap_or(0)
    }

    fn sequences(&self) -> u64 {
        let rows = self.rows.size().first().copied().unwrap_or(0);
        (rows / self.per_sequence.max(1)) as u64
    }

    fn activations_per_sequence(&self) -> u64 {
        self.per_sequence as u64
    }

    fn sequences_per_pass(&self) -> usize {
        8
    }

    fn read(&mut self, sequences: &[u64]) -> Result<Tensor, ActivationError> {
        let parts: Result<Vec<Tensor>, _> = sequences
            .iter()
            .map(|s| {
                self.rows
                    .f_narrow(0, *s as i64 * self.per_sequence, self.per_sequence)
            })
            .collect();
        Ok(Tensor::f_cat(&parts?, 0)?)
    }
}
