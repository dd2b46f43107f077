//! Backups are there whole or not at all, and what is damaged is refused before anything that is live is touched.
#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use trainmaster_tests::lab::{EmbeddedLab, Lab};

const EVENTS: &str = "SELECT count(*) FROM log.events WHERE $1 = ''";

/// A backup, the code that its refusal has, and what is done to it.
type Damage<'a> = (&'a str, &'static str, Box<dyn Fn() + 'a>);

/// Some events.
fn say(lab: &EmbeddedLab, name: &str) {
    lab.cli(&["template", "create", name]);
}

fn flip(path: &Path) {
    let middle = fs::metadata(path).unwrap().len() / 2;
    flip_at(path, middle);
}

fn flip_at(path: &Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// The backups' directory as it is: names that are not hidden.
fn kept(lab: &EmbeddedLab) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(lab.backups())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lock")
        .collect();
    names.sort();
    names
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(done.success());
}

fn only_file(directory: &Path, ends_with: &str) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ends_with))
        .collect();
    files.sort();
    files.remove(0)
}

#[tokio::test]
async fn what_is_damaged_is_refused_and_what_is_live_stays() {
    let mut lab = EmbeddedLab::new();
    let archive = lab.place("wal");
    lab.set("POSTGRES__WAL_ARCHIVE", &archive.to_string_lossy());
    let daemon = lab.start();
    say(&lab, "one");
    let logical = lab.cli(&["backup", "create"])["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let physical = lab.cli(&["backup", "create", "--kind", "physical"])["id"]
        .as_str()
        .unwrap()
        .to_owned();
    // Three segments lead on from the copy.
    for name in ["two", "three", "four"] {
        say(&lab, name);
        lab.ask::<String>("SELECT pg_switch_wal()::text WHERE $1 = ''", "")
            .await;
    }
    let events: i64 = lab.ask(EVENTS, "").await;
    let cluster = only_file(&archive, "");
    let begun = Instant::now();
    let segments = || {
        let names = fs::read_dir(&cluster).unwrap();
        names
            .filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                name.to_string_lossy().len() == "000000010000000000000001.gz".len()
            })
            .count()
    };
    while segments() < 4 {
        assert!(begun.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // While a daemon works there, nothing is restored.
    assert_eq!(
        lab.refusal(&["restore", &logical, "--yes"]).0,
        "daemon_running"
    );
    assert!(daemon.stop().success());
    assert_eq!(lab.refusal(&["restore", &logical]).0, "not_confirmed");
    let all = lab.cli(&["backup", "verify", "--all"]);
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");

    let control = lab.state().join("postgres/global/pg_control");
    let before = fs::read(&control).unwrap();
    let healthy = lab.place("healthy");
    copy(&lab.backups(), &healthy);
    let healthy_archive = lab.place("healthy-wal");
    copy(&archive, &healthy_archive);
    let path = |id: &str, name: &str| lab.backups().join(id).join(name);
    let mut third: Vec<PathBuf> = fs::read_dir(&cluster)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().len() == "000000010000000000000001.gz".len())
        .collect();
    third.sort();
    let lacking = third[third.len() - 2].clone();
    let base_file = path(&physical, "base/PG_VERSION");
    let damages: Vec<Damage<'_>> = vec![
        (
            &logical,
            "backup_damaged",
            Box::new(|| flip(&path(&logical, "log.dump"))),
        ),
        (
            &logical,
            "backup_damaged",
            Box::new(|| {
                let dump = fs::OpenOptions::new()
                    .write(true)
                    .open(path(&logical, "log.dump"))
                    .unwrap();
                dump.set_len(dump.metadata().unwrap().len() / 2).unwrap();
            }),
        ),
        (
            &logical,
            "backup_damaged",
            Box::new(|| flip(&path(&logical, "manifest.json"))),
        ),
        (
            &logical,
            "backup_damaged",
            Box::new(|| fs::remove_file(path(&logical, "artifacts.jsonl")).unwrap()),
        ),
        (&physical, "backup_damaged", Box::new(|| flip(&base_file))),
        (
            &physical,
            "wal_missing",
            Box::new(|| fs::remove_file(&lacking).unwrap()),
        ),
        // Not in its middle: whichever of its zeros a run of zeros is copied from, they are zeros.
        (
            &physical,
            "wal_missing",
            Box::new(|| flip_at(&lacking, 100)),
        ),
    ];
    for (id, code, damage) in &damages {
        damage();
        let (said, detail) = lab.refusal(&["restore", id, "--yes"]);
        assert_eq!(said, *code, "{detail}");
        assert!(detail.contains(id) || *code == "wal_missing", "{detail}");
        assert!(!lab.try_cli(&["backup", "verify", id]).status.success());
        for (directory, healthy) in [
            (lab.backups(), &healthy),
            (archive.clone(), &healthy_archive),
        ] {
            fs::remove_dir_all(&directory).unwrap();
            copy(healthy, &directory);
        }
        assert_eq!(fs::read(&control).unwrap(), before);
    }
    let (code, detail) = lab.refusal(&[
        "restore",
        &physical,
        "--to",
        "2099-01-01T00:00:00Z",
        "--yes",
    ]);
    assert_eq!(code, "wal_missing", "{detail}");
    assert!(detail.contains("ends before"), "{detail}");
    assert_eq!(
        lab.refusal(&["restore", &logical, "--to", "2099-01-01T00:00:00Z", "--yes"])
            .0,
        "backup_refused"
    );
    assert_eq!(
        lab.refusal(&["restore", "no-such-backup", "--yes"]).0,
        "backup_not_found"
    );
    assert_eq!(fs::read(&control).unwrap(), before);
    let leftovers = fs::read_dir(lab.state()).unwrap();
    assert!(
        !leftovers
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().contains("restore-"))
    );
    let _daemon = lab.start();
    assert_eq!(lab.ask::<i64>(EVENTS, "").await, events);
}

