//! Activations that trainings keep for one another: used, shared, bounded, and no different from those that are computed.

#![allow(clippy::unwrap_used)]

#[path = "run/directory.rs"]
#[allow(dead_code, reason = "each test binary uses a part")]
mod directory;

use directory::{RunDirectory, hyperparameters, train};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use trainmaster_domain::hyperparameters::{Hook, HookSite, Hyperparameters};
use trainmaster_domain::run::journal::Record;
use trainmaster_domain::run::spec::{ActivationCache, Work};

fn short(seed: u64) -> Hyperparameters {
    Hyperparameters {
        training_steps: 60,
        checkpoint_interval: 60,
        evaluation_tokens: Some(0),
        seed,
        ..hyperparameters()
    }
}

/// The hash of what is trained, with activations kept in a directory or not.
fn trained(hyperparameters: Hyperparameters, cache: Option<(&Path, u64)>) -> String {
    let run = RunDirectory::new();
    let Work::Train(mut work) = train(hyperparameters) else {
        unreachable!()
    };
    work.activation_cache = cache.map(|(directory, most_bytes)| ActivationCache {
        directory: directory.to_string_lossy().into_owned(),
        most_bytes,
    });
    run.spec(1, Work::Train(work));
    assert_eq!(run.wait(run.start(1)), Some(0));
    match run.last(1) {
        Record::Completed(finished) => finished.sha256,
        other => panic!("{other:?}: {}", run.log()),
    }
}

/// The entries, with how many passes are there and the bytes that are set aside.
fn entries(directory: &Path) -> Vec<(PathBuf, u32, u64)> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let passes = std::fs::read(path.join("passes")).unwrap_or_default();
            let passes = passes.iter().map(|byte| byte.count_ones()).sum();
            let bytes = std::fs::metadata(path.join("rows")).unwrap().len();
            entries.push((path, passes, bytes));
        }
    }
    entries
}

fn size(directory: &Path) -> u64 {
    let mut size = 0;
    for (path, ..) in entries(directory) {
        for file in std::fs::read_dir(path).unwrap() {
            size += file.unwrap().metadata().unwrap().len();
        }
    }
    size
}

#[test]
fn what_is_kept_is_what_would_be_computed_and_another_training_uses_it() {
    let kept = tempfile::tempdir().unwrap();
    let cache = Some((kept.path(), 1 << 30));
    let computed = trained(short(1), None);
    assert_eq!(trained(short(1), cache), computed, "while it is filled");
    let [(entry, passes, _)] = entries(kept.path()).try_into().unwrap();
    assert!(passes > 1);
    assert_eq!(trained(short(1), cache), computed, "once it is there");
    assert_eq!(
        trained(short(2), cache),
        trained(short(2), None),
        "for a training in another order"
    );
    // That they are read at all shows when they are others.
    let rows = std::fs::File::options()
        .write(true)
        .open(entry.join("rows"))
        .unwrap();
    rows.write_all_at(&[0x3f; 4096], 0).unwrap();
    assert_ne!(trained(short(1), cache), computed);
}

#[test]
fn a_training_that_needs_some_that_are_there_and_some_that_are_not_gets_both() {
    let kept = tempfile::tempdir().unwrap();
    let cache = Some((kept.path(), 1 << 30));
    trained(short(1), cache);
    let several = Hyperparameters {
        layer: None,
        hooks: Some(vec![
            HookSite {
                layer: 1,
                hook: Hook::Residual,
            },
            HookSite {
                layer: 0,
                hook: Hook::Mlp,
            },
        ]),
        evaluation_tokens: Some(64),
        ..short(3)
    };
    assert_eq!(trained(several.clone(), cache), trained(several, None));
    assert_eq!(entries(kept.path()).len(), 2);
}

#[test]
fn the_bound_is_kept_by_removing_what_was_used_least_recently() {
    let kept = tempfile::tempdir().unwrap();
    let layer = |layer| Hyperparameters {
        layer: Some(layer),
        ..short(1)
    };
    // Nothing fits.
    let none = trained(layer(0), Some((kept.path(), 1_000)));
    assert!(entries(kept.path()).is_empty());
    assert_eq!(trained(layer(0), Some((kept.path(), 1 << 30))), none);
    let [(first, _, bytes)] = entries(kept.path()).try_into().unwrap();
    // Two entries fit, but not three.
    let most = 3 * bytes - 1;
    trained(layer(1), Some((kept.path(), most)));
    trained(layer(0), Some((kept.path(), most)));
    trained(layer(2), Some((kept.path(), most)));
    assert!(size(kept.path()) <= most);
    let left: Vec<PathBuf> = entries(kept.path())
        .into_iter()
        .map(|entry| entry.0)
        .collect();
    assert_eq!(left.len(), 2);
    assert!(left.contains(&first), "it was used again after the second");
}

#[test]
fn what_another_training_uses_is_neither_removed_nor_filled() {
    let kept = tempfile::tempdir().unwrap();
    let cache = Some((kept.path(), 1 << 30));
    let computed = trained(short(1), cache);
    let [(entry, _, bytes)] = entries(kept.path()).try_into().unwrap();
    let lock = std::fs::File::open(entry.join("lock")).unwrap();
    lock.lock_shared().unwrap();
    let other = Hyperparameters {
        layer: Some(2),
        ..short(1)
    };
    trained(other, Some((kept.path(), bytes)));
    assert!(entry.exists());
    assert_eq!(entries(kept.path()).len(), 1);
    // Somebody fills it at this moment.
    std::fs::remove_file(entry.join("passes")).unwrap();
    lock.lock().unwrap();
    assert_eq!(trained(short(1), cache), computed);
    assert!(!entry.join("passes").exists());
}
