//! What stands between the lab's programs and libc: a library of ours that they load first, and the page through which it is told.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const SOURCE: &str = include_str!("shim.c");

/// The library, compiled.
#[derive(Clone, Debug)]
pub(super) struct Shim {
    library: PathBuf,
}

/// Tells the library of some processes what to do, from now on and at once.
#[derive(Debug)]
pub(super) struct Control {
    path: PathBuf,
    file: File,
}

impl Shim {
    /// Compiles it. None when there is no compiler.
    ///
    /// # Errors
    /// The source cannot be written.
    pub(super) fn compile(directory: &Path) -> io::Result<Option<Self>> {
        let (source, library) = (directory.join("shim.c"), directory.join("shim.so"));
        fs::write(&source, SOURCE)?;
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output();
        Ok(compiled
            .is_ok_and(|output| output.status.success())
            .then_some(Self { library }))
    }

    /// What makes a program load it and listen to `control`.
    pub(super) fn environment(&self, control: &Control) -> [(String, String); 2] {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        [
            ("LD_PRELOAD".to_owned(), text(&self.library)),
            ("TRAINMASTER_FIRE_CONTROL".to_owned(), text(&control.path)),
        ]
    }
}

impl Control {
    /// All is well.
    ///
    /// # Errors
    /// The page cannot be made.
    pub(super) fn new(path: PathBuf) -> io::Result<Self> {
        fs::write(&path, [0; 4096])?;
        let file = File::options().write(true).open(&path)?;
        Ok(Self { path, file })
    }

    /// Each fsync takes so much longer.
    pub(super) fn slow_sync(&self, delay: Duration) {
        self.set(0, i64::try_from(delay.as_micros()).unwrap_or(i64::MAX));
    }

    /// The clock is off by so many milliseconds.
    pub(super) fn clock(&self, offset_ms: i64) {
        self.set(1, offset_ms);
    }

    /// Whether every file refuses to grow.
    pub(super) fn disk_is_full(&self, full: bool) {
        self.set(2, i64::from(full));
    }

    fn set(&self, index: u64, value: i64) {
        self.file
            .write_all_at(&value.to_ne_bytes(), index * 8)
            .expect("the control page can be written");
    }
}
