//! `/v1/trainings/{id}/features.parquet`: the features of a training as a Parquet file, written as it is sent.

use super::{AppState, Problem, extract::Id, problem::chain};
use crate::queries::{Feature, QueryError};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures::stream;
use parquet::{
    basic::Compression,
    column::writer::ColumnWriter,
    data_type::ByteArray,
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};
use std::{
    io::{self, Write},
    sync::Arc,
};
use tokio::{runtime::Handle, sync::mpsc};

/// Rows that are held at once: a row group.
const ROWS: u32 = 4_096;
/// Pieces of the file that wait for the client.
const PIECES: usize = 4;
/// Bytes of a piece, about.
const PIECE_BYTES: usize = 64 * 1024;

const SCHEMA: &str = "message features {
    required int64 id;
    required binary training_id (STRING);
    required int32 neuron_index;
    optional int32 layer;
    optional binary name (STRING);
    optional binary description (STRING);
    required double activation_frequency;
    optional double interpretability_score;
    optional double max_activation_value;
    required boolean is_favorite;
    required boolean is_hidden;
    required int64 created_at (TIMESTAMP(MICROS, true));
    required int64 updated_at (TIMESTAMP(MICROS, true));
}";

type Piece = Result<Bytes, io::Error>;

/// The features of a training, hidden ones too, in the order of the latents, as a Parquet file with the columns of the table.
#[utoipa::path(
    get, path = "/v1/trainings/{id}/features.parquet", tag = "features", operation_id = "exportFeatures",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/vnd.apache.parquet"),
        (status = "default", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn export(State(state): State<AppState>, Id(id): Id) -> Result<Response, Problem> {
    if !state.queries().has_training(&id).await? {
        return Err(Problem::no_training(&id));
    }
    let permit = state.stream_permit()?;
    let queries = state.queries().clone();
    let (sender, receiver) = mpsc::channel(PIECES);
    let name = format!(
        "attachment; filename=\"{}.features.parquet\"",
        id.replace('/', "_")
    );
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let pages = |after| runtime.block_on(queries.features_behind(&id, after, ROWS));
        if let Err(error) = write(pages, &sender) {
            tracing::warn!(training = id, error = %chain(&*error), "the features cannot be exported");
            // The client sees that the file is not whole. It may be gone.
            sender
                .blocking_send(Err(io::Error::other(error.to_string())))
                .ok();
        }
    });
    let pieces = stream::unfold(receiver, |mut receiver| async move {
        let piece: Piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            "application/vnd.apache.parquet".to_owned(),
        ),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// Writes pages of rows until there are no more.
fn write(
    mut page_behind: impl FnMut(i32) -> Result<Vec<Feature>, QueryError>,
    sender: &mpsc::Sender<Piece>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let sink = Sink {
        sender: sender.clone(),
        piece: Vec::with_capacity(PIECE_BYTES),
    };
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut writer = SerializedFileWriter::new(sink, schema, Arc::new(properties.build()))?;
    let mut last = -1;
    loop {
        let rows = page_behind(last)?;
        let Some(row) = rows.last() else { break };
        last = row.neuron_index;
        let mut group = writer.next_row_group()?;
        write_rows(&mut group, &rows)?;
        group.close()?;
    }
    writer.into_inner()?.flush()?;
    Ok(())
}

fn write_rows<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[Feature],
) -> Result<(), ParquetError> {
    fn text(text: Option<&str>) -> Option<ByteArray> {
        text.map(|text| text.as_bytes().to_vec().into())
    }
    column(group, rows, |row| Value::Long(row.id))?;
    column(group, rows, |row| Value::Text(text(Some(&row.training_id))))?;
    column(group, rows, |row| Value::Integer(Some(row.neuron_index)))?;
    column(group, rows, |row| Value::Integer(row.layer))?;
    column(group, rows, |row| Value::Text(text(row.name.as_deref())))?;
    column(group, rows, |row| {
        Value::Text(text(row.description.as_deref()))
    })?;
    column(group, rows, |row| {
        Value::Double(Some(row.activation_frequency))
    })?;
    column(group, rows, |row| Value::Double(row.interpretability_score))?;
    column(group, rows, |row| Value::Double(row.max_activation_value))?;
    column(group, rows, |row| Value::Boolean(row.is_favorite))?;
    column(group, rows, |row| Value::Boolean(row.is_hidden))?;
    column(group, rows, |row| {
        Value::Long(row.created_at.timestamp_micros())
    })?;
    column(group, rows, |row| {
        Value::Long(row.updated_at.timestamp_micros())
    })
}

enum Value {
    Boolean(bool),
    Integer(Option<i32>),
    Long(i64),
    Double(Option<f64>),
    Text(Option<ByteArray>),
}

/// Writes the next column of a row group.
fn column<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[Feature],
    of: impl Fn(&Feature) -> Value,
) -> Result<(), ParquetError> {
    /// The values that are there, and a level for each row where some may not be.
    fn split<T>(
        values: impl Iterator<Item = Option<T>>,
        is_required: bool,
    ) -> (Vec<T>, Option<Vec<i16>>) {
        let values: Vec<Option<T>> = values.collect();
        let levels = values.iter().map(|value| i16::from(value.is_some()));
        let levels = (!is_required).then(|| levels.collect());
        (values.into_iter().flatten().collect(), levels)
    }
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General(
            "the schema has fewer columns".to_owned(),
        ));
    };
    let values = rows.iter().map(of);
    match column.untyped() {
        ColumnWriter::BoolColumnWriter(writer) => {
            let all = values.map(|value| match value {
                Value::Boolean(value) => Some(value),
                _ => None,
            });
            writer.write_batch(&split(all, true).0, None, None)
        }
        ColumnWriter::Int64ColumnWriter(writer) => {
            let all = values.map(|value| match value {
                Value::Long(value) => Some(value),
                _ => None,
            });
            writer.write_batch(&split(all, true).0, None, None)
        }
        ColumnWriter::Int32ColumnWriter(writer) => {
            let is_required = writer.get_descriptor().max_def_level() == 0;
            let all = values.map(|value| match value {
                Value::Integer(value) => value,
                _ => None,
            });
            let (values, levels) = split(all, is_required);
            writer.write_batch(&values, levels.as_deref(), None)
        }
        ColumnWriter::DoubleColumnWriter(writer) => {
            let is_required = writer.get_descriptor().max_def_level() == 0;
            let all = values.map(|value| match value {
                Value::Double(value) => value,
                _ => None,
            });
            let (values, levels) = split(all, is_required);
            writer.write_batch(&values, levels.as_deref(), None)
        }
        ColumnWriter::ByteArrayColumnWriter(writer) => {
            let is_required = writer.get_descriptor().max_def_level() == 0;
            let all = values.map(|value| match value {
                Value::Text(value) => value,
                _ => None,
            });
            let (values, levels) = split(all, is_required);
            writer.write_batch(&values, levels.as_deref(), None)
        }
        _ => {
            return Err(ParquetError::General(
                "the schema has another type".to_owned(),
            ));
        }
    }?;
    column.close()
}

/// Gives the file away piece by piece.
struct Sink {
    sender: mpsc::Sender<Piece>,
    piece: Vec<u8>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.sender
            .blocking_send(Ok(piece.into()))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
