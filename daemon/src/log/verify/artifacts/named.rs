//! What events say of files.

use super::super::{Row, VerifyError};
use crate::log::LogError;
use serde::{Deserialize, Serialize};
use trainmaster_domain::{
    Category, Event, dataset::DatasetEvent, job::JobEvent, training::TrainingEvent,
};

/// How a hash is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::log::verify) enum Kind {
    /// Of a file's bytes.
    File,
    /// Of what `sha256sum *` prints in a directory.
    Directory,
    /// Of a text file's bytes and 0xFF.
    Text,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::log::verify) enum What {
    /// There is a file or directory with this hash.
    Made { kind: Kind, sha256: String },
    /// The dataset's text is here.
    Source,
    /// It has this hash.
    Ingested { sha256: String },
    /// It is not kept any more.
    Pruned,
    /// All of the owner's files are not kept any more.
    Deleted,
}

/// An event that says something of files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::log::verify) struct Named {
    /// Category and id of the stream with which the file goes.
    pub(in crate::log::verify) owner: (String, String),
    pub(super) category: String,
    pub(super) stream_id: String,
    pub(super) version: i64,
    pub(super) position: (i64, i64),
    pub(in crate::log::verify) path: String,
    pub(super) what: What,
}

impl Named {
    /// Bytes that sort by owner, then in the order in which it was said.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(400);
        for text in [&self.owner.0, &self.owner.1] {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
        bytes.extend_from_slice(&self.position.0.to_be_bytes());
        bytes.extend_from_slice(&self.position.1.to_be_bytes());
        // Text and numbers always can be written.
        let _ = serde_json::to_writer(&mut bytes, self);
        bytes
    }

    /// What [`Self::to_bytes`] gave; none when it is something else.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut ends = (0..bytes.len()).filter(|n| bytes[*n] == 0);
        let (_, owner) = (ends.next()?, ends.next()?);
        serde_json::from_slice(bytes.get(owner + 17..)?).ok()
    }
}

/// Whether events of this type say something of files.
fn names_files(kind: &[u8]) -> bool {
    matches!(
        kind,
        b"CheckpointSaved"
            | b"CheckpointPruned"
            | b"TrainingCompleted"
            | b"TrainingStopped"
            | b"TrainingDeleted"
            | b"DatasetDownloaded"
            | b"DatasetIngested"
            | b"DatasetTokenized"
            | b"DatasetDeleted"
            | b"FeaturesExtracted"
            | b"FeaturesLabelled"
            | b"FeaturesScored"
            | b"ActivationsAttached"
    )
}

/// What a row says of a file, if it does. A payload that this program cannot read is an error: its hash was right.
pub(super) fn of(row: &Row<'_>) -> Result<Option<Named>, VerifyError> {
    if !names_files(row.kind) {
        return Ok(None);
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let stream = || format!("{} {}", text(row.category), text(row.stream_id));
    let impossible = |column| LogError::Impossible {
        stream: stream(),
        version: row.version,
        column,
    };
    let category: Category = text(row.category)
        .parse()
        .map_err(|_| impossible("category"))?;
    let schema_version =
        u16::try_from(row.schema_version).map_err(|_| impossible("schema_version"))?;
    let payload = serde_json::from_slice(row.payload).map_err(|_| impossible("payload"))?;
    let event = Event::from_stored(category, &text(row.kind), schema_version, payload).map_err(
        |source| LogError::Decode {
            stream: stream(),
            version: row.version,
            source: Box::new(source),
        },
    )?;
    let mut owner = (category.as_str().to_owned(), text(row.stream_id));
    let made = |kind, sha256: String| What::Made { kind, sha256 };
    let (path, what) = match event {
        Event::Training(TrainingEvent::CheckpointSaved(saved)) => {
            (saved.storage_path, made(Kind::Directory, saved.sha256))
        }
        Event::Training(TrainingEvent::CheckpointPruned(pruned)) => {
            (pruned.storage_path, What::Pruned)
        }
        Event::Training(
            TrainingEvent::TrainingCompleted(ended) | TrainingEvent::TrainingStopped(ended),
        ) => match ended.result {
            Some(result) => (result.path, made(Kind::Directory, result.sha256)),
            None => return Ok(None),
        },
        Event::Training(TrainingEvent::TrainingDeleted {})
        | Event::Dataset(DatasetEvent::DatasetDeleted {}) => (String::new(), What::Deleted),
        Event::Dataset(DatasetEvent::DatasetDownloaded(files)) => (files.file_path, What::Source),
        Event::Dataset(DatasetEvent::DatasetIngested(ingested)) => match ingested.content_sha256 {
            Some(sha256) => (String::new(), What::Ingested { sha256 }),
            None => return Ok(None),
        },
        Event::Dataset(DatasetEvent::DatasetTokenized(tokenized)) => (
            format!("{}/tokens.bin", tokenized.tokenized_path),
            made(Kind::File, tokenized.sha256),
        ),
        Event::Job(event) => {
            let (block, artifact) = match event {
                JobEvent::FeaturesExtracted(found) => (found.block, found.artifact),
                JobEvent::FeaturesLabelled(found) => (found.block, found.artifact),
                JobEvent::FeaturesScored(found) => (found.block, found.artifact),
                JobEvent::ActivationsAttached(found) => (found.block, found.artifact),
                _ => return Ok(None),
            };
            owner = (
                Category::Training.as_str().to_owned(),
                block.training_id.as_str().to_owned(),
            );
            (artifact.path, made(Kind::File, artifact.sha256))
        }
        _ => return Ok(None),
    };
    Ok(Some(Named {
        owner,
        category: text(row.category),
        stream_id: text(row.stream_id),
        version: row.version,
        position: row.position(),
        path,
        what,
    }))
}
