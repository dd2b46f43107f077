//! Do the tables that applications read have all that their events speak of?

use super::Report;
use crate::{
    database::Database,
    log::Log,
    projector::{Projector, ProjectorOptions},
};

pub(super) async fn examine(report: &mut Report, database: &Database) {
    let owner = database.owner_pool().clone();
    // Before the first start there is nothing to look at.
    let is_there = sqlx::query_scalar("SELECT to_regclass('projection.gaps') IS NOT NULL")
        .fetch_one(&owner)
        .await;
    if !matches!(is_there, Ok(true)) {
        return;
    }
    let projector = Projector::new(Log::new(owner.clone()), owner, ProjectorOptions::default());
    let all = match projector.status().await {
        Ok(all) => all,
        Err(error) => {
            let advice = "trainmaster migrate up, or start the daemon, which does it; else see the server's log";
            report.warning("read_models", error.to_string(), advice);
            return;
        }
    };
    for status in all {
        let name = status.read_model;
        for gap in &status.gaps {
            report.warning(
                "read_models",
                format!(
                    "{name} lacks the rows of {} ({} at {}): {}",
                    gap.artifact, gap.event, gap.position, gap.reason
                ),
                format!("put the file back, then trainmaster projections rebuild {name}"),
            );
        }
        if status.stray_activations > 0 {
            report.warning(
                "read_models",
                format!(
                    "{name}.feature_activations_default has {} row(s) that belong to no partition",
                    status.stray_activations
                ),
                format!("find out who wrote them, then trainmaster projections rebuild {name}"),
            );
        }
        if status.gaps.is_empty() && status.stray_activations == 0 {
            report.ok("read_models", format!("{name} has no gaps"));
        }
    }
}
