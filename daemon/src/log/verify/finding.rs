//! What verifying finds.

use super::{super::LogError, against_head::HeadFault};
use std::{fmt, io};

/// The first faulty row: in the order of segments, and within one of streams and versions; what joins segments comes last.
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

impl Finding {
    pub(super) fn new(
        category: &[u8],
        stream_id: &[u8],
        version: i64,
        sequence: Option<i64>,
        fault: Fault,
    ) -> Self {
        Self {
            category: String::from_utf8_lossy(category).into_owned(),
            stream_id: String::from_utf8_lossy(stream_id).into_owned(),
            version,
            sequence,
            fault,
        }
    }
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
    /// Its columns do not give its hash, or its hash is not the one that was noted.
    Altered,
    /// It does not follow the event before it.
    Unchained,
    /// It stands in the log before the event that it follows.
    Misplaced,
    /// Its command is also noted as one that caused nothing.
    Contradicted,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "is missing: it was removed",
            Self::Duplicate => "is there twice: one was inserted behind the log's back",
            Self::Altered => "was altered: its hash is that of other values",
            Self::Unchained => "was not appended to the event that is now before it: one of the two was altered, removed or inserted",
            Self::Misplaced => "stands before the event that it follows: its position was altered",
            Self::Contradicted => "is of a command that is noted in log.settled_commands to have caused nothing: one of the two was inserted",
        })
    }
}

/// Why a log is not verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not as it was written.
    #[error("{0}")]
    Broken(Finding),
    /// It is not the one of which a head speaks.
    #[error(transparent)]
    Head(HeadFault),
    /// It cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What is put aside on disk cannot be written or read.
    #[error("cannot keep what has been verified in {directory}: is the disk full? ($TMPDIR names another directory)", directory = std::env::temp_dir().display())]
    Aside(#[source] io::Error),
    /// Rows come in a form that this program does not know.
    #[error("cannot read the rows of the log: {0}")]
    Form(&'static str),
}

impl From<Finding> for VerifyError {
    fn from(finding: Finding) -> Self {
        Self::Broken(finding)
    }
}
