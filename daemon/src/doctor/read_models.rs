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
        if let Some(because) = &status.stopped_because {
            let event = status
                .stopped_by
                .map_or_else(String::new, |at| format!(" at event {at}"));
            report.fail(
                "read_models",
                format!("{name} has stopped{event}: {because}"),
                format!("install the version of trainmaster that wrote the event, or a newer one; or trainmaster projections rebuild {name}"),
            );
        }
        for it in status.differences.iter().filter(|it| !it.mended) {
            report.fail(
                "read_models",
                format!("{name}.{} is not what its events make, as of {}", it.table, it.position),
                format!("trainmaster projections rebuild {name}; unless somebody has written to it by hand, report it"),
            );
        }
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
        let is_amiss = status.stopped_because.is_some()
            || status.differences.iter().any(|it| !it.mended)
            || !status.gaps.is_empty()
            || status.stray_activations > 0;
        if !is_amiss {
            report.ok("read_models", format!("{name} has no gaps"));
        }
    }
}
