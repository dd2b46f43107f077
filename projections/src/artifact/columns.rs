//! Columns of a Parquet file by name, some rows at a time.

use super::Unusable;
use parquet::{
    basic::Type,
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::{ByteArray, DataType},
    errors::ParquetError,
    file::{metadata::ParquetMetaData, reader::RowGroupReader},
};

/// Rows that are held at once.
const ROWS: usize = 1_024;

/// Some rows, a column after the other, in the order in which they were asked for.
pub(crate) struct Batch {
    pub(crate) rows: usize,
    columns: Vec<Values>,
}

enum Values {
    Integers(Vec<Option<i32>>),
    Doubles(Vec<Option<f64>>),
    Texts(Vec<Option<ByteArray>>),
}

impl Batch {
    /// A whole number of a column.
    pub(crate) fn integer(&self, column: usize, row: usize) -> Option<i32> {
        match self.columns.get(column)? {
            Values::Integers(values) => values.get(row).copied().flatten(),
            _ => None,
        }
    }

    /// A number of a column.
    pub(crate) fn double(&self, column: usize, row: usize) -> Option<f64> {
        match self.columns.get(column)? {
            Values::Doubles(values) => values.get(row).copied().flatten(),
            _ => None,
        }
    }

    /// The bytes of a text; whether they are UTF-8 has not been looked at.
    pub(crate) fn text(&self, column: usize, row: usize) -> Option<&[u8]> {
        match self.columns.get(column)? {
            Values::Texts(values) => values.get(row)?.as_ref().map(ByteArray::data),
            _ => None,
        }
    }
}

/// Where the columns of a name and a type are in a file.
pub(super) fn find(
    metadata: &ParquetMetaData,
    wanted: &[(&str, Type)],
) -> Result<Vec<usize>, Unusable> {
    let schema = metadata.file_metadata().schema_descr();
    wanted
        .iter()
        .map(|(name, kind)| {
            let found = schema
                .columns()
                .iter()
                .position(|column| column.path().string() == *name);
            match found {
                Some(index) => {
                    let column = schema.column(index);
                    if column.physical_type() == *kind && column.max_rep_level() == 0 {
                        Ok(index)
                    } else {
                        Err(Unusable::Content(format!(
                            "its column {name} is not of type {kind}"
                        )))
                    }
                }
                None => Err(Unusable::Content(format!("it has no column {name}"))),
            }
        })
        .collect()
}

/// The columns of a row group.
pub(super) struct Group {
    left: usize,
    columns: Vec<Column>,
}

enum Column {
    Integers(Nullable<parquet::data_type::Int32Type>),
    Doubles(Nullable<parquet::data_type::DoubleType>),
    Texts(Nullable<parquet::data_type::ByteArrayType>),
}

struct Nullable<T: DataType> {
    reader: ColumnReaderImpl<T>,
    /// What a value that is not null has.
    defined: i16,
}

impl Group {
    pub(super) fn open(group: &dyn RowGroupReader, columns: &[usize]) -> Result<Self, Unusable> {
        let metadata = group.metadata();
        let open = |index: &usize| {
            let defined = metadata.column(*index).column_descr().max_def_level();
            match group.get_column_reader(*index).map_err(malformed)? {
                ColumnReader::Int32ColumnReader(reader) => {
                    Ok(Column::Integers(Nullable { reader, defined }))
                }
                ColumnReader::DoubleColumnReader(reader) => {
                    Ok(Column::Doubles(Nullable { reader, defined }))
                }
                ColumnReader::ByteArrayColumnReader(reader) => {
                    Ok(Column::Texts(Nullable { reader, defined }))
                }
                _ => Err(Unusable::Content(
                    "a column is of another type in a row group than in the file".to_owned(),
                )),
            }
        };
        Ok(Self {
            left: usize::try_from(metadata.num_rows()).unwrap_or(0),
            columns: columns.iter().map(open).collect::<Result<_, _>>()?,
        })
    }

    /// The next rows; none at the end of the group.
    pub(super) fn next(&mut self) -> Result<Option<Batch>, Unusable> {
        let rows = self.left.min(ROWS);
        if rows == 0 {
            return Ok(None);
        }
        self.left -= rows;
        let columns = self
            .columns
            .iter_mut()
            .map(|column| {
                Ok(match column {
                    Column::Integers(column) => Values::Integers(column.take(rows)?),
                    Column::Doubles(column) => Values::Doubles(column.take(rows)?),
                    Column::Texts(column) => Values::Texts(column.take(rows)?),
                })
            })
            .collect::<Result<_, Unusable>>()?;
        Ok(Some(Batch { rows, columns }))
    }
}

impl<T: DataType> Nullable<T> {
    fn take(&mut self, rows: usize) -> Result<Vec<Option<T::T>>, Unusable> {
        let (mut levels, mut values) = (Vec::new(), Vec::with_capacity(rows));
        let mut read = 0;
        while read < rows {
            let levels = (self.defined > 0).then_some(&mut levels);
            let (records, _, _) = self
                .reader
                .read_records(rows - read, levels, None, &mut values)
                .map_err(malformed)?;
            if records == 0 {
                return Err(Unusable::Content(
                    "a column has fewer rows than its row group".to_owned(),
                ));
            }
            read += records;
        }
        let mut values = values.into_iter();
        if self.defined == 0 {
            return Ok(values.map(Some).collect());
        }
        Ok(levels
            .iter()
            .map(|level| {
                if *level == self.defined {
                    values.next()
                } else {
                    None
                }
            })
            .collect())
    }
}

pub(super) fn malformed(error: ParquetError) -> Unusable {
    Unusable::Content(error.to_string())
}
