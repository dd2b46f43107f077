//! Identifiers: newtypes over the text that the tables hold, `ds_…`, `m_…`, `tr_…`, `cp_…`, `job_…`, `cv_…`, `tmpl_…`,
//! `ext_tmpl_…`, `preset_…`.

use serde::{Deserialize, Serialize};

/// Text that cannot be an identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not an id: it must be 1 to 255 characters of letters, digits, '_', '-', '.' and '/'"
)]
pub struct InvalidId {
    /// What was given.
    pub given: String,
}

fn check(given: &str) -> Result<(), InvalidId> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let ok = !given.is_empty()
        && given.len() <= 255
        && given.chars().all(allowed)
        && !given
            .split('/')
            .any(|part| part.is_empty() || part == "." || part == "..");
    if ok {
        Ok(())
    } else {
        Err(InvalidId {
            given: given.chars().take(300).collect(),
        })
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// What an id of this kind begins with when the daemon makes it.
            pub const PREFIX: &'static str = $prefix;

            /// An id from text.
            ///
            /// # Errors
            /// [`InvalidId`] when the text cannot be an id.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                check(&text)?;
                Ok(Self(text))
            }

            /// A fresh id from randomness that the caller hands in (a ULID, lower case).
            ///
            /// # Errors
            /// [`InvalidId`] when `unique` holds characters that an id may not.
            pub fn mint(unique: &str) -> Result<Self, InvalidId> {
                Self::new(format!("{}{unique}", Self::PREFIX))
            }

            /// The text of the id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A dataset: text that language models read.
    DatasetId, "ds_"
);
id!(
    /// A language model.
    ModelId, "m_"
);
id!(
    /// A training: of an autoencoder (`tr_…`), or of a network that segments images (`seg_…`).
    TrainingId, "tr_"
);

/// What the id of a training begins with that is not about autoencoders.
const SEGMENTATION: &str = "seg_";

impl TrainingId {
    /// A fresh id of a segmentation training, from randomness that the caller hands in.
    ///
    /// # Errors
    /// [`InvalidId`] when `unique` holds characters that an id may not.
    pub fn segmentation(unique: &str) -> Result<Self, InvalidId> {
        Self::new(format!("{SEGMENTATION}{unique}"))
    }

    /// Whether the training of this id is one of images: an id says so, because whoever reads a single event knows no more.
    #[must_use]
    pub fn is_segmentation(id: &str) -> bool {
        id.starts_with(SEGMENTATION)
    }
}

id!(
    /// A cross-validation.
    CrossValidationId, "cv_"
);
id!(
    /// A job.
    JobId, "job_"
);
id!(
    /// A checkpoint of a training.
    CheckpointId, "cp_"
);
id!(
    /// A training template.
    TrainingTemplateId, "tmpl_"
);
id!(
    /// An extraction template.
    ExtractionTemplateId, "ext_tmpl_"
);
id!(
    /// A preset.
    PresetId, "preset_"
);
