//! What PostgreSQL itself tells.

use super::{Report, Row, bytes, holds, number, table, text};

const MEBIBYTE: f64 = 1_048_576.0;
/// Fewer blocks than this (0.8 GB) say nothing of the cache: the first reads are from disk.
const BLOCKS_THAT_TELL: f64 = 100_000.0;

pub(in super::super) fn connections(report: &mut Report, name: &'static str, rows: &[Row]) {
    for row in rows {
        let found = format!(
            "{} of {} in use: {} active, {} idle, {} idle in transaction",
            number(row, "used"),
            number(row, "allowed") - number(row, "reserved"),
            number(row, "active"),
            number(row, "idle"),
            number(row, "idle_in_transaction"),
        );
        let advice = "lower database.max_connections or applications' pools, put PgBouncer in front, or raise max_connections";
        match number(row, "used_percent") {
            95.0.. => report.fail(name, found, advice),
            80.0.. => report.warning(name, found, advice),
            _ => report.ok(name, found),
        }
    }
}

pub(in super::super) fn database_sizes(report: &mut Report, name: &'static str, rows: &[Row]) {
    let sizes: Vec<String> = rows
        .iter()
        .take(5)
        .map(|row| format!("{} {}", text(row, "database_name"), bytes(row, "bytes")))
        .collect();
    report.ok(name, sizes.join(", "));
}

pub(in super::super) fn table_sizes(report: &mut Report, name: &'static str, rows: &[Row]) {
    let sizes: Vec<String> = rows
        .iter()
        .take(3)
        .map(|row| format!("{} {}", table(row), bytes(row, "total_bytes")))
        .collect();
    report.ok(name, format!("the largest: {}", sizes.join(", ")));
}

pub(in super::super) fn cache_hits(report: &mut Report, name: &'static str, rows: &[Row]) {
    for row in rows {
        let (percent, of_what) = (number(row, "hit_percent"), text(row, "of_what"));
        let found = format!("{percent:.2} % of the blocks of {of_what} were in memory");
        if number(row, "hits") + number(row, "reads") < BLOCKS_THAT_TELL {
            report.ok(name, format!("{found}; too few were read to tell"));
        } else if percent < 99.0 {
            report.warning(
                name,
                found,
                "raise shared_buffers, or see ops/monitoring/slow_statements.sql for what reads most",
            );
        } else {
            report.ok(name, found);
        }
    }
}

pub(in super::super) fn slow_statements(report: &mut Report, name: &'static str, rows: &[Row]) {
    let slow = rows.iter().filter(|row| number(row, "mean_ms") > 100.0);
    let Some(slowest) = slow.clone().next() else {
        if rows.is_empty() {
            return report.warning(
                name,
                "there are no statistics of statements",
                "add pg_stat_statements to shared_preload_libraries and restart the server",
            );
        }
        return report.ok(name, "none that runs often takes 100 ms");
    };
    let found = format!(
        "{} take more than 100 ms; the slowest {:.0} ms, {} times: {}",
        slow.count(),
        number(slowest, "mean_ms"),
        number(slowest, "calls"),
        text(slowest, "query")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" "),
    );
    report.warning(
        name,
        found,
        "EXPLAIN (ANALYZE, BUFFERS) it; ANALYZE its tables; see ops/monitoring/slow_statements.sql",
    );
}

pub(in super::super) fn unused_indexes(report: &mut Report, name: &'static str, rows: &[Row]) {
    let large: Vec<String> = rows
        .iter()
        .filter(|row| number(row, "bytes") > 100.0 * MEBIBYTE)
        .map(|row| {
            format!(
                "{}.{} {}",
                text(row, "schema_name"),
                text(row, "index_name"),
                bytes(row, "bytes")
            )
        })
        .collect();
    if large.is_empty() {
        report.ok(name, format!("{} of no great size", rows.len()));
    } else {
        report.warning(
            name,
            large.join(", "),
            "drop those that are yours; trainmaster's own serve searches that may yet be made",
        );
    }
}

pub(in super::super) fn dead_rows(report: &mut Report, name: &'static str, rows: &[Row]) {
    let many: Vec<String> = rows
        .iter()
        .filter(|row| number(row, "dead_rows") > 10_000.0 && number(row, "dead_percent") > 20.0)
        .map(|row| {
            format!(
                "{} {} dead rows, {} %",
                table(row),
                number(row, "dead_rows"),
                number(row, "dead_percent")
            )
        })
        .collect();
    if many.is_empty() {
        report.ok(name, "vacuum keeps up");
    } else {
        report.warning(
            name,
            many.join("; "),
            "VACUUM (ANALYZE) them; see whether autovacuum is on and what long transactions keep",
        );
    }
}

