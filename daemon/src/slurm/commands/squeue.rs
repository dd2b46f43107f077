//! What the controller says of all jobs at once.

use super::super::{
    Cluster, SlurmError,
    call::Call,
    watched::{Watched, moment, said},
};
use std::path::{Path, PathBuf};
use trainmaster_domain::slurm::SlurmState;

/// A job or a task of an array, as `squeue` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// What SLURM calls it: `123`, or `123_4` for a task of an array.
    pub sbatch_id: String,
    /// Its `--comment`; empty when it has none, and where only accounting or the completion file knows the job, which do not say it.
    pub comment: String,
    /// Its working directory.
    pub directory: PathBuf,
    /// What SLURM says of it.
    pub seen: Watched,
}

/// A submission that is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// Its id.
    pub submission: &'a str,
    /// Its directory.
    pub directory: &'a Path,
}

impl Queued {
    /// Whether this is a job of the submission. A number alone does not tell: a controller that was killed gives numbers out again. A comment
    /// alone does not either: there are sites that write their own.
    #[must_use]
    pub fn is_of(&self, lookup: Lookup<'_>) -> bool {
        match Cluster::submission_of(&self.comment) {
            Some(submission) => submission == lookup.submission,
            None => self.directory == lookup.directory,
        }
    }
}

/// Between columns: nothing that SLURM prints in them has it. The comment, which may have anything, comes last.
const BETWEEN: char = '\u{1f}';

/// The columns, in the order in which [`parse`] reads them.
const COLUMNS: [&str; 11] = [
    "JobID",
    "ArrayJobID",
    "ArrayTaskID",
    "State",
    "exit_code",
    "StartTime",
    "EndTime",
    "RestartCnt",
    "Reason",
    "WorkDir",
    "Comment",
];

impl Cluster {
    /// All jobs of this user that the controller knows, ended ones among them: one call, whatever their number.
    ///
    /// # Errors
    /// [`SlurmError`].
    pub async fn squeue(&self) -> Result<Vec<Queued>, SlurmError> {
        let columns: Vec<String> = COLUMNS
            .iter()
            .map(|name| match *name {
                "Comment" => format!("{name}:"),
                _ => format!("{name}:{BETWEEN}"),
            })
            .collect();
        let arguments = [
            "--me".to_owned(),
            "--all".to_owned(),
            "--states=all".to_owned(),
            "--array".to_owned(),
            "--noheader".to_owned(),
            format!("--Format={}", columns.join(",")),
        ];
        let answer = Call::query(self, "squeue", arguments).answer().await?;
        let printed = answer.text(self, "squeue")?;
        Ok(printed.lines().filter_map(parse).collect())
    }

    /// The jobs of a submission: those that the controller knows, else those that ended so long ago that only accounting or the completion
    /// file does. None: SLURM never had it, or cannot tell any more.
    ///
    /// # Errors
    /// [`SlurmError`].
    pub async fn find(&self, lookup: Lookup<'_>) -> Result<Vec<Queued>, SlurmError> {
        let mut found = self.squeue().await?;
        found.retain(|job| job.is_of(lookup));
        if found.is_empty() {
            return self.remembered_of(lookup.directory).await;
        }
        Ok(found)
    }
}

