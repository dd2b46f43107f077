//! Processes of a lab, found as a person would: by looking at what runs.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// The process ids of the trainers that work on a run.
#[must_use]
pub fn trainers_of(run_directory: &Path) -> Vec<u32> {
    let wanted = run_directory.to_string_lossy();
    trainers(|word| word == wanted)
}

/// The process ids of the trainers that work on runs in a directory.
#[must_use]
pub fn trainers_below(runs: &Path) -> Vec<u32> {
    trainers(|word| Path::new(word).starts_with(runs))
}

/// The process ids of the trainers that were started with a word.
fn trainers(is_wanted: impl Fn(&str) -> bool) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return vec![];
    };
    processes
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let command = std::fs::read(entry.path().join("cmdline")).ok()?;
            let mut words = command
                .split(|byte| *byte == 0)
                .map(String::from_utf8_lossy);
            let is_trainer = words.next()?.ends_with("trainmaster-trainer");
            (is_trainer && words.any(|word| is_wanted(&word))).then_some(pid)
        })
        .collect()
}

/// Waits until a trainer works on a run, and says its process id.
///
/// # Panics
/// After 30 s.
#[must_use]
pub fn wait_for_trainer(run_directory: &Path) -> u32 {
    let begun = Instant::now();
    loop {
        if let [pid, ..] = trainers_of(run_directory)[..] {
            return pid;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "no trainer works on {}",
            run_directory.display()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until no trainer works on a run: it says its last word before it exits.
///
/// # Panics
/// After 30 s.
pub fn wait_for_no_trainer(run_directory: &Path) {
    let begun = Instant::now();
    while !trainers_of(run_directory).is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "a trainer still works on {}",
            run_directory.display()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal by name, whether or not the process is still there.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .output();
}
