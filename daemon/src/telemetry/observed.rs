//! What is asked for when metrics are sent: the process, the pools, the disk.

use chrono::NaiveDateTime;
use opentelemetry::{KeyValue, global};
use rustix::fs::statvfs;
use sqlx::PgPool;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// Reports how `pool` is used: `trainmaster.pool.connections` with attributes `pool` and `state` (`used`, `idle`).
pub fn observe_pool(name: &'static str, pool: &PgPool) {
    let pool = pool.clone();
    global::meter("trainmaster")
        .u64_observable_gauge("trainmaster.pool.connections")
        .with_unit("{connection}")
        .with_description("Connections of a pool")
        .with_callback(move |observer| {
            let idle = pool.num_idle() as u64;
            let used = u64::from(pool.size()).saturating_sub(idle);
            for (state, count) in [("used", used), ("idle", idle)] {
                observer.observe(
                    count,
                    &[KeyValue::new("pool", name), KeyValue::new("state", state)],
                );
            }
        })
        .build();
}

/// Reports the process's memory and how long it has run.
pub(super) fn process() {
    memory();
    let started = Instant::now();
    global::meter("trainmaster")
        .f64_observable_gauge("trainmaster.uptime")
        .with_unit("s")
        .with_description("Time since the daemon started")
        .with_callback(move |observer| observer.observe(started.elapsed().as_secs_f64(), &[]))
        .build();
}

/// Reports when each kind of backup was last made: `trainmaster.backup.last`, seconds since 1970, with attribute `kind`. A backup is a folder of
/// `directory` whose name says both.
pub fn observe_backups(directory: PathBuf) {
    global::meter("trainmaster")
        .i64_observable_gauge("trainmaster.backup.last")
        .with_unit("s")
        .with_description("When a backup was last made, since 1970")
        .with_callback(move |observer| {
            for (kind, at) in newest_backups(&directory) {
                observer.observe(at, &[KeyValue::new("kind", kind)]);
            }
        })
        .build();
}

fn newest_backups(directory: &Path) -> BTreeMap<String, i64> {
    let mut newest = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some((time, kind)) = name.to_str().and_then(|name| name.split_once('-')) else {
            continue;
        };
        // A second one of the same second has a number behind the kind.
        let kind = kind.split('-').next().unwrap_or(kind);
        if let Ok(at) = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ") {
            let at = at.and_utc().timestamp();
            let last = newest.entry(kind.to_owned()).or_insert(at);
            *last = at.max(*last);
        }
    }
    newest
}

/// Reports the room on the disk of the state directory: `trainmaster.disk.free` and `trainmaster.disk.size`, in bytes.
pub fn observe_disk(directory: PathBuf) {
    let meter = global::meter("trainmaster");
    let path = directory.clone();
    meter
        .u64_observable_gauge("trainmaster.disk.free")
        .with_unit("By")
        .with_description("Room on the disk of the state directory")
        .with_callback(move |observer| {
            if let Ok(disk) = statvfs(&path) {
                observer.observe(disk.f_bavail.saturating_mul(disk.f_frsize), &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("trainmaster.disk.size")
        .with_unit("By")
        .with_description("Size of the disk of the state directory")
        .with_callback(move |observer| {
            if let Ok(disk) = statvfs(&directory) {
                observer.observe(disk.f_blocks.saturating_mul(disk.f_frsize), &[]);
            }
        })
        .build();
}

/// Reports `process.memory.usage`, the resident memory of this process in bytes.
fn memory() {
    global::meter("trainmaster")
        .u64_observable_gauge("process.memory.usage")
        .with_unit("By")
        .with_description("Resident memory of the daemon")
        .with_callback(|observer| {
            if let Some(bytes) = resident_bytes() {
                observer.observe(bytes, &[]);
            }
        })
        .build();
}

/// The resident memory of this process, as the kernel says it.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_backup_of_each_kind_is_known_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "20260501T020000Z-logical",
            "20260502T020000Z-logical-2",
            "20260430T030000Z-physical",
            ".new-20260503T020000Z-logical",
            "lock",
        ] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let newest = newest_backups(folder.path());
        assert_eq!(newest["logical"], 1_777_687_200);
        assert_eq!(newest["physical"], 1_777_518_000);
        assert_eq!(newest.len(), 2);
    }
}
