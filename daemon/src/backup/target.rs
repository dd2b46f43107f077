//! The moment to go back to.

use chrono::{DateTime, Local, NaiveDateTime, SecondsFormat, TimeZone, Utc};
use std::{fmt, str::FromStr};
use trainmaster_domain::Position;

/// The moment to go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// All that was committed by then.
    Time(DateTime<Utc>),
    /// All that was committed when the event at this position was.
    Position(Position),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(position) = text.parse() {
            return Ok(Self::Position(position));
        }
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::Time(time.to_utc()));
        }
        for form in [
            "%Y-%m-%d %H:%M:%S%.f",
            "%Y-%m-%dT%H:%M:%S%.f",
            "%Y-%m-%d %H:%M",
        ] {
            if let Ok(time) = NaiveDateTime::parse_from_str(text, form)
                && let Some(time) = Local.from_local_datetime(&time).earliest()
            {
                return Ok(Self::Time(time.to_utc()));
            }
        }
        Err(format!(
            "{text:?} is neither a time (2026-05-01T14:30:00Z, or \"2026-05-01 14:30:00\" by this machine's clock) nor the position of an \
             event (4711-42)"
        ))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true)),
            Self::Position(position) => write!(f, "{position}"),
        }
    }
}
