//! Does this machine's clock agree with the database's? Deadlines go by the database's; people compare it with theirs.

use super::Report;
use crate::database::Database;
use chrono::{DateTime, TimeDelta, Utc};

pub(super) async fn examine(report: &mut Report, database: &Database) {
    let before = Utc::now();
    let theirs: Result<DateTime<Utc>, _> = sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(database.owner_pool())
        .await;
    let after = Utc::now();
    let Ok(theirs) = theirs else { return };
    // The server looked at its clock somewhere in between.
    let apart = if theirs < before {
        before - theirs
    } else {
        (theirs - after).max(TimeDelta::zero())
    };
    let found = format!("{} ms from the database's", apart.num_milliseconds());
    if apart > TimeDelta::seconds(2) {
        report.warning(
            "clock",
            found,
            "let both machines follow a time server (systemd-timesyncd, chrony)",
        );
    } else if after.timestamp() < 1_750_000_000 {
        report.warning(
            "clock",
            format!("it is {after}"),
            "set the clock: events carry the time",
        );
    } else {
        report.ok("clock", found);
    }
}
