//! What a person says of a feature: its name, its description, whether it is a favourite or hidden.

use super::{Accepted, Caller, CommandError, Commands, ResolveError, caller::digest};
use serde::{Deserialize, Deserializer, Serialize};
use trainmaster_domain::{
    Category,
    feature::{Feature, FeatureCommand, Flags, Labels},
};
use utoipa::ToSchema;

/// What is to be said of a feature; what is not named stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditFeature {
    /// What to call it, at most 500 characters; null or empty: no name of a person's any more.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// What it stands for; null or empty: no description of a person's any more.
    #[serde(default, deserialize_with = "text")]
    pub description: Option<String>,
    /// Whether it is worth returning to.
    #[serde(default)]
    pub is_favorite: Option<bool>,
    /// Whether lists leave it out.
    #[serde(default)]
    pub is_hidden: Option<bool>,
}

/// Null takes back what was said.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| Some(text.unwrap_or_default()))
}

impl Commands {
    /// Says something of a feature.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn edit_feature(
        &self,
        id: i64,
        command: EditFeature,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        let content = digest(&command)?;
        for (field, text) in [
            ("name", &command.name),
            ("description", &command.description),
        ] {
            if text.as_ref().is_some_and(|text| text.contains('\0')) {
                return Err(CommandError::Invalid {
                    field,
                    problem: "it must not hold the character NUL".to_owned(),
                });
            }
        }
        let is_there: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM mistudio.features WHERE id = $1)")
                .bind(id)
                .fetch_one(&self.pool)
                .await
                .map_err(|source| CommandError::ReadModel {
                    attempt: format!("feature {id}"),
                    source,
                })?;
        if !is_there {
            return Err(ResolveError::Unknown {
                category: Category::Feature,
                given: id.to_string(),
                addressed: true,
            }
            .into());
        }
        let edit = FeatureCommand::Edit {
            labels: Labels {
                name: command.name,
                description: command.description,
            },
            flags: Flags {
                is_favorite: command.is_favorite,
                is_hidden: command.is_hidden,
            },
        };
        let route = format!("features/{id}");
        self.execute::<Feature>(&id.to_string(), edit, caller, &route, Some(&content))
            .await
    }
}