pub(in super::super) fn bloat(report: &mut Report, name: &'static str, rows: &[Row]) {
    let large: Vec<String> = rows
        .iter()
        .filter(|row| {
            number(row, "bloat_bytes") > 100.0 * MEBIBYTE && number(row, "bloat_percent") > 50.0
        })
        .map(|row| {
            format!(
                "{} {}, {} %",
                table(row),
                bytes(row, "bloat_bytes"),
                number(row, "bloat_percent")
            )
        })
        .collect();
    if large.is_empty() {
        report.ok(name, "no table is much larger than its rows");
    } else {
        report.warning(
            name,
            large.join("; "),
            "trainmaster projections rebuild, or VACUUM FULL while trainmaster is stopped",
        );
    }
}

pub(in super::super) fn archiver(report: &mut Report, name: &'static str, rows: &[Row]) {
    for row in rows {
        if !holds(row, "enabled") {
            report.ok(name, "the write-ahead log is not archived");
        } else if holds(row, "failing") {
            let found = format!(
                "{} could not be archived at {}",
                text(row, "last_failed_wal"),
                text(row, "last_failed_time")
            );
            report.fail(
                name,
                found,
                "see the server's log; until the archive takes it, the log piles up on the disk",
            );
        } else {
            report.ok(
                name,
                format!("{} segments archived", number(row, "archived_count")),
            );
        }
    }
}

pub(in super::super) fn replication(report: &mut Report, name: &'static str, rows: &[Row]) {
    let idle: Vec<&Row> = rows.iter().filter(|row| !holds(row, "active")).collect();
    let found: Vec<String> = idle
        .iter()
        .map(|row| {
            format!(
                "slot {} is not read and keeps {}",
                text(row, "name"),
                bytes(row, "behind_bytes")
            )
        })
        .collect();
    let advice = "start what reads it, or SELECT pg_drop_replication_slot('name')";
    if idle.is_empty() {
        report.ok(
            name,
            format!("{} standbys and slots, all active", rows.len()),
        );
    } else if idle
        .iter()
        .any(|row| number(row, "behind_bytes") > 1024.0 * MEBIBYTE)
    {
        report.fail(name, found.join("; "), advice);
    } else {
        report.warning(name, found.join("; "), advice);
    }
}

pub(in super::super) fn long_transactions(report: &mut Report, name: &'static str, rows: &[Row]) {
    let oldest = rows.iter().find(|row| {
        number(row, "seconds") > 60.0 && !text(row, "query").starts_with("autovacuum:")
    });
    let Some(oldest) = oldest else {
        return report.ok(name, "none is older than a minute");
    };
    let found = format!(
        "process {} ({} by {}) has one open for {:.0} s{}",
        number(oldest, "pid"),
        text(oldest, "application_name"),
        text(oldest, "user_name"),
        number(oldest, "seconds"),
        if holds(oldest, "holds_readers") {
            ", and readers of the log wait for it"
        } else {
            ""
        },
    );
    let advice = "end it where it comes from, or SELECT pg_terminate_backend(pid)";
    if number(oldest, "seconds") > 3600.0 && holds(oldest, "holds_readers") {
        report.fail(name, found, advice);
    } else {
        report.warning(name, found, advice);
    }
}

pub(in super::super) fn waiting_locks(report: &mut Report, name: &'static str, rows: &[Row]) {
    let Some(longest) = rows.iter().find(|row| number(row, "seconds") > 5.0) else {
        return report.ok(name, format!("{} wait, none for long", rows.len()));
    };
    let found = format!(
        "process {} has waited {:.0} s for {} on {}, blocked by {}",
        number(longest, "pid"),
        number(longest, "seconds"),
        text(longest, "mode"),
        text(longest, "relation"),
        longest
            .get("blocked_by")
            .map(ToString::to_string)
            .unwrap_or_default(),
    );
    let advice =
        "see what the blocking process does in ops/monitoring/long_transactions.sql, and end it";
    if number(longest, "seconds") > 60.0 {
        report.fail(name, found, advice);
    } else {
        report.warning(name, found, advice);
    }
}

pub(in super::super) fn transaction_ids(report: &mut Report, name: &'static str, rows: &[Row]) {
    let Some(oldest) = rows.first() else { return };
    let found = format!(
        "{} has used {} % of the transaction ids",
        text(oldest, "database_name"),
        number(oldest, "used_percent")
    );
    let advice =
        "end old transactions, drop abandoned slots, then VACUUM (FREEZE) the oldest tables";
    match number(oldest, "used_percent") {
        75.0.. => report.fail(name, found, advice),
        50.0.. => report.warning(name, found, advice),
        _ => report.ok(name, found),
    }
}
