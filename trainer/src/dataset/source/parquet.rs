//! A row of a Parquet file is one document.
//!
//! Only the text column is read, a page after the other, and so many rows at once as hold about [`BATCH_BYTES`] by the row
//! group's own account. A row group whose account speaks of more than [`MAX_LINE_BYTES`] a row on average is refused.

use super::{DatasetError, MAX_LINE_BYTES, Rows, strings};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
        },
    },
    errors::ParquetError,
};
use std::{
    fs::File,
    path::{Path, PathBuf},
};
use strings::Strings;

/// About how many bytes of text are decoded at once.
pub(super) const BATCH_BYTES: u64 = 8 << 20;
const MOST_ROWS: u64 = 8192;

pub(super) struct Parquet {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    batch: Option<Strings>,
    /// Rows before the batch.
    rows: u64,
    all_rows: u64,
    file_bytes: u64,
}

impl Parquet {
    pub fn open(path: PathBuf, column: &str) -> Result<Self, DatasetError> {
        let missing = |source| DatasetError::FileMissing {
            path: path.clone(),
            source,
        };
        let file = File::open(&path).map_err(missing)?;
        let file_bytes = file.metadata().map_err(missing)?.len();
        // What a writer of Arrow noted of its own types (dictionaries, views) does not matter here.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
            .map_err(|error| malformed(&path, &error))?;
        let index = strings::column_of(&path, builder.schema(), column)?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), [index]);
        let leaf = (0..builder.parquet_schema().num_columns())
            .find(|leaf| builder.parquet_schema().get_column_root_idx(*leaf) == index)
            .unwrap_or(index);
        let mut rows_at_once = MOST_ROWS;
        let mut all_rows = 0;
        for (number, group) in builder.metadata().row_groups().iter().enumerate() {
            let rows = u64::try_from(group.num_rows()).unwrap_or(0);
            let bytes = u64::try_from(group.column(leaf).uncompressed_size()).unwrap_or(0);
            all_rows += rows;
            let bytes_a_row = bytes / rows.max(1);
            if bytes_a_row > MAX_LINE_BYTES as u64 {
                return Err(DatasetError::BatchTooLarge {
                    path,
                    what: format!("row group {number} has {bytes_a_row} bytes of text a row"),
                    most: MAX_LINE_BYTES as u64,
                });
            }
            rows_at_once = rows_at_once.min(BATCH_BYTES / bytes_a_row.max(1));
        }
        let reader = builder
            .with_projection(mask)
            .with_batch_size(usize::try_from(rows_at_once.max(1)).unwrap_or(1))
            .build()
            .map_err(|error| malformed(&path, &error))?;
        Ok(Self {
            path,
            reader,
            batch: None,
            rows: 0,
            all_rows,
            file_bytes,
        })
    }
}

impl Rows for Parquet {
    fn next_text(&mut self) -> Result<Option<String>, DatasetError> {
        loop {
            if let Some(batch) = &mut self.batch {
                if let Some(text) = batch.next(&self.path, self.rows)? {
                    return Ok(Some(text));
                }
                self.rows += batch.len();
                self.batch = None;
            }
            match self.reader.next() {
                None => return Ok(None),
                Some(Ok(batch)) => self.batch = Some(Strings::new(batch.column(0).clone())),
                Some(Err(error)) => {
                    return Err(DatasetError::Malformed {
                        path: self.path.clone(),
                        what: "a Parquet file",
                        detail: first_line(&error.to_string()),
                    });
                }
            }
        }
    }

    fn read_bytes(&self) -> u64 {
        let part = self.rows as f64 / self.all_rows.max(1) as f64;
        (part * self.file_bytes as f64) as u64
    }
}

fn malformed(path: &Path, error: &ParquetError) -> DatasetError {
    DatasetError::Malformed {
        path: path.to_owned(),
        what: "a Parquet file",
        detail: first_line(&error.to_string()),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
