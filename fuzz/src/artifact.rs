//! Parquet files of features and their examples, as the read models import them.

use std::{cell::RefCell, fs, path::Path};
use tempfile::TempDir;

thread_local! {
    static DIRECTORY: RefCell<TempDir> = RefCell::new(
        if Path::new("/dev/shm").is_dir() { tempfile::tempdir_in("/dev/shm") } else { tempfile::tempdir() }
            .expect("a temporary directory"),
    );
}

/// Reads the rows as both kinds of artifact.
pub fn run(data: &[u8]) {
    DIRECTORY.with_borrow(|directory| {
        let path = directory.path().join("artifact.parquet");
        fs::write(&path, data).expect("a file can be written");
        trainmaster_projections::fuzzing::read(&path, data);
    });
}
