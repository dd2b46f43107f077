//! Repositories of the Hugging Face hub, as commands name them and events keep them.

use crate::Lease;
use serde::{Deserialize, Serialize};

/// The branch that a repository is taken from unless another revision is named.
pub const MAIN: &str = "main";

/// A repository of models or datasets, and which state of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubRepository {
    /// `owner/name`, or `name` alone.
    pub repository: String,
    /// A branch, a tag or a commit.
    pub revision: String,
}

/// Which files of a repository of datasets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubData {
    /// Where they are.
    #[serde(flatten)]
    pub at: HubRepository,
    /// Only those of this split, such as `train`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Only those of this subset: a directory of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
}

/// That a run, not the daemon, found files or brought them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// The commit that the revision was.
    pub commit: String,
}

/// Text that cannot name a repository, a revision or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not {wanted}")]
pub struct InvalidHubName {
    /// What was given.
    pub given: String,
    /// What it should be.
    pub wanted: &'static str,
}

impl HubRepository {
    /// # Errors
    /// [`InvalidHubName`] when the hub could not have it.
    pub fn check(&self) -> Result<(), InvalidHubName> {
        let parts: Vec<&str> = self.repository.split('/').collect();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let is_name = |part: &&str| {
            (1..=96).contains(&part.len())
                && part.chars().all(allowed)
                && !part.starts_with(['.', '-'])
                && !part.contains("..")
        };
        if parts.len() > 2 || !parts.iter().all(is_name) {
            return Err(invalid(
                &self.repository,
                "a repository of the hub, such as HuggingFaceTB/SmolLM2-135M",
            ));
        }
        let is_revision = (1..=255).contains(&self.revision.len())
            && self
                .revision
                .chars()
                .all(|c| allowed(c) || matches!(c, '/' | '+'))
            && !self
                .revision
                .split('/')
                .any(|part| part.is_empty() || part.starts_with('.'));
        if is_revision {
            Ok(())
        } else {
            Err(invalid(
                &self.revision,
                "a revision: a branch, a tag or a commit",
            ))
        }
    }
}

impl HubData {
    /// # Errors
    /// [`InvalidHubName`] when the hub could not have it.
    pub fn check(&self) -> Result<(), InvalidHubName> {
        self.at.check()?;
        for part in [&self.split, &self.subset].into_iter().flatten() {
            let fits = (1..=100).contains(&part.len())
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
            if !fits {
                return Err(invalid(part, "the name of a split or a subset"));
            }
        }
        Ok(())
    }
}

fn invalid(given: &str, wanted: &'static str) -> InvalidHubName {
    InvalidHubName {
        given: given.chars().take(300).collect(),
        wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_one_or_two_names_and_nothing_that_leads_elsewhere() {
        let check = |repository: &str, revision: &str| {
            let (repository, revision) = (repository.to_owned(), revision.to_owned());
            HubRepository {
                repository,
                revision,
            }
            .check()
            .is_ok()
        };
        for good in ["gpt2", "roneneldan/TinyStories", "a/b-c_d.e"] {
            assert!(check(good, MAIN), "{good}");
        }
        for bad in [
            "", "/", "a/", "a/b/c", "../x", "a/..", "a b", "a/b?x", ".a/b",
        ] {
            assert!(!check(bad, MAIN), "{bad}");
        }
        assert!(check("a/b", "refs/convert/parquet"));
        for bad in ["", "a//b", "../main", "a b", "x?y", "/main"] {
            assert!(!check("a/b", bad), "{bad}");
        }
    }
}
