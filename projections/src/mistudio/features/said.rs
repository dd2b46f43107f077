//! What people say of features.

use super::TABLE;
use crate::{ApplyError, fold::Happened, value};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::BTreeMap;
use trainmaster_domain::feature::FeatureEvent;

/// The last that was said of each column; none: nothing. An empty text takes back what was said.
struct Said {
    name: Option<String>,
    description: Option<String>,
    is_favorite: Option<bool>,
    is_hidden: Option<bool>,
    at: DateTime<Utc>,
}

/// Applies what was said; of features that are gone it is kept for when they are found again.
pub(in super::super) async fn apply(
    connection: &mut PgConnection,
    events: &[Happened<'_, FeatureEvent>],
) -> Result<(), ApplyError> {
    let said = fold(events);
    if said.is_empty() {
        return Ok(());
    }
    fn column<T>(said: &BTreeMap<i64, Said>, of: impl Fn(&Said) -> T) -> Vec<T> {
        said.values().map(of).collect()
    }
    for (table, statement) in [
        (
            "projection.feature_words",
            include_str!("said/remember.sql"),
        ),
        (TABLE, include_str!("said/show.sql")),
    ] {
        sqlx::query(statement)
            .bind(said.keys().copied().collect::<Vec<_>>())
            .bind(column(&said, |said| said.name.clone()))
            .bind(column(&said, |said| said.description.clone()))
            .bind(column(&said, |said| said.is_favorite))
            .bind(column(&said, |said| said.is_hidden))
            .bind(column(&said, |said| said.at))
            .execute(&mut *connection)
            .await
            .map_err(ApplyError::on(table))?;
    }
    Ok(())
}

fn fold(events: &[Happened<'_, FeatureEvent>]) -> BTreeMap<i64, Said> {
    let mut all = BTreeMap::new();
    for happened in events {
        // The stream of a feature is named after its number; another name is of no feature.
        let Ok(id) = happened.stream.id.parse::<i64>() else {
            continue;
        };
        let said = all.entry(id).or_insert(Said {
            name: None,
            description: None,
            is_favorite: None,
            is_hidden: None,
            at: happened.at,
        });
        said.at = happened.at;
        match happened.event {
            FeatureEvent::FeatureLabelled(labels) => {
                if let Some(name) = &labels.name {
                    said.name = Some(value::text(&value::utf8(name.as_bytes()), 500));
                }
                if let Some(description) = &labels.description {
                    said.description = Some(value::utf8(description.as_bytes()).into_owned());
                }
            }
            FeatureEvent::FeatureFlagged(flags) => {
                said.is_favorite = flags.is_favorite.or(said.is_favorite);
                said.is_hidden = flags.is_hidden.or(said.is_hidden);
            }
        }
    }
    all
}
