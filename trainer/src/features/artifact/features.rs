//! `features.parquet`.

use super::{ArtifactError, Column, ParquetFile};
use std::path::Path;
use trainmaster_domain::run::artifact::ROWS_PER_GROUP;

const SCHEMA: &str = "message features {
    REQUIRED INT32 neuron_index;
    REQUIRED INT32 layer;
    REQUIRED BINARY hook (STRING);
    REQUIRED DOUBLE activation_frequency;
    REQUIRED DOUBLE max_activation_value;
    OPTIONAL BINARY name (STRING);
    OPTIONAL BINARY description (STRING);
    OPTIONAL DOUBLE interpretability_score;
    OPTIONAL BINARY score_components (STRING);
}";

/// A feature.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureRow {
    /// The latent, counted through all sites.
    pub neuron_index: i32,
    /// Of the language model.
    pub layer: i32,
    /// `residual`, `mlp` or `attention`.
    pub hook: String,
    /// 0 to 1.
    pub activation_frequency: f64,
    /// The largest seen.
    pub max_activation_value: f64,
    /// At most 500 characters.
    pub name: String,
    /// A sentence or two.
    pub description: String,
    /// 0 to 1; none: there was too little to judge by.
    pub interpretability_score: Option<f64>,
    /// A JSON object.
    pub score_components: Option<String>,
}

/// Writes features, ascending by index, into a new file and syncs it; says how many.
///
/// # Errors
/// [`ArtifactError`].
pub fn write_features(path: &Path, features: &[FeatureRow]) -> Result<i64, ArtifactError> {
    let mut file = ParquetFile::create(path, SCHEMA)?;
    for rows in features.chunks(ROWS_PER_GROUP) {
        let text = |of: fn(&FeatureRow) -> &String| rows.iter().map(move |row| of(row).clone());
        file.write_group(
            rows.len(),
            vec![
                Column::Int32(rows.iter().map(|row| row.neuron_index).collect()),
                Column::Int32(rows.iter().map(|row| row.layer).collect()),
                Column::Text(text(|row| &row.hook).collect()),
                Column::Double(rows.iter().map(|row| row.activation_frequency).collect()),
                Column::Double(rows.iter().map(|row| row.max_activation_value).collect()),
                Column::OptionalText(text(|row| &row.name).map(Some).collect()),
                Column::OptionalText(text(|row| &row.description).map(Some).collect()),
                Column::OptionalDouble(rows.iter().map(|row| row.interpretability_score).collect()),
                Column::OptionalText(
                    rows.iter()
                        .map(|row| row.score_components.clone())
                        .collect(),
                ),
            ],
        )?;
    }
    file.finish()
}
