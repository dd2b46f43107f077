//! Artifacts as the trainer writes them, with contents that a test chooses.

use parquet::{
    basic::Compression,
    column::writer::ColumnWriter,
    data_type::ByteArray,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use sha2::{Digest, Sha256};
use std::{fs::File, path::Path, sync::Arc};
use trainmaster_domain::run::{artifact::ROWS_PER_GROUP, journal::Artifact};

const FEATURES: &str = "message features {
    required int32 neuron_index; required int32 layer; required binary hook (utf8);
    required double activation_frequency; required double max_activation_value;
    optional binary name (utf8); optional binary description (utf8);
    optional double interpretability_score; optional binary score_components (utf8);
}";

const ACTIVATIONS: &str = "message activations {
    required int32 neuron_index; optional binary dataset_sample_id (utf8); optional int32 sample_index;
    required binary tokens (utf8); required binary activations (utf8); required double max_activation;
    optional binary context_before (utf8); optional binary context_after (utf8);
}";

/// A row of `features.parquet`.
#[derive(Clone, Debug)]
pub struct FeatureRow {
    /// The latent.
    pub neuron_index: i32,
    /// Its layer.
    pub layer: i32,
    /// 0 to 1.
    pub frequency: f64,
    /// The largest activation.
    pub max: f64,
    /// A name.
    pub name: Option<String>,
    /// A description.
    pub description: Option<String>,
    /// 0 to 1.
    pub score: Option<f64>,
}

/// A row of `activations.parquet`.
#[derive(Clone, Debug)]
pub struct ActivationRow {
    /// The latent.
    pub neuron_index: i32,
    /// The packed sequence.
    pub sample: Option<i32>,
    /// A JSON array of strings.
    pub tokens: String,
    /// A JSON array of numbers.
    pub activations: String,
    /// The largest of them.
    pub max: f64,
    /// Text before.
    pub before: Option<String>,
    /// Text after.
    pub after: Option<String>,
}

enum Values {
    Integers(Vec<Option<i32>>),
    Doubles(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
}

/// Writes `features.parquet`.
///
/// # Panics
/// When it cannot be written.
pub fn write_features(path: &Path, rows: &[FeatureRow]) -> Artifact {
    write(path, FEATURES, rows.iter().cloned(), |rows| {
        vec![
            Values::Integers(rows.iter().map(|row| Some(row.neuron_index)).collect()),
            Values::Integers(rows.iter().map(|row| Some(row.layer)).collect()),
            Values::Texts(vec![Some("residual".to_owned()); rows.len()]),
            Values::Doubles(rows.iter().map(|row| Some(row.frequency)).collect()),
            Values::Doubles(rows.iter().map(|row| Some(row.max)).collect()),
            Values::Texts(rows.iter().map(|row| row.name.clone()).collect()),
            Values::Texts(rows.iter().map(|row| row.description.clone()).collect()),
            Values::Doubles(rows.iter().map(|row| row.score).collect()),
            Values::Texts(vec![None; rows.len()]),
        ]
    })
}

/// Writes `activations.parquet`.
///
/// # Panics
/// When it cannot be written.
pub fn write_activations(path: &Path, rows: &[ActivationRow]) -> Artifact {
    write_many_activations(path, rows.iter().cloned())
}

/// The same of rows that are too many for memory.
///
/// # Panics
/// When it cannot be written.
pub fn write_many_activations(path: &Path, rows: impl Iterator<Item = ActivationRow>) -> Artifact {
    write(path, ACTIVATIONS, rows, |rows| {
        let sample = |row: &ActivationRow| row.sample.map(|number| format!("ds_1/{number}"));
        vec![
            Values::Integers(rows.iter().map(|row| Some(row.neuron_index)).collect()),
            Values::Texts(rows.iter().map(sample).collect()),
            Values::Integers(rows.iter().map(|row| row.sample).collect()),
            Values::Texts(rows.iter().map(|row| Some(row.tokens.clone())).collect()),
            Values::Texts(
                rows.iter()
                    .map(|row| Some(row.activations.clone()))
                    .collect(),
            ),
            Values::Doubles(rows.iter().map(|row| Some(row.max)).collect()),
            Values::Texts(rows.iter().map(|row| row.before.clone()).collect()),
            Values::Texts(rows.iter().map(|row| row.after.clone()).collect()),
        ]
    })
}

/// The artifact that a file is.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn describe(path: &Path, rows: usize) -> Artifact {
    let mut hash = Sha256::new();
    let mut file = File::open(path).expect("the artifact is there");
    let size = std::io::copy(&mut file, &mut hash).expect("the artifact can be read");
    Artifact {
        path: path.to_string_lossy().into_owned(),
        sha256: format!("{:x}", hash.finalize()),
        size_bytes: size.cast_signed(),
        rows: rows.cast_signed() as i64,
    }
}

fn write<T>(
    path: &Path,
    schema: &str,
    mut rows: impl Iterator<Item = T>,
    columns: impl Fn(&[T]) -> Vec<Values>,
) -> Artifact {
    let schema = Arc::new(parse_message_type(schema).expect("the schema is one"));
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let file = File::create(path).expect("the artifact can be made");
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build()))
        .expect("a Parquet file can be begun");
    let mut written = 0;
    loop {
        let rows: Vec<T> = rows.by_ref().take(ROWS_PER_GROUP).collect();
        if rows.is_empty() {
            break;
        }
        written += rows.len();
        let mut group = writer.next_row_group().expect("a row group can be begun");
        for values in columns(&rows) {
            let mut column = group
                .next_column()
                .expect("a column can be begun")
                .expect("there is another column");
            let required = match column.untyped() {
                ColumnWriter::Int32ColumnWriter(writer) => writer.get_descriptor(),
                ColumnWriter::DoubleColumnWriter(writer) => writer.get_descriptor(),
                ColumnWriter::ByteArrayColumnWriter(writer) => writer.get_descriptor(),
                _ => panic!("the schema has another type"),
            }
            .max_def_level()
                == 0;
            fn levels<T>(values: &[Option<T>], required: bool) -> Option<Vec<i16>> {
                (!required).then(|| values.iter().map(|v| i16::from(v.is_some())).collect())
            }
            match (column.untyped(), values) {
                (ColumnWriter::Int32ColumnWriter(writer), Values::Integers(values)) => {
                    let levels = levels(&values, required);
                    let values: Vec<i32> = values.into_iter().flatten().collect();
                    writer.write_batch(&values, levels.as_deref(), None)
                }
                (ColumnWriter::DoubleColumnWriter(writer), Values::Doubles(values)) => {
                    let levels = levels(&values, required);
                    let values: Vec<f64> = values.into_iter().flatten().collect();
                    writer.write_batch(&values, levels.as_deref(), None)
                }
                (ColumnWriter::ByteArrayColumnWriter(writer), Values::Texts(values)) => {
                    let levels = levels(&values, required);
                    let values = values.into_iter().flatten();
                    let values: Vec<ByteArray> =
                        values.map(|text| text.into_bytes().into()).collect();
                    writer.write_batch(&values, levels.as_deref(), None)
                }
                _ => panic!("the schema has another type"),
            }
            .expect("the column can be written");
            column.close().expect("the column can be ended");
        }
        group.close().expect("the row group can be ended");
    }
    writer.close().expect("the file can be ended");
    describe(path, written)
}