/// A line; none for one that is not a job's (the rest of a comment of several lines).
fn parse(line: &str) -> Option<Queued> {
    let mut columns = line.splitn(COLUMNS.len(), BETWEEN);
    let mut next = || columns.next().map(str::trim);
    let (job, array, task) = (next()?, next()?, next()?);
    let sbatch_id = match task {
        "N/A" | "" => job.to_owned(),
        task => format!("{array}_{task}"),
    };
    let raw = next()?;
    let state = SlurmState::parse(raw);
    let exit_code = next()?;
    let (start, end) = (next()?, next()?);
    let restarts = next()?.parse().ok()?;
    let reason = said(next()?);
    let directory = next()?.into();
    let comment = said(next()?).unwrap_or_default();
    job.parse::<u64>().ok()?;
    let ended = state.is_terminal();
    Some(Queued {
        sbatch_id,
        comment,
        directory,
        seen: Watched {
            raw: raw.to_owned(),
            // What is expected of a job that waits is nothing that happened.
            started_at: moment(start).filter(|_| state != SlurmState::Pending),
            ended_at: moment(end).filter(|_| ended),
            restarts: Some(restarts),
            exit_code: exit_code
                .parse()
                .ok()
                .filter(|_| ended)
                .map(|status: u32| format!("{}:{}", (status >> 8) & 0xff, status & 0x7f)),
            reason,
            state,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trainmaster_domain::slurm::SlurmFailure;

    /// A line with another character between columns.
    fn read(line: &str) -> Option<Queued> {
        parse(&line.replace('|', &BETWEEN.to_string()))
    }

    #[test]
    fn what_squeue_prints_is_read() {
        let failed = read(
            "2|2|N/A|FAILED|1792|1795185048|1795185049|0|NonZeroExitCode|/state/slurm/abc|trainmaster:abc",
        )
        .unwrap();
        assert_eq!(failed.sbatch_id, "2");
        assert_eq!(Cluster::submission_of(&failed.comment), Some("abc"));
        assert_eq!(failed.seen.state, SlurmState::Failed(SlurmFailure::Failed));
        assert_eq!(failed.seen.exit_code.as_deref(), Some("7:0"));
        assert_eq!(failed.seen.reason.as_deref(), Some("NonZeroExitCode"));
        let (start, end) = (failed.seen.started_at, failed.seen.ended_at);
        assert_eq!((end.unwrap() - start.unwrap()).num_seconds(), 1);
    }

    #[test]
    fn what_is_expected_of_a_job_that_waits_or_runs_has_not_happened() {
        let pending =
            read("12|9|3|PENDING|0|1795185137|1795185257|1|BeginTime|/tmp|(null)").unwrap();
        assert_eq!(pending.sbatch_id, "9_3");
        assert_eq!(pending.comment, "");
        assert_eq!(pending.seen.started_at, None);
        assert_eq!(pending.seen.ended_at, None);
        assert_eq!(pending.seen.restarts, Some(1));
        let running = read("5|5|N/A|RUNNING|0|1795185048|1795185108|0|None|/tmp|(null)").unwrap();
        assert!(running.seen.started_at.is_some());
        assert_eq!(running.seen.ended_at, None);
        assert_eq!(running.seen.exit_code, None);
        assert_eq!(running.seen.reason, None);
    }

    #[test]
    fn the_rest_of_a_comment_is_no_job() {
        for line in ["", "b", "1|2", "slurm_load_jobs error: x"] {
            assert_eq!(read(line), None);
        }
        let job = read("1|1|N/A|RUNNING|0|1|2|0|None|/tmp|a|b").unwrap();
        assert_eq!(job.comment, format!("a{BETWEEN}b"));
    }

    #[test]
    fn a_number_that_was_given_out_again_is_another_job() {
        let job = |comment: &str, directory: &str| {
            let line = format!("1|1|N/A|RUNNING|0|1|2|0|None|{directory}|{comment}");
            read(&line).unwrap()
        };
        let lookup = Lookup {
            submission: "abc",
            directory: Path::new("/state/slurm/abc"),
        };
        for (comment, directory, is_ours) in [
            ("trainmaster:abc", "/elsewhere", true),
            ("trainmaster:abcd", "/state/slurm/abc", false),
            ("(null)", "/state/slurm/abc", true),
            ("the site's own", "/state/slurm/abc", true),
            ("the site's own", "/home/someone", false),
        ] {
            assert_eq!(
                job(comment, directory).is_of(lookup),
                is_ours,
                "{comment} {directory}"
            );
        }
    }
}
