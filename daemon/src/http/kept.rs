//! What the routes of templates and presets have in common.

use super::{
    AppState, Problem,
    extract::invalid_query,
    schema::{AtLeast, id_or_name, limit, one, optional_position},
};
use crate::queries::{Listed, Page};
use axum::Json;

/// The filter of lists that can be of favourites.
pub(super) fn favorite(is_favorite: bool) -> String {
    if is_favorite { "favorite" } else { "other" }.to_owned()
}

pub(super) async fn list<T: Listed>(
    state: &AppState,
    filter: Option<String>,
    after: Option<String>,
    rows: Option<u32>,
    at_least: Option<String>,
) -> Result<Json<Page<T>>, Problem> {
    let after = after
        .map(|text| text.parse())
        .transpose()
        .map_err(invalid_query)?;
    let rows = limit(rows)?;
    state.show_at_least(optional_position(at_least)?).await?;
    let page = state
        .queries()
        .listed::<T>(filter.as_deref(), after.as_ref(), rows)
        .await?;
    Ok(Json(page))
}

pub(super) async fn get<T: Listed>(
    state: &AppState,
    what: &str,
    given: String,
    at_least: AtLeast,
) -> Result<Json<T>, Problem> {
    state.show_at_least(at_least.position()?).await?;
    let given = id_or_name(what, given)?;
    let rows = state.queries().listed_one::<T>(&given).await?;
    one(what, &given, rows, T::id).map(Json)
}
