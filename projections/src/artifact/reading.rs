//! Reading goes on in a thread of its own, a few pieces ahead of whoever writes them to the database.

use super::{
    Unusable,
    columns::{self, Batch, Group},
    open,
};
use parquet::{
    basic::Type,
    file::reader::{FileReader, SerializedFileReader},
};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::JoinHandle,
};
use trainmaster_domain::run::journal::Artifact;

/// Pieces that wait to be written. With the one that is being made and the one that is being written, these are what memory holds.
const AHEAD: usize = 2;

/// The pieces that an artifact is made into, in the order of its rows.
pub(crate) struct Reading<T> {
    pieces: Receiver<T>,
    task: Option<JoinHandle<Result<(), Unusable>>>,
}

/// Makes pieces of rows.
pub(crate) trait Cut: Send + 'static {
    type Piece: Send + 'static;

    /// Takes some rows, and gives away what is complete. An error says what is wrong with the rows.
    fn take(&mut self, rows: &Batch, complete: &mut Vec<Self::Piece>) -> Result<(), String>;

    /// What is left after the last rows.
    fn end(&mut self, complete: &mut Vec<Self::Piece>);
}

impl<T: Send + 'static> Reading<T> {
    /// Begins to read the named columns of an artifact, once it has been verified.
    pub(crate) fn begin(
        artifact: &Artifact,
        columns: &'static [(&'static str, Type)],
        cut: impl Cut<Piece = T>,
    ) -> Self {
        let (sender, pieces) = channel(AHEAD);
        let artifact = artifact.clone();
        let task = tokio::task::spawn_blocking(move || read(&artifact, columns, cut, &sender));
        Self {
            pieces,
            task: Some(task),
        }
    }

    /// The next piece; none at the end. After an error, what came before it is void.
    pub(crate) async fn next(&mut self) -> Result<Option<T>, Unusable> {
        if let Some(piece) = self.pieces.recv().await {
            return Ok(Some(piece));
        }
        match self.task.take() {
            None => Ok(None),
            Some(task) => match task.await {
                Ok(outcome) => outcome.map(|()| None),
                // Decoders panic on some malformed files.
                Err(_) => Err(Unusable::Content("it cannot be decoded".to_owned())),
            },
        }
    }
}

fn read<C: Cut>(
    artifact: &Artifact,
    wanted: &[(&str, Type)],
    mut cut: C,
    sender: &Sender<C::Piece>,
) -> Result<(), Unusable> {
    let file = open(artifact)?;
    let reader = SerializedFileReader::new(file).map_err(columns::malformed)?;
    let metadata = reader.metadata();
    let rows = metadata.file_metadata().num_rows();
    if rows != artifact.rows {
        return Err(Unusable::Content(format!(
            "it has {rows} rows instead of {}",
            artifact.rows
        )));
    }
    let columns = columns::find(metadata, wanted)?;
    let mut complete = Vec::new();
    let send = |complete: &mut Vec<C::Piece>| {
        complete
            .drain(..)
            .all(|piece| sender.blocking_send(piece).is_ok())
    };
    for index in 0..reader.num_row_groups() {
        let group = reader.get_row_group(index).map_err(columns::malformed)?;
        let mut group = Group::open(group.as_ref(), &columns)?;
        while let Some(batch) = group.next()? {
            cut.take(&batch, &mut complete).map_err(Unusable::Content)?;
            if !send(&mut complete) {
                // Nobody wants the rest.
                return Ok(());
            }
        }
    }
    cut.end(&mut complete);
    send(&mut complete);
    Ok(())
}
