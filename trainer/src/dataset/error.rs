//! What can go wrong with a dataset.

use crate::tokenizer::TokenizerError;
use std::{io, path::PathBuf};
use trainmaster_domain::run::journal::{Failure, FailureClass};

/// A dataset could not be read, tokenised or written.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The path or a file does not exist or cannot be opened.
    #[error(
        "the dataset file {path} cannot be opened ({source}); check the path that it was added with and its permissions"
    )]
    FileMissing {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no text.
    #[error("the dataset {path} is empty: {detail}; add text to it")]
    Empty {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        detail: String,
    },
    /// A file of a kind that is not read.
    #[error(
        "the dataset file {path} is none of .txt, .jsonl, .jsonl.gz, .csv, .parquet and .arrow; rename it to what it is, or convert it"
    )]
    UnknownKind {
        /// Which.
        path: PathBuf,
    },
    /// Text that is not UTF-8.
    #[error("{path}, line {line}: not valid UTF-8; convert the file to UTF-8 (iconv does)")]
    NotUtf8 {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
    },
    /// A line of JSONL that is not a JSON object.
    #[error(
        "{path}, line {line}: not a JSON object ({detail}); a .jsonl file has one on every line"
    )]
    BadLine {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What the parser said.
        detail: String,
    },
    /// A line of JSONL without the text.
    #[error(
        "{path}, line {line}: no text in column {column:?} ({found}); name the column that holds the text"
    )]
    NoText {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// The column that was looked for.
        column: String,
        /// What was there instead.
        found: String,
    },
    /// A table without the column.
    #[error("{path}: no column {column:?}; it has {}: name the one that holds the text", columns.join(", "))]
    NoColumn {
        /// Which file.
        path: PathBuf,
        /// The column that was looked for.
        column: String,
        /// Those that there are.
        columns: Vec<String>,
    },
    /// A column of something else.
    #[error(
        "{path}: column {column:?} holds {found}, not strings; name the column that holds the text"
    )]
    NotStrings {
        /// Which file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type.
        found: String,
    },
    /// A file that is not what its name says.
    #[error("{path} cannot be read as {what} ({detail}); fetch or make it again")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What it should be, with its article.
        what: &'static str,
        /// What its reader said.
        detail: String,
    },
    /// A table whose parts are larger than memory should hold.
    #[error("{path}: {what}, more than {most}; write it again in smaller batches")]
    BatchTooLarge {
        /// Which file.
        path: PathBuf,
        /// Which part, and how large.
        what: String,
        /// The most that is read.
        most: u64,
    },
    /// A directory with more files than anyone meant.
    #[error(
        "{path} holds more than {most} files; name the directory that holds just what is meant"
    )]
    TooManyFiles {
        /// Which directory.
        path: PathBuf,
        /// The most that are read.
        most: usize,
    },
    /// The text was another when it was tokenised than when it was counted.
    #[error("the text of {path} was changed while it was read; let it rest, then try again")]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// A line, a row or a text that is longer than memory should hold.
    #[error("{path}, line {line}: longer than {most} bytes; split the document")]
    LineTooLong {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// The most that is read.
        most: usize,
    },
    /// Too short to hold text.
    #[error(
        "a sequence of {context_length} tokens cannot hold text; choose a context length of at least {least}"
    )]
    ContextTooShort {
        /// What was asked for.
        context_length: u32,
        /// What is possible.
        least: u32,
    },
    /// A tokenised file that is not whole.
    #[error("the tokenised dataset {path} is truncated ({detail}); tokenise it again")]
    Truncated {
        /// Which.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// A tokenised file that is something else, or was changed.
    #[error("the tokenised dataset {path} is not what was written ({detail}); tokenise it again")]
    Altered {
        /// Which.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A sequence that is not there.
    #[error("sequence {index} was asked for, of a dataset of {sequences}")]
    NoSuchSequence {
        /// Which, from 0.
        index: u64,
        /// How many there are.
        sequences: u64,
    },
    /// A file could be opened but not read.
    #[error("the dataset file {path} cannot be read: {source}; check the disk, then try again")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be written.
    #[error(
        "the tokenised dataset {path} cannot be written: {source}; make room or check permissions, then try again"
    )]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// libtorch could not hold a batch.
    #[error("libtorch could not hold a batch of tokens: {0}")]
    Torch(#[from] tch::TchError),
    /// Whoever watches asked to end.
    #[error("preparing the dataset was cancelled")]
    Cancelled,
}

impl DatasetError {
    /// The line of the journal.
    pub fn failure(&self) -> Failure {
        use FailureClass::{Infrastructure, Workload};
        let (class, code) = match self {
            Self::FileMissing { .. } => (Workload, "file_missing"),
            Self::Empty { .. } => (Workload, "dataset_empty"),
            Self::UnknownKind { .. } => (Workload, "unsupported"),
            Self::NotUtf8 { .. } => (Workload, "not_utf8"),
            Self::BadLine { .. } => (Workload, "bad_line"),
            Self::NoText { .. } => (Workload, "column_missing"),
            Self::LineTooLong { .. } => (Workload, "line_too_long"),
            Self::NoColumn { .. } | Self::NotStrings { .. } => (Workload, "column_missing"),
            Self::Malformed { .. } => (Workload, "file_malformed"),
            Self::BatchTooLarge { .. } => (Workload, "batch_too_large"),
            Self::TooManyFiles { .. } => (Workload, "too_many_files"),
            Self::ContextTooShort { .. } => (Workload, "unsupported"),
            Self::Truncated { .. } => (Workload, "file_truncated"),
            Self::Altered { .. } => (Workload, "file_altered"),
            Self::Write { source, .. } if is_full(source) => (Infrastructure, "disk_full"),
            Self::Tokenizer(error) => return error.failure(),
            Self::NoSuchSequence { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Torch(_)
            | Self::Changed { .. }
            | Self::Cancelled => (Infrastructure, "internal"),
        };
        Failure {
            class,
            code: code.to_owned(),
            message: self.to_string(),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
