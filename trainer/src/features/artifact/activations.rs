//! `activations.parquet`.

use super::{ArtifactError, Column, ParquetFile};
use std::path::Path;
use trainmaster_domain::run::artifact::ROWS_PER_GROUP;

const SCHEMA: &str = "message activations {
    REQUIRED INT32 neuron_index;
    OPTIONAL BINARY dataset_sample_id (STRING);
    OPTIONAL INT32 sample_index;
    REQUIRED BINARY tokens (STRING);
    REQUIRED BINARY activations (STRING);
    REQUIRED DOUBLE max_activation;
    OPTIONAL BINARY context_before (STRING);
    OPTIONAL BINARY context_after (STRING);
}";

/// An example of a feature.
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleRow {
    /// The latent, counted through all sites.
    pub neuron_index: i32,
    /// `<dataset>/<number>`.
    pub dataset_sample_id: String,
    /// The packed sequence's number.
    pub sample_index: i32,
    /// JSON array of strings.
    pub tokens: String,
    /// JSON array of numbers, as long.
    pub activations: String,
    /// The largest of them.
    pub max_activation: f64,
    /// Text of the window before its strongest token.
    pub context_before: String,
    /// Text after it.
    pub context_after: String,
}

/// A file of examples that is being written, ascending by index and the strongest first. It needs memory for one row group.
pub struct ExampleFile {
    file: ParquetFile,
    group: Vec<ExampleRow>,
}

impl ExampleFile {
    /// A new file.
    ///
    /// # Errors
    /// [`ArtifactError`].
    pub fn create(path: &Path) -> Result<Self, ArtifactError> {
        Ok(Self {
            file: ParquetFile::create(path, SCHEMA)?,
            group: Vec::new(),
        })
    }

    /// Writes the next row.
    ///
    /// # Errors
    /// [`ArtifactError`].
    pub fn push(&mut self, row: ExampleRow) -> Result<(), ArtifactError> {
        self.group.push(row);
        if self.group.len() == ROWS_PER_GROUP {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ArtifactError> {
        let rows = std::mem::take(&mut self.group);
        self.file.write_group(rows.len(), columns(rows))
    }

    /// Ends and syncs the file; says how many rows it has.
    ///
    /// # Errors
    /// [`ArtifactError`].
    pub fn finish(mut self) -> Result<i64, ArtifactError> {
        if !self.group.is_empty() {
            self.flush()?;
        }
        self.file.finish()
    }
}

fn columns(rows: Vec<ExampleRow>) -> Vec<Column> {
    let count = rows.len();
    let (mut indices, mut samples) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut ids, mut tokens) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut activations, mut maxima) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut before, mut after) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for row in rows {
        indices.push(row.neuron_index);
        ids.push(Some(row.dataset_sample_id));
        samples.push(row.sample_index);
        tokens.push(row.tokens);
        activations.push(row.activations);
        maxima.push(row.max_activation);
        before.push(Some(row.context_before));
        after.push(Some(row.context_after));
    }
    vec![
        Column::Int32(indices),
        Column::OptionalText(ids),
        Column::PresentInt32(samples),
        Column::Text(tokens),
        Column::Text(activations),
        Column::Double(maxima),
        Column::OptionalText(before),
        Column::OptionalText(after),
    ]
}
