//! Taking old events out of the database.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::Args;

/// What is to leave.
#[derive(Clone, Debug, Args)]
pub struct ArchiveArguments {
    /// Events from before this time leave, by whole segments: now, a date such as 2026-11-20 (UTC), or 2026-11-20T12:00:00Z [default:
    /// archive.after_days ago]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub before: Option<DateTime<Utc>>,
    /// Only say what would leave
    #[arg(long)]
    pub dry_run: bool,
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    if text == "now" {
        return Ok(Utc::now());
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(NaiveTime::MIN).and_utc());
    }
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| {
            "it must be now, a date such as 2026-11-20, or 2026-11-20T12:00:00Z".to_owned()
        })
}
