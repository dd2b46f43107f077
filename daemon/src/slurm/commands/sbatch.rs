//! Submitting.

use super::super::{
    Cluster, SlurmError,
    call::{Call, Files, refusal},
};
use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};
use trainmaster_domain::slurm::SlurmResources;

/// What comes before a submission's id in `--comment`.
const COMMENT: &str = "trainmaster:";

/// What is submitted by one `sbatch`.
#[derive(Debug)]
pub struct Submit<'a> {
    /// Its id, which travels in `--comment`.
    pub submission: &'a str,
    /// What `squeue` shows as the job's name: letters, digits, `_`, `-`, `.` and `:`.
    pub job_name: &'a str,
    /// Its directory, which becomes the job's working directory. What `sbatch` prints is kept there.
    pub directory: &'a Path,
    /// The filled-in script.
    pub script: &'a Path,
    /// What the script prints is appended to this file; `%a` in it stands for the index of an array's task. Other percent signs are doubled
    /// ([`output_pattern`]).
    pub output: &'a str,
    /// What is asked for; the cluster's defaults are not added (see [`Cluster::resources`]).
    pub resources: &'a SlurmResources,
    /// The indexes of an array's tasks; none: no array.
    pub array: Option<&'a [u32]>,
    /// How long before the time limit the script gets SIGUSR1; of a short limit, a third at most.
    pub signal_before_end: Duration,
    /// Held by `sbatch` until it ends, whatever becomes of the daemon: the lock of the submission directory.
    pub lock: &'a File,
}

impl Cluster {
    /// The `--comment` of a submission.
    #[must_use]
    pub fn comment(submission: &str) -> String {
        format!("{COMMENT}{submission}")
    }

    /// The submission of a `--comment`; none when it is not one of trainmaster's.
    #[must_use]
    pub fn submission_of(comment: &str) -> Option<&str> {
        comment.strip_prefix(COMMENT)
    }

    /// Submits, and answers with the number that SLURM gave the job: tasks of an array are `<number>_<index>`. What was submitted from this
    /// directory before is not submitted again: its number is the answer. Goes on when the caller does not wait for it.
    ///
    /// # Errors
    /// [`SlurmError`]. Where [`SlurmError::is_unclear`], SLURM may have the job.
    pub async fn sbatch(&self, submit: &Submit<'_>) -> Result<String, SlurmError> {
        if let Some(number) = Self::printed_number(submit.directory)? {
            return Ok(number);
        }
        let printed = submit.directory.join(PRINTED);
        let complaints = submit.directory.join(COMPLAINTS);
        let files = Files {
            held: at(submit.directory, submit.lock.try_clone())?,
            printed: create(&printed)?,
            complaints: create(&complaints)?,
        };
        let call = Call::query(self, "sbatch", arguments(submit)).lasting(files);
        let answer = call.answer().await?;
        let complaint = read(&complaints)?.unwrap_or_default();
        if !answer.success {
            return Err(refusal(self, "sbatch", answer.interrupted, &complaint, &[]));
        }
        at(
            &printed,
            File::open(&printed).and_then(|file| file.sync_all()),
        )?;
        Self::printed_number(submit.directory)?.ok_or_else(|| SlurmError::NotUnderstood {
            cluster: self.name.clone(),
            program: "sbatch".to_owned(),
            what: format!("there is no number of a job in {}", printed.display()),
        })
    }

    /// The number of the job that was submitted from this directory, as `sbatch` printed it; none when it printed none, or has not yet.
    ///
    /// # Errors
    /// [`SlurmError::File`].
    pub fn printed_number(directory: &Path) -> Result<Option<String>, SlurmError> {
        let Some(printed) = read(&directory.join(PRINTED))? else {
            return Ok(None);
        };
        // A line that has its end has been printed to the end.
        let lines = printed
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'));
        Ok(lines.map(number).next_back().flatten())
    }
}

/// What `sbatch` prints, in the submission directory.
const PRINTED: &str = "sbatch.out";
const COMPLAINTS: &str = "sbatch.err";

