//! What trainmaster's own tables tell.

use super::{Report, Row, number, table, text};

pub(in super::super) fn outbox(report: &mut Report, name: &'static str, rows: &[Row]) {
    for row in rows {
        let found = format!(
            "{} tasks wait, {} of them are due, the oldest for {:.0} s",
            number(row, "waiting"),
            number(row, "due"),
            number(row, "oldest_due_seconds")
        );
        let advice =
            "see whether the daemon runs and what it logs: it moves a task within milliseconds";
        match number(row, "oldest_due_seconds") {
            300.0.. => report.fail(name, found, advice),
            30.0.. => report.warning(name, found, advice),
            _ => report.ok(name, found),
        }
    }
}

pub(in super::super) fn queue(report: &mut Report, name: &'static str, rows: &[Row]) {
    let waiting = rows.iter().find(|row| text(row, "status") == "Pending");
    let Some(waiting) = waiting else {
        return report.ok(name, "no task waits");
    };
    let found = format!(
        "{} tasks wait, the oldest for {:.0} s",
        number(waiting, "tasks"),
        number(waiting, "oldest_seconds")
    );
    if number(waiting, "oldest_seconds") > 60.0 {
        report.warning(
            name,
            found,
            "see whether the daemon runs and what it logs; reconciliation puts back what is lost",
        );
    } else {
        report.ok(name, found);
    }
}

pub(in super::super) fn projections(report: &mut Report, name: &'static str, rows: &[Row]) {
    let in_use = rows
        .iter()
        .filter(|row| text(row, "schema_name") == text(row, "read_model"));
    for row in in_use {
        let model = text(row, "read_model");
        let stopped = text(row, "stopped_because");
        let found = format!(
            "{model} is {} events and {:.0} s behind, {} artifacts missing",
            number(row, "behind_events"),
            number(row, "behind_seconds"),
            number(row, "gaps")
        );
        if !stopped.is_empty() {
            report.fail(
                name,
                format!("{model} has stopped: {stopped}"),
                "trainmaster projections status says more",
            );
        } else if number(row, "behind_seconds") > 30.0 || number(row, "gaps") > 0.0 {
            report.warning(
                name,
                found,
                "see whether the daemon runs, and trainmaster projections status",
            );
        } else {
            report.ok(name, found);
        }
    }
}

pub(in super::super) fn stray_rows(report: &mut Report, name: &'static str, rows: &[Row]) {
    let strays: Vec<String> = rows
        .iter()
        .filter(|row| number(row, "stray_rows") > 0.0)
        .map(|row| format!("{} has {}", table(row), number(row, "stray_rows")))
        .collect();
    if strays.is_empty() {
        report.ok(name, "every row belongs to a partition");
    } else {
        report.warning(
            name,
            strays.join("; "),
            "find out who wrote them, then trainmaster projections rebuild",
        );
    }
}