#[tokio::test]
async fn a_backup_or_a_restore_that_is_killed_leaves_what_was_there_before() {
    let lab = EmbeddedLab::new();
    let daemon = lab.start();
    say(&lab, "one");
    lab.cli(&["backup", "create"]);
    let then: i64 = lab.ask(EVENTS, "").await;
    for (round, kind) in [
        (1, "logical"),
        (2, "physical"),
        (3, "logical"),
        (4, "physical"),
    ] {
        let mut child = lab.begin(&["backup", "create", "--kind", kind]);
        std::thread::sleep(Duration::from_millis(120 * round));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // What is there is whole; what is not goes the next time.
    let begun = Instant::now();
    while !lab.try_cli(&["backup", "create"]).status.success() {
        // A program of the killed one may not have noticed yet.
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
    lab.cli(&["backup", "verify", "--all"]);
    assert!(
        kept(&lab).iter().all(|name| !name.starts_with('.')),
        "{:?}",
        kept(&lab)
    );
    let first = kept(&lab).remove(0);
    say(&lab, "two");
    let now: i64 = lab.ask(EVENTS, "").await;
    assert!(now > then);
    assert!(daemon.stop().success());

    for round in 1..=5 {
        let mut child = lab.begin(&["restore", &first, "--yes"]);
        std::thread::sleep(Duration::from_millis(300 * round));
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let begun = Instant::now();
        while !lab.servers().is_empty() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "a server is left"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let daemon = lab.start();
        let events: i64 = lab.ask(EVENTS, "").await;
        assert!(
            events == now || events == then,
            "{events}: neither {now} nor {then}"
        );
        if ended.is_some() {
            assert_eq!(events, then);
        }
        lab.cli(&["log", "verify", "--skip-artifacts"]);
        assert!(daemon.stop().success());
        if events == then {
            break;
        }
    }
    let restored = lab.cli(&["restore", &first, "--yes"]);
    assert_eq!(restored["events"].as_i64(), Some(then));
    let left = fs::read_dir(lab.state()).unwrap();
    assert!(!left.flatten().any(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .starts_with("postgres-restore-")
    }));
}

#[tokio::test]
async fn a_full_disk_is_said_and_nothing_of_the_backup_is_left() {
    let mut lab = EmbeddedLab::new();
    let small = lab.place("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=48k", "tmpfs"])
        .arg(&small)
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: mounting a small tmpfs takes root");
        return;
    }
    struct Mounted(PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        }
    }
    let _mounted = Mounted(small.clone());
    let _daemon = lab.start();
    say(&lab, "one");
    lab.set(
        "BACKUP__DIRECTORY",
        &small.join("backups").to_string_lossy(),
    );
    for kind in ["logical", "physical"] {
        let (code, detail) = lab.refusal(&["backup", "create", "--kind", kind]);
        assert_eq!(code, "disk_full", "{detail}");
        assert!(detail.contains("make room"), "{detail}");
    }
    assert_eq!(lab.cli(&["backup", "list"]), Value::Array(vec![]));
    let left: Vec<_> = fs::read_dir(small.join("backups"))
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(left.len(), 1, "the lock alone: {left:?}");
}

#[tokio::test]
async fn a_server_of_ones_own_is_backed_up_and_restored_over_its_connection() {
    const PASSWORD: &str = "nobody-may-see-this";
    let mut lab = Lab::new().await;
    let backups = lab.state().join("kept");
    lab.set("BACKUP__DIRECTORY", &backups.to_string_lossy());
    lab.set("DATABASE__PASSWORD", PASSWORD);
    let daemon = lab.start();
    lab.cli(&["template", "create", "one"]);
    let count = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM log.events")
            .fetch_one(lab.pool())
            .await
            .unwrap()
    };
    let then = count().await;

    // The password is in no process list while it is used.
    let watching = std::thread::spawn(|| {
        let begun = Instant::now();
        let mut seen = (false, vec![]);
        while begun.elapsed() < Duration::from_secs(4) {
            for process in fs::read_dir("/proc").unwrap().flatten() {
                let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).into_owned();
                seen.0 |= line.contains("pg_dump") && line.contains("--snapshot");
                if line.contains(PASSWORD) {
                    seen.1.push(line);
                }
            }
        }
        seen
    });
    let mut made = Value::Null;
    while !watching.is_finished() {
        made = lab.cli(&["backup", "create"]);
    }
    let (was_seen, told) = watching.join().unwrap();
    assert!(was_seen, "pg_dump was not seen at work");
    assert_eq!(told, Vec::<String>::new());
    for file in ["manifest.json", "artifacts.jsonl"] {
        let path = backups.join(made["id"].as_str().unwrap()).join(file);
        assert!(!fs::read_to_string(path).unwrap().contains(PASSWORD));
    }

    lab.cli(&["template", "create", "two"]);
    assert!(count().await > then);
    let refused = lab.try_cli(&["restore", "latest", "--yes"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("daemon_running"));
    assert!(daemon.stop().success());
    let restored = lab.cli(&["restore", "latest", "--yes"]);
    assert_eq!(restored["events"].as_i64(), Some(then));
    assert!(restored["aside"].as_str().unwrap().starts_with("database "));
    let _daemon = lab.start();
    assert_eq!(count().await, then);
    lab.cli(&["log", "verify", "--skip-artifacts"]);
    lab.cli(&["template", "create", "three"]);
}