/// `123`, or `123;cluster` where a cluster was named.
fn number(line: &str) -> Option<String> {
    let number = line.split(';').next().unwrap_or_default().trim();
    let is_one = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then(|| number.to_owned())
}

/// A path as `--output` takes it letter for letter.
#[must_use]
pub fn output_pattern(path: &str) -> String {
    path.replace('%', "%%")
}

fn arguments(submit: &Submit<'_>) -> Vec<OsString> {
    let resources = submit.resources;
    let mut arguments: Vec<OsString> = vec!["--parsable".into(), "--requeue".into()];
    let mut option = |name: &str, value: OsString| {
        let mut argument = OsString::from(format!("--{name}="));
        argument.push(value);
        arguments.push(argument);
    };
    option("comment", Cluster::comment(submit.submission).into());
    option("job-name", submit.job_name.into());
    option("chdir", submit.directory.into());
    option("output", submit.output.into());
    option("open-mode", "append".into());
    let before = signal_before_end(submit);
    option("signal", format!("B:USR1@{before}").into());
    // A run is one process on one node.
    option("nodes", "1".into());
    option("ntasks", "1".into());
    let numbers = [
        ("cpus-per-task", resources.cpus.map(|n| n.to_string())),
        ("mem", resources.memory_mib.map(|n| format!("{n}M"))),
        ("gpus", resources.gpus.map(|n| n.to_string())),
        ("partition", resources.partition.clone()),
        ("account", resources.account.clone()),
        ("qos", resources.qos.clone()),
        ("time", resources.time_limit_minutes.map(|n| n.to_string())),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            option(name, value.into());
        }
    }
    if let Some(indexes) = submit.array {
        let limit = resources.array_limit.map(|n| format!("%{n}"));
        let array = format!("{}{}", ranges(indexes), limit.unwrap_or_default());
        option("array", array.into());
    }
    arguments.push(submit.script.into());
    arguments
}

/// In seconds. A short turn is for work, too: at most a third of it is left for what comes after the signal.
fn signal_before_end(submit: &Submit<'_>) -> u64 {
    let minutes = submit.resources.time_limit_minutes;
    let turn = minutes.map_or(u64::MAX, |minutes| u64::from(minutes) * 60);
    submit.signal_before_end.as_secs().min(turn / 3).min(65_535)
}

/// Indexes as `--array` takes them: `0-4,7`.
fn ranges(indexes: &[u32]) -> String {
    let mut sorted = indexes.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for index in sorted {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(index) => *last = index,
            _ => ranges.push((index, index)),
        }
    }
    let ranges: Vec<String> = ranges
        .into_iter()
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        })
        .collect();
    ranges.join(",")
}

fn create(path: &Path) -> Result<File, SlurmError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(path);
    at(path, file)
}

/// At most 64 KiB of a file; none when it is not there.
fn read(path: &Path) -> Result<Option<String>, SlurmError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(64 << 10).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => at(path, Err(error)),
    }
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, SlurmError> {
    result.map_err(|error| SlurmError::File {
        path: PathBuf::from(path),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn indexes_become_ranges() {
        assert_eq!(ranges(&[0, 1, 2]), "0-2");
        assert_eq!(ranges(&[4, 0, 1, 9, 2, 1]), "0-2,4,9");
        assert_eq!(ranges(&[7]), "7");
    }

    #[test]
    fn a_number_that_was_not_printed_to_its_end_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let printed = |text: &str| {
            fs::write(folder.path().join(PRINTED), text).unwrap();
            Cluster::printed_number(folder.path()).unwrap()
        };
        assert_eq!(Cluster::printed_number(folder.path()).unwrap(), None);
        assert_eq!(printed(""), None);
        assert_eq!(printed("12"), None);
        assert_eq!(printed("12\n"), Some("12".to_owned()));
        assert_eq!(printed("12;campus\n"), Some("12".to_owned()));
        assert_eq!(printed("Submitted batch job 12\n"), None);
    }
}
