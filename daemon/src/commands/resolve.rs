//! From what a person says (an id, or a name) to one id.

use super::{CommandError, Commands, error::Kind};
use trainmaster_domain::{Aggregate, Category};

/// A name or an id that does not lead to one thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// To nothing.
    #[error(
        "there is no {category} of the id or name {given:?}; `trainmaster {} ls` lists what there is",
        noun(*category)
    )]
    Unknown {
        /// What was looked for.
        category: Category,
        /// As given.
        given: String,
        /// Whether it is what the request is about, not something that the request mentions.
        addressed: bool,
    },
    /// To several.
    #[error("{given:?} is the name of several {category}s; say which by its id: {}", ids.join(", "))]
    Ambiguous {
        /// What was looked for.
        category: Category,
        /// As given.
        given: String,
        /// Some of them.
        ids: Vec<String>,
    },
}

/// As the command line calls it.
const fn noun(category: Category) -> &'static str {
    match category {
        Category::TrainingTemplate => "template",
        Category::ExtractionTemplate => "extraction-template",
        Category::SlurmJob => "SLURM job",
        Category::CrossValidation => "cross-validation",
        other => other.as_str(),
    }
}

impl ResolveError {
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Unknown { category, .. } => match category {
                Category::Dataset => "dataset_not_found",
                Category::Model => "model_not_found",
                Category::Training => "training_not_found",
                Category::Job => "job_not_found",
                Category::Feature => "feature_not_found",
                Category::TrainingTemplate => "training_template_not_found",
                Category::ExtractionTemplate => "extraction_template_not_found",
                Category::Preset => "preset_not_found",
                Category::SlurmJob => "slurm_job_not_found",
                Category::CrossValidation => "cross_validation_not_found",
            },
            Self::Ambiguous { .. } => "ambiguous_name",
        }
    }

    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Unknown {
                addressed: true, ..
            } => Kind::NotFound,
            Self::Unknown { .. } | Self::Ambiguous { .. } => Kind::Invalid,
        }
    }
}

impl Commands {
    /// The id and the state of what `given` means: an id first, a name second.
    pub(super) async fn resolve<A: Aggregate>(
        &self,
        given: &str,
        addressed: bool,
    ) -> Result<(String, A), CommandError> {
        if trainmaster_domain::id::TrainingId::new(given).is_ok() {
            let loaded = self.log.load::<A>(given).await?;
            if loaded.state.is_deleted() {
                return Err(CommandError::Deleted {
                    category: A::CATEGORY,
                    id: given.to_owned(),
                    addressed,
                });
            }
            if loaded.version > 0 {
                return Ok((given.to_owned(), loaded.state));
            }
        }
        let mut ids = self.ids_of_name(A::CATEGORY, given).await?;
        match (ids.pop(), ids.is_empty()) {
            (None, _) => Err(ResolveError::Unknown {
                category: A::CATEGORY,
                given: given.chars().take(100).collect(),
                addressed,
            }
            .into()),
            (Some(id), true) => {
                let loaded = self.log.load::<A>(&id).await?;
                Ok((id, loaded.state))
            }
            (Some(id), false) => {
                ids.push(id);
                Err(ResolveError::Ambiguous {
                    category: A::CATEGORY,
                    given: given.to_owned(),
                    ids,
                }
                .into())
            }
        }
    }

    async fn ids_of_name(
        &self,
        category: Category,
        name: &str,
    ) -> Result<Vec<String>, CommandError> {
        // A text of Postgres cannot hold NUL, and no name is longer than its column.
        if name.is_empty() || name.contains('\0') || name.chars().count() > 500 {
            return Ok(vec![]);
        }
        let sql = match category {
            Category::Dataset => {
                "SELECT id FROM mistudio.datasets WHERE name = $1 ORDER BY created_at, id LIMIT 5"
            }
            Category::Model => {
                "SELECT id FROM mistudio.models WHERE name = $1 ORDER BY created_at, id LIMIT 5"
            }
            Category::TrainingTemplate => {
                "SELECT id FROM mistudio.training_templates WHERE name = $1 ORDER BY created_at, id LIMIT 5"
            }
            Category::ExtractionTemplate => {
                "SELECT id FROM mistudio.extraction_templates WHERE name = $1 ORDER BY created_at, id LIMIT 5"
            }
            Category::Preset => {
                "SELECT id FROM mistudio.steering_presets WHERE name = $1 ORDER BY created_at, id LIMIT 5"
            }
            // The others have no names, or none that is theirs alone.
            Category::Training
            | Category::Job
            | Category::Feature
            | Category::SlurmJob
            | Category::CrossValidation => return Ok(vec![]),
        };
        sqlx::query_scalar(sql)
            .bind(name)
            .fetch_all(&self.pool)
            .await
            .map_err(|source| CommandError::ReadModel {
                attempt: format!("the {category} of name {name:?}"),
                source,
            })
    }
}
