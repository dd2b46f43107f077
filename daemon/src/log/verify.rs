//! Verifying: is every event as it was appended, and is none missing?
//!
//! Each event's hash covers all its columns and the hash of the event before it in its stream, so an altered event does not match its
//! own hash, and one whose hash was altered as well does not match its successor. A version that is missing shows in the
//! numbering. That a stream's end is missing shows in `log.heads`, where the daemon notes now and then how far each has got; what
//! was removed from the end before it was noted cannot be seen. The hashes are computed here once more, by other code than
//! the database's.

mod hash;

use super::{Log, LogError};
use futures::TryStreamExt;
use sqlx::{Row, postgres::PgRow};
use std::fmt;
use tracing::instrument;

/// A log without fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// Events that were looked at.
    pub events: u64,
    /// Streams that they form.
    pub streams: u64,
    /// Notes of how far streams had got that were found kept.
    pub heads: u64,
}

/// The first faulty row, in the order of streams and versions.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// The stream's kind.
    pub category: String,
    /// The stream.
    pub stream_id: String,
    /// Which version of it.
    pub version: i64,
    /// The row's sequence number; none when it is missing.
    pub sequence: Option<i64>,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "version {} of {} {}",
            self.version, self.category, self.stream_id
        )?;
        if let Some(sequence) = self.sequence {
            write!(f, " (sequence {sequence})")?;
        }
        write!(f, " {}", self.fault)
    }
}

/// What can be wrong with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// There is no row of this version.
    Missing,
    /// There is another row of this version.
    Duplicate,
    /// Its columns do not give its hash.
    Altered,
    /// It does not follow the event before it.
    Unchained,
    /// It stands in the log before the event that it follows.
    Misplaced,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "is missing: it was removed",
            Self::Duplicate => "is there twice: one was inserted behind the log's back",
            Self::Altered => "was altered: its hash is that of other values",
            Self::Unchained => "was not appended to the event that is now before it: one of the two was altered, removed or inserted",
            Self::Misplaced => "stands before the event that it follows: its position was altered",
        })
    }
}

/// Why a log is not verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not as it was written.
    #[error("{0}")]
    Broken(Finding),
    /// It cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Log {
    /// Looks at every event, in constant memory.
    ///
    /// # Errors
    /// [`VerifyError::Broken`] names the first faulty row.
    #[instrument(name = "log.verify", skip_all)]
    pub async fn verify(&self) -> Result<Verified, VerifyError> {
        let failed = || LogError::database("verify the log");
        let mut verified = Verified::default();
        let mut before: Option<Link> = None;
        // In one statement, hence in one snapshot; Postgres sends rows as fast as they are looked at.
        let mut rows = sqlx::query(include_str!("verify/events.sql")).fetch(&self.pool);
        while let Some(row) = rows.try_next().await.map_err(failed())? {
            let link = Link::from_row(&row).map_err(failed())?;
            let predecessor = before
                .as_ref()
                .filter(|before| before.is_same_stream(&link));
            if predecessor.is_none() {
                verified.streams += 1;
            }
            link.follow(predecessor).map_err(VerifyError::Broken)?;
            verified.events += 1;
            before = Some(link);
        }
        drop(rows);
        let mut lost = sqlx::query(include_str!("verify/heads.sql")).fetch(&self.pool);
        while let Some(row) = lost.try_next().await.map_err(failed())? {
            if let Some(finding) = lost_head(&row).map_err(failed())? {
                return Err(VerifyError::Broken(finding));
            }
            verified.heads += 1;
        }
        Ok(verified)
    }
}

/// What of an event is compared with the next one of its stream.
struct Link {
    category: String,
    stream_id: String,
    version: i64,
    sequence: i64,
    transaction_id: i64,
    previous_hash: Vec<u8>,
    hash: Vec<u8>,
    /// Of the columns as they are now.
    computed: [u8; 32],
}

impl Link {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            category: row.try_get("category")?,
            stream_id: row.try_get("stream_id")?,
            version: row.try_get("version")?,
            sequence: row.try_get("sequence")?,
            transaction_id: row.try_get("transaction_id")?,
            previous_hash: row.try_get("previous_hash")?,
            hash: row.try_get("hash")?,
            computed: hash::of(row)?,
        })
    }

    fn is_same_stream(&self, other: &Self) -> bool {
        self.category == other.category && self.stream_id == other.stream_id
    }

    fn follow(&self, predecessor: Option<&Self>) -> Result<(), Finding> {
        let expected = predecessor.map_or(1, |before| before.version + 1);
        if self.version > expected {
            return Err(Finding {
                version: expected,
                sequence: None,
                ..self.finding(Fault::Missing)
            });
        }
        if self.version < expected {
            return Err(self.finding(Fault::Duplicate));
        }
        if self.computed != *self.hash {
            return Err(self.finding(Fault::Altered));
        }
        let chained = match predecessor {
            None => self.previous_hash == [0; 32],
            Some(before) => self.previous_hash == before.hash,
        };
        if !chained {
            return Err(self.finding(Fault::Unchained));
        }
        let position = |link: &Self| (link.transaction_id, link.sequence);
        if predecessor.is_some_and(|before| position(before) >= position(self)) {
            return Err(self.finding(Fault::Misplaced));
        }
        Ok(())
    }

    fn finding(&self, fault: Fault) -> Finding {
        Finding {
            category: self.category.clone(),
            stream_id: self.stream_id.clone(),
            version: self.version,
            sequence: Some(self.sequence),
            fault,
        }
    }
}

fn lost_head(row: &PgRow) -> Result<Option<Finding>, sqlx::Error> {
    let sequence: Option<i64> = row.try_get("sequence")?;
    let fault = match sequence {
        None => Fault::Missing,
        Some(_) if row.try_get("same")? => return Ok(None),
        Some(_) => Fault::Altered,
    };
    Ok(Some(Finding {
        category: row.try_get("category")?,
        stream_id: row.try_get("stream_id")?,
        version: row.try_get("version")?,
        sequence,
        fault,
    }))
}
