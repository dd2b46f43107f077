//! What can go wrong between here and the hub.

use std::{io, path::PathBuf};
use trainmaster_domain::run::journal::{Failure, FailureClass};

/// Files could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// `HF_ENDPOINT` is no address.
    #[error(
        "HF_ENDPOINT of the daemon's environment is {given:?}; it must begin with https:// or http://"
    )]
    Endpoint {
        /// What it is.
        given: String,
    },
    /// The hub wants to know who asks, or knows and says no.
    #[error("the hub refuses {what} (HTTP {status}): {advice}")]
    Refused {
        /// What was asked for.
        what: String,
        /// 401 or 403.
        status: u16,
        /// What to do.
        advice: String,
    },
    /// No such repository, revision or file.
    #[error("the hub has no {what}; check the repository's id and the revision")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// An answer of another kind.
    #[error("the hub answered HTTP {status} to {what}; try again later")]
    Status {
        /// What was asked for.
        what: String,
        /// The status.
        status: u16,
    },
    /// No answer.
    #[error(
        "{what} could not be fetched: {detail}; check the network, and HF_ENDPOINT and HTTPS_PROXY of the daemon's environment"
    )]
    Connection {
        /// What was asked for.
        what: String,
        /// What the connection's layer said.
        detail: String,
    },
    /// An answer that is not what the hub would say.
    #[error("the hub's answer to {what} is not understood: {detail}")]
    Answer {
        /// What was asked for.
        what: String,
        /// What about it.
        detail: String,
    },
    /// A repository without files of use.
    #[error("{repository} has no {wanted}; it has {}", list(.found))]
    NothingUseful {
        /// Which.
        repository: String,
        /// What was looked for, and what to do.
        wanted: String,
        /// Some of what there is.
        found: Vec<String>,
    },
    /// A file that was changed on its way, or at its source.
    #[error("{file} was altered on its way: its {hash} is {found}, the hub says {expected}; retry")]
    Altered {
        /// Its path in the repository.
        file: String,
        /// Which hash.
        hash: &'static str,
        /// What arrived.
        found: String,
        /// What should have.
        expected: String,
    },
    /// A file whose hash the hub does not say.
    #[error("the hub says no hash of {file}, so that it cannot be checked; use another endpoint")]
    Unverifiable {
        /// Its path in the repository.
        file: String,
    },
    /// No room.
    #[error(
        "{path} has room for {free_bytes} bytes, but {needed_bytes} are needed; make room, then retry"
    )]
    NoRoom {
        /// Where.
        path: PathBuf,
        /// What is free.
        free_bytes: u64,
        /// What is needed, with a reserve.
        needed_bytes: u64,
    },
    /// A file could not be written.
    #[error("{path} cannot be written: {source}; make room or check permissions, then retry")]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Whoever watches asked to end.
    #[error("fetching was cancelled")]
    Cancelled,
}

impl HubError {
    /// The line of the journal.
    #[must_use]
    pub fn failure(&self) -> Failure {
        use FailureClass::{Infrastructure, Workload};
        let (class, code) = match self {
            Self::Endpoint { .. } => (Workload, "hub_endpoint"),
            Self::Refused { .. } => (Workload, "hub_refused"),
            Self::NotFound { .. } => (Workload, "hub_not_found"),
            Self::Answer { .. } | Self::Unverifiable { .. } => (Workload, "hub_not_understood"),
            Self::NothingUseful { .. } => (Workload, "hub_nothing_useful"),
            Self::Altered { .. } => (Workload, "file_altered"),
            Self::NoRoom { .. } => (Workload, "disk_full"),
            Self::Status { .. } | Self::Connection { .. } => (Infrastructure, "hub_unreachable"),
            Self::Write { source, .. } if is_full(source) => (Infrastructure, "disk_full"),
            Self::Write { .. } | Self::Cancelled => (Infrastructure, "internal"),
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

fn list(found: &[String]) -> String {
    if found.is_empty() {
        "nothing".to_owned()
    } else {
        found.join(", ")
    }
}
