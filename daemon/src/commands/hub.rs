//! What requests say of the Hugging Face hub.

use super::CommandError;
use serde::{Deserialize, Serialize};
use trainmaster_domain::hub::{HubData, HubRepository, InvalidHubName, MAIN};
use utoipa::ToSchema;

/// A repository of models.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FromHub {
    /// Its id.
    #[schema(example = "HuggingFaceTB/SmolLM2-135M")]
    pub repository: String,
    /// A branch, a tag or a commit; else `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

/// A repository of datasets.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DataFromHub {
    /// Its id.
    #[schema(example = "roneneldan/TinyStories")]
    pub repository: String,
    /// A branch, a tag or a commit; else `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Only the files of this split; else those of `train`, where any are called so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "train")]
    pub split: Option<String>,
    /// Only the files of this subset: a directory of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
}

impl FromHub {
    pub(super) fn checked(&self) -> Result<HubRepository, CommandError> {
        let hub = HubRepository {
            repository: self.repository.clone(),
            revision: self.revision.clone().unwrap_or_else(|| MAIN.to_owned()),
        };
        hub.check().map_err(invalid)?;
        Ok(hub)
    }
}

impl DataFromHub {
    pub(super) fn checked(&self) -> Result<HubData, CommandError> {
        let hub = HubData {
            at: HubRepository {
                repository: self.repository.clone(),
                revision: self.revision.clone().unwrap_or_else(|| MAIN.to_owned()),
            },
            split: self.split.clone(),
            subset: self.subset.clone(),
        };
        hub.check().map_err(invalid)?;
        Ok(hub)
    }
}

fn invalid(error: InvalidHubName) -> CommandError {
    CommandError::Invalid {
        field: "hub",
        problem: error.to_string(),
    }
}
