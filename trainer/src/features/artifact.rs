//! The Parquet files that an extraction leaves (see [`trainmaster_domain::run::artifact`]).

mod activations;
mod column;
mod features;

pub use activations::{ExampleFile, ExampleRow};
pub use features::{FeatureRow, write_features};

use column::Column;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An artifact could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The rows make no Parquet file.
    #[error("{path}: {reason}")]
    Rows {
        /// Which file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// A number with six significant digits: as exact as what is known, and short in JSON.
#[must_use]
pub fn rounded(number: f32) -> f64 {
    // Always a number again.
    format!("{number:.5e}").parse().unwrap_or(f64::from(number))
}

/// A file that is being written, a row group at a time.
struct ParquetFile {
    path: PathBuf,
    writer: SerializedFileWriter<File>,
    rows: i64,
}

impl ParquetFile {
    /// A new file with the columns of a schema in Parquet's message notation.
    fn create(path: &Path, schema: &str) -> Result<Self, ArtifactError> {
        let refused = |source| ArtifactError::File {
            path: path.to_owned(),
            source,
        };
        let wrong = |error: ParquetError| ArtifactError::Rows {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let file = File::create(path).map_err(refused)?;
        let level = ZstdLevel::try_new(1).map_err(wrong)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_statistics_enabled(EnabledStatistics::None)
            .set_created_by(concat!("trainmaster-trainer ", env!("CARGO_PKG_VERSION")).into())
            .build();
        let schema = Arc::new(parse_message_type(schema).map_err(wrong)?);
        let writer =
            SerializedFileWriter::new(file, schema, Arc::new(properties)).map_err(wrong)?;
        Ok(Self {
            path: path.to_owned(),
            writer,
            rows: 0,
        })
    }

    /// Writes `rows` rows: a column after the other, in the schema's order.
    fn write_group(&mut self, rows: usize, columns: Vec<Column>) -> Result<(), ArtifactError> {
        let write = || -> Result<(), ParquetError> {
            let mut group = self.writer.next_row_group()?;
            for column in columns {
                let Some(mut writer) = group.next_column()? else {
                    return Err(ParquetError::General(
                        "more columns than the schema has".into(),
                    ));
                };
                column.write(&mut writer)?;
                writer.close()?;
            }
            group.close()?;
            Ok(())
        };
        let written = write();
        self.rows += rows as i64;
        written.map_err(|error| self.failed(error))
    }

    /// Ends and syncs the file; says how many rows it has.
    fn finish(mut self) -> Result<i64, ArtifactError> {
        if let Err(error) = self.writer.finish() {
            return Err(self.failed(error));
        }
        match self.writer.inner().sync_all() {
            Ok(()) => Ok(self.rows),
            Err(source) => Err(ArtifactError::File {
                path: self.path,
                source,
            }),
        }
    }

    fn failed(&self, error: ParquetError) -> ArtifactError {
        let path = self.path.clone();
        match error {
            ParquetError::External(error) => match error.downcast::<std::io::Error>() {
                Ok(source) => ArtifactError::File {
                    path,
                    source: *source,
                },
                Err(other) => ArtifactError::Rows {
                    path,
                    reason: other.to_string(),
                },
            },
            other => ArtifactError::Rows {
                path,
                reason: other.to_string(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_keeps_six_digits() {
        assert_eq!(rounded(2.345_678_9), 2.34568);
        assert_eq!(rounded(0.0), 0.0);
        assert_eq!(rounded(123_456_789.0), 123_457_000.0);
    }
}
