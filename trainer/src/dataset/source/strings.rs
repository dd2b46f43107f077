//! A column of strings of an Arrow record batch, however it is held.

use super::{DatasetError, MAX_LINE_BYTES};
use arrow_array::{Array, ArrayRef, cast::AsArray};
use arrow_schema::{DataType, Schema};
use std::path::Path;

/// The column of this name, which must hold strings.
pub(super) fn column_of(path: &Path, schema: &Schema, column: &str) -> Result<usize, DatasetError> {
    let Some((index, field)) = schema.column_with_name(column) else {
        return Err(DatasetError::NoColumn {
            path: path.to_owned(),
            column: column.to_owned(),
            columns: schema
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect(),
        });
    };
    let held = match field.data_type() {
        DataType::Dictionary(_, values) => values.as_ref(),
        other => other,
    };
    match held {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(index),
        other => Err(DatasetError::NotStrings {
            path: path.to_owned(),
            column: column.to_owned(),
            found: other.to_string(),
        }),
    }
}

/// The strings of a batch, given out one after the other.
pub(super) struct Strings {
    rows: ArrayRef,
    /// Of a dictionary: its values, and which of them each row is.
    dictionary: Option<(ArrayRef, Vec<usize>)>,
    next: usize,
}

impl Strings {
    pub fn new(rows: ArrayRef) -> Self {
        let dictionary = rows.as_any_dictionary_opt().map(|dictionary| {
            let values = dictionary.values().clone();
            // Without values there are no rows but null ones.
            let keys = if values.is_empty() {
                vec![]
            } else {
                dictionary.normalized_keys()
            };
            (values, keys)
        });
        Self {
            rows,
            dictionary,
            next: 0,
        }
    }

    /// The next row's, empty where it is null; none at the end. `before` are the rows before this batch.
    pub fn next(&mut self, path: &Path, before: u64) -> Result<Option<String>, DatasetError> {
        let row = self.next;
        if row >= self.rows.len() {
            return Ok(None);
        }
        self.next += 1;
        let (values, at) = match &self.dictionary {
            _ if self.rows.is_null(row) => return Ok(Some(String::new())),
            None => (&self.rows, row),
            Some((values, keys)) => match keys.get(row) {
                Some(at) if !values.is_null(*at) => (values, *at),
                _ => return Ok(Some(String::new())),
            },
        };
        let text = match values.data_type() {
            DataType::Utf8 => values.as_string::<i32>().value(at),
            DataType::LargeUtf8 => values.as_string::<i64>().value(at),
            DataType::Utf8View => values.as_string_view().value(at),
            other => {
                return Err(DatasetError::Malformed {
                    path: path.to_owned(),
                    what: "a table of strings",
                    detail: format!("its batches hold {other}"),
                });
            }
        };
        if text.len() > MAX_LINE_BYTES {
            return Err(DatasetError::LineTooLong {
                path: path.to_owned(),
                line: before + row as u64 + 1,
                most: MAX_LINE_BYTES,
            });
        }
        Ok(Some(text.to_owned()))
    }

    /// Rows of the batch.
    pub fn len(&self) -> u64 {
        self.rows.len() as u64
    }
}
