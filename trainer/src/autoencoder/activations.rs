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
    #[error("in {passes} passes over the dataset not one position is left to train on")]
    Empty {
        /// How many passes there are.
        passes: u64,
    },
}

/// Activations of several places of a language model, its *streams*, a pass at a time: the passes together are the dataset, and each is
/// always the same text. Reading a pass again must give the same bits, whatever was read before: an exact continuation is built on it.
pub trait ActivationSource {
    /// How many passes there are.
    fn passes(&self) -> u64;

    /// The most activations that a pass can have.
    fn activations_per_pass(&self) -> u64;

    /// The activations of a pass, one tensor a stream: [rows, width of the stream], f32 or bf16, on the device of the training. Row i of
    /// each belongs to the same token. Positions that say nothing about text (beginning of sequence, padding) are left out.
    ///
    /// # Errors
    /// [`ActivationError::Source`] with the reason.
    fn read(&mut self, pass: u64) -> Result<Vec<Tensor>, ActivationError>;
}

/// Activations in memory, cut into passes of equal length: for tests and benchmarks.
#[derive(Debug)]
pub struct InMemory {
    streams: Vec<Tensor>,
    per_pass: i64,
}

impl InMemory {
    /// One stream, [rows, width], in passes of `per_pass` rows; rows beyond the last whole pass are not used.
    #[must_use]
    pub fn new(rows: Tensor, per_pass: i64) -> Self {
        Self::of_streams(vec![rows], per_pass)
    }

    /// Several streams of as many rows.
    #[must_use]
    pub fn of_streams(streams: Vec<Tensor>, per_pass: i64) -> Self {
        Self {
            streams,
            per_pass: per_pass.max(1),
        }
    }
}

impl ActivationSource for InMemory {
    fn passes(&self) -> u64 {
        let rows = self
            .streams
            .first()
            .and_then(|rows| rows.size().first().copied());
        (rows.unwrap_or(0) / self.per_pass) as u64
    }

    fn activations_per_pass(&self) -> u64 {
        self.per_pass as u64
    }

    fn read(&mut self, pass: u64) -> Result<Vec<Tensor>, ActivationError> {
        let rows = |stream: &Tensor| stream.f_narrow(0, pass as i64 * self.per_pass, self.per_pass);
        Ok(self.streams.iter().map(rows).collect::<Result<_, _>>()?)
    }
}
