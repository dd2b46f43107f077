//! A column of a row group.

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedColumnWriter;

/// Values of a column, one a row, of the type that the schema has for it.
pub(super) enum Column {
    /// INT32, required.
    Int32(Vec<i32>),
    /// INT32, optional, never null.
    PresentInt32(Vec<i32>),
    /// DOUBLE, required.
    Double(Vec<f64>),
    /// DOUBLE, optional.
    OptionalDouble(Vec<Option<f64>>),
    /// UTF8, required.
    Text(Vec<String>),
    /// UTF8, optional.
    OptionalText(Vec<Option<String>>),
}

impl Column {
    pub(super) fn write(self, writer: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let bytes = |text: String| ByteArray::from(text.into_bytes());
        match self {
            Self::Int32(values) => {
                writer
                    .typed::<Int32Type>()
                    .write_batch(&values, None, None)?;
            }
            Self::PresentInt32(values) => {
                let levels = vec![1; values.len()];
                writer
                    .typed::<Int32Type>()
                    .write_batch(&values, Some(&levels), None)?;
            }
            Self::Double(values) => {
                writer
                    .typed::<DoubleType>()
                    .write_batch(&values, None, None)?;
            }
            Self::OptionalDouble(values) => {
                let levels = levels(&values);
                let present: Vec<f64> = values.into_iter().flatten().collect();
                writer
                    .typed::<DoubleType>()
                    .write_batch(&present, Some(&levels), None)?;
            }
            Self::Text(values) => {
                let values: Vec<ByteArray> = values.into_iter().map(bytes).collect();
                writer
                    .typed::<ByteArrayType>()
                    .write_batch(&values, None, None)?;
            }
            Self::OptionalText(values) => {
                let levels = levels(&values);
                let present: Vec<ByteArray> = values.into_iter().flatten().map(bytes).collect();
                writer
                    .typed::<ByteArrayType>()
                    .write_batch(&present, Some(&levels), None)?;
            }
        }
        Ok(())
    }
}

/// Which values are there.
fn levels<T>(values: &[Option<T>]) -> Vec<i16> {
    values
        .iter()
        .map(|value| i16::from(value.is_some()))
        .collect()
}
