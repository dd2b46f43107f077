//! What changed between two points.

use super::{History, HistoryError, Point, Then};
use crate::progress::Progress;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use tokio::sync::watch;
use trainmaster_domain::{Position, StreamId};
use utoipa::ToSchema;

/// Events that are read at once.
const PAGE: usize = 1000;
/// So many streams may have changed: their ids are in memory.
const MOST_STREAMS: usize = 100_000;

/// What changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Difference {
    /// Events in between.
    pub events: u64,
    /// Streams that they belong to.
    pub streams: u64,
    /// Events of each type.
    pub by_type: BTreeMap<&'static str, u64>,
    /// What changed, in the order in which it changed first, as far as was asked for.
    pub items: Vec<Changed>,
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Changed {
    /// Its kind.
    pub category: &'static str,
    /// Its id.
    pub id: String,
    /// `created`, `changed` or `deleted`.
    pub change: &'static str,
    /// Events in between.
    pub events: u64,
    /// Its version at the first point; 0: it was not there.
    pub version_before: u64,
    /// Its version at the second.
    pub version_after: u64,
    /// What it was at the first point; none: it was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_before: Option<&'static str>,
    /// What it was at the second.
    pub status_after: &'static str,
    /// What differs.
    pub fields: Vec<FieldChange>,
}

/// A value that differs.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FieldChange {
    /// Its place, such as `attempts.lease`.
    pub field: String,
    /// At the first point.
    #[schema(value_type = Object)]
    pub before: Value,
    /// At the second.
    #[schema(value_type = Object)]
    pub after: Value,
}

impl History {
    /// What changed behind the first point and up to the second. Reads the events in between, [`PAGE`] at a time, and then those of the
    /// first `limit` streams, one stream after another. In memory: the ids of the streams, 100,000 at most, and what is answered.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn diff(
        &self,
        from: Point,
        to: Point,
        limit: usize,
        progress: &watch::Sender<Progress>,
    ) -> Result<Difference, HistoryError> {
        let (from, to) = (self.position(from).await?, self.position(to).await?);
        if to < from {
            return Err(HistoryError::Backwards { from, to });
        }
        let mut difference = Difference::default();
        let mut changed: Vec<(StreamId, u64)> = Vec::new();
        let mut places: HashMap<StreamId, usize> = HashMap::new();
        let mut at = from;
        'pages: loop {
            let page = self.log.read(at, PAGE).await?;
            let is_last = page.len() < PAGE;
            for recorded in page {
                at = recorded.position;
                if at > to {
                    break 'pages;
                }
                difference.events += 1;
                *difference
                    .by_type
                    .entry(recorded.event.event_type())
                    .or_default() += 1;
                // A place is that of a stream that has been pushed.
                match places.get(&recorded.stream) {
                    Some(n) => changed[*n].1 += 1,
                    None if changed.len() == MOST_STREAMS => {
                        return Err(HistoryError::TooMuch(MOST_STREAMS));
                    }
                    None => {
                        places.insert(recorded.stream.clone(), changed.len());
                        changed.push((recorded.stream, 1));
                    }
                }
            }
            if is_last {
                break;
            }
        }
        drop(places);
        difference.streams = changed.len() as u64;
        let total = changed.len().min(limit) as u64;
        for (done, (stream, events)) in (0..).zip(changed.into_iter().take(limit)) {
            progress.send_replace(Progress {
                done,
                total,
                unit: "streams",
            });
            difference
                .items
                .extend(self.changed(&stream, events, from, to).await?);
        }
        Ok(difference)
    }

    async fn changed(
        &self,
        stream: &StreamId,
        events: u64,
        from: Position,
        to: Position,
    ) -> Result<Option<Changed>, HistoryError> {
        let folded = self.fold(stream, from, to).await?;
        let Some(after) = folded.after else {
            return Ok(None);
        };
        let before = folded.before;
        let mut fields = Vec::new();
        let was = before.as_ref().map_or(&Value::Null, |before| &before.state);
        compare("", was, &after.state, &mut fields);
        Ok(Some(Changed {
            category: after.category,
            change: match (&before, after.status) {
                (_, "deleted") => "deleted",
                (None, _) => "created",
                (Some(_), _) => "changed",
            },
            events,
            version_before: before.as_ref().map_or(0, |before: &Then| before.version),
            version_after: after.version,
            status_before: before.as_ref().map(|before| before.status),
            status_after: after.status,
            fields,
            id: after.id,
        }))
    }
}

/// The values that differ, by their place. What is on one side only stands against null.
fn compare(place: &str, before: &Value, after: &Value, fields: &mut Vec<FieldChange>) {
    let empty = serde_json::Map::new();
    let (one, other) = match (before, after) {
        (Value::Object(one), Value::Object(other)) => (one, other),
        (Value::Object(one), Value::Null) => (one, &empty),
        (Value::Null, Value::Object(other)) => (&empty, other),
        _ => {
            if before != after {
                fields.push(FieldChange {
                    field: place.to_owned(),
                    before: before.clone(),
                    after: after.clone(),
                });
            }
            return;
        }
    };
    let only_after = other.keys().filter(|name| !one.contains_key(*name));
    for name in one.keys().chain(only_after) {
        let place = if place.is_empty() {
            name.clone()
        } else {
            format!("{place}.{name}")
        };
        let value =
            |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or_default();
        compare(&place, &value(one), &value(other), fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_that_differ_are_named_by_their_place() {
        let mut fields = vec![];
        compare(
            "",
            &json!({ "a": 1, "b": { "c": 2, "d": 3 }, "gone": { "e": 4 }, "list": [1, 2] }),
            &json!({ "a": 1, "b": { "c": 5, "d": 3 }, "new": 6, "list": [1] }),
            &mut fields,
        );
        let told: Vec<_> = fields
            .iter()
            .map(|one| (one.field.as_str(), one.before.clone(), one.after.clone()))
            .collect();
        assert_eq!(
            told,
            [
                ("b.c", json!(2), json!(5)),
                ("gone.e", json!(4), Value::Null),
                ("list", json!([1, 2]), json!([1])),
                ("new", Value::Null, json!(6)),
            ]
        );
    }
}
