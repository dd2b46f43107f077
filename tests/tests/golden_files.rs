//! `ops/check-golden` notices whatever may not happen to golden files.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A copy of the golden files, perhaps below git.
struct Copy(TempDir);

impl Copy {
    fn new() -> Self {
        let copy = Self(tempfile::tempdir().unwrap());
        for entry in fs::read_dir(root().join("domain/tests/golden")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.0.path().join(path.file_name().unwrap())).unwrap();
        }
        copy
    }

    fn committed() -> Option<Self> {
        let copy = Self::new();
        if Command::new("git").arg("--version").output().is_err() {
            eprintln!("skipped: there is no git");
            return None;
        }
        copy.git(&["init", "-q"]);
        copy.commit();
        assert_eq!(copy.check(), Ok(()));
        Some(copy)
    }

    fn git(&self, arguments: &[&str]) {
        let done: Output = Command::new("git")
            .current_dir(self.0.path())
            .args(["-c", "user.name=test", "-c", "user.email=test@localhost"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(done.status.success(), "{arguments:?}: {done:?}");
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "-q", "--no-gpg-sign", "-m", "golden files"]);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn edit(&self, name: &str, edit: impl Fn(&str) -> String) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        let edited = edit(&text);
        assert_ne!(edited, text);
        fs::write(self.path(name), edited).unwrap();
    }

    /// Makes the list fit what is there, as somebody would who wants the check to be quiet.
    fn list_anew(&self) {
        let listed = Command::new("sh")
            .current_dir(self.0.path())
            .args(["-c", "sha256sum *.json >SHA256SUMS"])
            .status();
        assert!(listed.unwrap().success());
    }

    /// The first line of what it says when it fails.
    fn check(&self) -> Result<(), String> {
        let said = Command::new(root().join("ops/check-golden"))
            .arg(self.0.path())
            .output()
            .unwrap();
        if said.status.success() {
            return Ok(());
        }
        Err(String::from_utf8(said.stderr).unwrap())
    }

    #[track_caller]
    fn assert_fails(&self, says: &str) {
        let said = self.check().unwrap_err();
        assert!(said.contains(says), "{said}");
    }
}

const EVENT: &str = "TrainingPaused.v1.json";

#[test]
fn what_is_here_passes_with_and_without_history() {
    let here = Command::new(root().join("ops/check-golden")).status();
    assert!(here.unwrap().success());
    assert_eq!(Copy::new().check(), Ok(()));
}

#[test]
fn an_altered_a_removed_and_an_unlisted_file_are_noticed_without_history() {
    let copy = Copy::new();
    copy.edit(EVENT, |text| text.replace("1000", "1001"));
    copy.assert_fails("altered or removed");

    let copy = Copy::new();
    fs::remove_file(copy.path(EVENT)).unwrap();
    copy.assert_fails("altered or removed");

    let copy = Copy::new();
    fs::write(copy.path("TrainingPaused.v2.json"), "{}\n").unwrap();
    copy.assert_fails("TrainingPaused.v2.json");
    copy.list_anew();
    assert_eq!(copy.check(), Ok(()), "one more is what may happen");
}

#[test]
fn history_shows_what_was_altered_with_its_entry_in_the_list() {
    let Some(copy) = Copy::committed() else {
        return;
    };
    copy.edit(EVENT, |text| text.replace("1000", "1001"));
    copy.list_anew();
    copy.assert_fails("lost a line");
    copy.commit();
    copy.assert_fails("lost a line");
}

#[test]
fn history_shows_what_was_removed_with_its_entry_in_the_list() {
    let Some(copy) = Copy::committed() else {
        return;
    };
    fs::remove_file(copy.path(EVENT)).unwrap();
    copy.list_anew();
    copy.commit();
    copy.assert_fails("lost a line");
    // Even an altered file whose list was put back.
    let Some(copy) = Copy::committed() else {
        return;
    };
    copy.edit(EVENT, |text| text.replace("1000", "1001"));
    copy.commit();
    copy.git(&["checkout", "-q", "HEAD~1", "--", EVENT]);
    copy.commit();
    copy.assert_fails("after it was committed");
}

#[test]
fn a_variant_that_is_taken_from_the_list_is_noticed() {
    let Some(copy) = Copy::committed() else {
        return;
    };
    copy.edit("variants.txt", |text| {
        text.replace("LossReason exited\n", "")
    });
    copy.assert_fails("LossReason exited");
}

#[test]
fn more_files_and_more_variants_may_come() {
    let Some(copy) = Copy::committed() else {
        return;
    };
    fs::write(copy.path("TrainingPaused.v2.json"), "{}\n").unwrap();
    copy.list_anew();
    copy.edit("variants.txt", |text| format!("{text}LossReason stolen\n"));
    assert_eq!(copy.check(), Ok(()));
    copy.commit();
    assert_eq!(copy.check(), Ok(()));
}
