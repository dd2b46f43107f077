//! Points in the past, as people name them.

use super::{History, HistoryError};
use chrono::{DateTime, TimeDelta, Utc};
use std::str::FromStr;
use trainmaster_domain::Position;

/// A point in the past: `2026-01-01T12:00:00Z` (RFC 3339), `812-33` (a position), or `2 hours ago`, `90m`, `3 days`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// After this event.
    Position(Position),
    /// At this time.
    Time(DateTime<Utc>),
    /// So long ago.
    Ago(TimeDelta),
}

/// Text that names no point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no point in time: give a time such as 2026-01-01T12:00:00Z, a position such as 812-33, or how long ago it is, such as \"2 hours ago\""
)]
pub struct InvalidPoint(pub String);

impl FromStr for Point {
    type Err = InvalidPoint;

    fn from_str(text: &str) -> Result<Self, InvalidPoint> {
        let text = text.trim();
        if let Ok(position) = text.parse() {
            return Ok(Self::Position(position));
        }
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::Time(time.to_utc()));
        }
        ago(text)
            .map(Self::Ago)
            .ok_or_else(|| InvalidPoint(text.chars().take(80).collect()))
    }
}

/// `2 hours ago`, `90m`.
fn ago(text: &str) -> Option<TimeDelta> {
    let text = text.strip_suffix("ago").unwrap_or(text).trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(digits);
    let count: i64 = count.parse().ok()?;
    match unit.trim() {
        "s" | "sec" | "second" | "seconds" => TimeDelta::try_seconds(count),
        "m" | "min" | "minute" | "minutes" => TimeDelta::try_minutes(count),
        "h" | "hour" | "hours" => TimeDelta::try_hours(count),
        "d" | "day" | "days" => TimeDelta::try_days(count),
        "w" | "week" | "weeks" => TimeDelta::try_weeks(count),
        _ => None,
    }
}

impl History {
    /// The position behind which nothing had happened at the point. A time is found by halving the log: its events' times rise with their
    /// positions, but for what happened while the clock was set back.
    ///
    /// # Errors
    /// [`HistoryError::Log`].
    pub async fn position(&self, point: Point) -> Result<Position, HistoryError> {
        let time = match point {
            Point::Position(position) => return Ok(position),
            Point::Time(time) => time,
            Point::Ago(ago) => self
                .log
                .now()
                .await?
                .checked_sub_signed(ago)
                .unwrap_or(DateTime::<Utc>::MIN_UTC),
        };
        let behind = |transaction| Position {
            transaction,
            sequence: i64::MAX,
        };
        let mut low = 0;
        let mut high = self.log.head().await?.transaction;
        // What follows `high` is later than the time; what follows anything below `low` is not.
        while low < high {
            let middle = low + (high - low) / 2;
            let next = self.log.read(behind(middle), 1).await?;
            if next.first().is_some_and(|next| next.recorded_at <= time) {
                low = next
                    .first()
                    .map_or(middle + 1, |next| next.position.transaction);
                low = low.max(middle + 1);
            } else {
                high = middle;
            }
        }
        Ok(behind(low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_time_a_position_or_how_long_ago() {
        let point = |text: &str| text.parse::<Point>();
        assert_eq!(
            point("812-33"),
            Ok(Point::Position(Position {
                transaction: 812,
                sequence: 33
            }))
        );
        let noon = "2026-01-01T12:00:00Z".parse().unwrap();
        assert_eq!(point("2026-01-01T13:00:00+01:00"), Ok(Point::Time(noon)));
        for text in ["2 hours ago", "2h", "120 min", "7200 seconds ago", " 120m "] {
            assert_eq!(point(text), Ok(Point::Ago(TimeDelta::hours(2))), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "ago",
            "h",
            "-2h",
            "2 fortnights",
            "2026-01-01",
            "1-",
            "99999999999999999999h",
            "9223372036854775807 weeks",
        ] {
            assert!(point(text).is_err(), "{text}");
        }
    }
}
