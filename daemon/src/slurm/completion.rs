//! Jobs that the controller has forgotten: accounting where there is some, else the file into which the controller writes down each job that
//! ended (jobcomp/filetxt).

use super::{
    Cluster, SlurmError,
    commands::Queued,
    watched::{Watched, said},
};
use chrono::{DateTime, Local, NaiveDateTime, TimeZone, Utc};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};
use tracing::{debug, info};
use trainmaster_domain::slurm::SlurmState;

/// So much of the end of the file is read: some 15,000 jobs.
const TAIL_BYTES: u64 = 8 << 20;

/// How a cluster remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    accounting: bool,
    file: Option<PathBuf>,
}

impl Cluster {
    /// What is remembered of the jobs with these numbers. A number that is not among the answers is not remembered; one may be of several
    /// jobs (see [`Queued::is_of`]).
    ///
    /// # Errors
    /// [`SlurmError`]: what remembers cannot be asked at the moment.
    pub(super) async fn remembered(
        &self,
        sbatch_ids: &[String],
    ) -> Result<Vec<Queued>, SlurmError> {
        let memory = self.memory().await?;
        let mut found = match memory.accounting {
            true => self.accounted(sbatch_ids).await?,
            false => vec![],
        };
        let missing = sbatch_ids
            .iter()
            .any(|id| !found.iter().any(|job| job.sbatch_id == *id));
        if let Some(file) = memory.file.as_ref().filter(|_| missing) {
            for line in tail(file).await? {
                if let Some(job) = parse(&line)
                    && sbatch_ids.contains(&job.sbatch_id)
                {
                    keep_newest(&mut found, job);
                }
            }
        }
        Ok(found)
    }

    /// What is remembered of the jobs that had this working directory.
    ///
    /// # Errors
    /// [`SlurmError`].
    pub(super) async fn remembered_of(&self, directory: &Path) -> Result<Vec<Queued>, SlurmError> {
        let memory = self.memory().await?;
        let mut found = match memory.accounting {
            true => self.accounted_in(directory).await?,
            false => vec![],
        };
        if let Some(file) = memory.file.as_ref().filter(|_| found.is_empty()) {
            for line in tail(file).await? {
                if let Some(job) = parse(&line)
                    && job.directory == directory
                {
                    keep_newest(&mut found, job);
                }
            }
        }
        Ok(found)
    }

    /// How this cluster remembers, in a few words.
    ///
    /// # Errors
    /// [`SlurmError`].
    pub async fn remembers_by(&self) -> Result<String, SlurmError> {
        let memory = self.memory().await?;
        Ok(match (memory.accounting, &memory.file) {
            (true, _) => "accounting".to_owned(),
            (false, Some(file)) => format!("the completion file {}", file.display()),
            (false, None) => "nothing".to_owned(),
        })
    }

    async fn memory(&self) -> Result<&Memory, SlurmError> {
        self.memory
            .get_or_try_init(|| async {
                let configuration = self.configuration().await?;
                let value = |name: &str| configuration.get(name).map(String::as_str);
                let accounting =
                    value("AccountingStorageType").is_some_and(|kind| kind.ends_with("/slurmdbd"));
                let written = value("JobCompLoc")
                    .filter(|_| value("JobCompType") == Some("jobcomp/filetxt"))
                    .map(PathBuf::from);
                let memory = Memory {
                    accounting,
                    file: self.completion_file.clone().or(written),
                };
                info!(
                    cluster = self.name,
                    ?memory,
                    "how the cluster remembers jobs that ended"
                );
                Ok(memory)
            })
            .await
    }
}

/// The last word on a job is the one that counts: being put back into the queue is written down as well.
fn keep_newest(found: &mut Vec<Queued>, job: Queued) {
    match found
        .iter_mut()
        .find(|old| old.sbatch_id == job.sbatch_id && old.directory == job.directory)
    {
        Some(old) => *old = job,
        None => found.push(job),
    }
}

/// The lines at the end of a file; none where it is not to be seen from this machine.
async fn tail(path: &Path) -> Result<Vec<String>, SlurmError> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_tail(&owned, TAIL_BYTES)).await;
    match read.map_err(io::Error::other).flatten() {
        Ok(lines) => Ok(lines),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            debug!(path = %path.display(), %error, "the completion file is not to be seen from here");
            Ok(vec![])
        }
        Err(error) => Err(SlurmError::File {
            path: path.to_owned(),
            error,
        }),
    }
}

fn read_tail(path: &Path, most: u64) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let begin = length.saturating_sub(most);
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line is cut off where the file has more.
    let whole = text.lines().skip(usize::from(begin > 0));
    Ok(whole.map(str::to_owned).collect())
}

/// A line: `JobId=7 … JobState=COMPLETED … WorkDir=… ArrayJobId=4 ArrayTaskId=0 … ExitCode=0:0`.
fn parse(line: &str) -> Option<Queued> {
    let job = value(line, "JobId")?;
    let sbatch_id = match (value(line, "ArrayJobId"), value(line, "ArrayTaskId")) {
        (Some(array), Some(task)) => format!("{array}_{task}"),
        _ => job.to_owned(),
    };
    let raw = value(line, "JobState")?;
    let state = SlurmState::parse(raw);
    let ended = state.is_terminal();
    let exit_code = value(line, "ExitCode").and_then(said);
    let directory = value(line, "WorkDir").unwrap_or_default().into();
    let seen = Watched {
        raw: raw.to_owned(),
        started_at: value(line, "StartTime").and_then(local_moment),
        ended_at: value(line, "EndTime")
            .and_then(local_moment)
            .filter(|_| ended),
        restarts: None,
        exit_code: exit_code.filter(|_| ended),
        reason: None,
        state,
    };
    Some(Queued {
        sbatch_id,
        comment: String::new(),
        directory,
        seen,
    })
}

/// The names of a line's values, as slurm 22.05 and later write them.
const NAMES: [&str; 26] = [
    "JobId",
    "UserId",
    "GroupId",
    "Name",
    "JobState",
    "Partition",
    "TimeLimit",
    "StartTime",
    "EndTime",
    "NodeList",
    "NodeCnt",
    "ProcCnt",
    "WorkDir",
    "ReservationName",
    "Tres",
    "Account",
    "QOS",
    "WcKey",
    "Cluster",
    "SubmitTime",
    "EligibleTime",
    "ArrayJobId",
    "ArrayTaskId",
    "DerivedExitCode",
    "ExitCode",
    "Comment",
];

/// The value of a name: up to the next name, because a name or a directory may have spaces.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let begin = match line.strip_prefix(name) {
        Some(rest) if rest.starts_with('=') => name.len() + 1,
        _ => {
            let marker = format!(" {name}=");
            line.find(&marker)? + marker.len()
        }
    };
    let rest = line.get(begin..)?;
    let end = NAMES
        .iter()
        .filter_map(|next| rest.find(&format!(" {next}=")))
        .min();
    Some(rest.get(..end.unwrap_or(rest.len()))?.trim())
}

/// The controller writes its local time, which is taken for this machine's. An hour that comes twice is taken for the first.
fn local_moment(printed: &str) -> Option<DateTime<Utc>> {
    let naive = NaiveDateTime::parse_from_str(printed, "%Y-%m-%dT%H:%M:%S").ok()?;
    let local = Local.from_local_datetime(&naive).earliest()?;
    Some(local.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trainmaster_domain::slurm::SlurmFailure;

    /// As slurm 22.05 wrote them.
    const LINES: &str = "\
JobId=2 UserId=root(0) GroupId=root(0) Name=j.sh JobState=FAILED Partition=main TimeLimit=UNLIMITED StartTime=2026-11-20T14:30:48 EndTime=2026-11-20T14:30:49 NodeList=n1 NodeCnt=1 ProcCnt=1 WorkDir=/state/with a space/s ReservationName= Tres=cpu=1,mem=4000M,node=1,billing=1 Account= QOS= WcKey= Cluster=unknown SubmitTime=2026-11-20T14:30:48 EligibleTime=2026-11-20T14:30:48 DerivedExitCode=0:0 ExitCode=7:0 \n\
JobId=7 UserId=root(0) GroupId=root(0) Name=j.sh JobState=COMPLETED Partition=main TimeLimit=UNLIMITED StartTime=2026-11-20T14:30:48 EndTime=2026-11-20T14:30:51 NodeList=n1 NodeCnt=1 ProcCnt=1 WorkDir=/tmp/sl ReservationName= Tres=cpu=1,mem=4000M,node=1,billing=1 Account= QOS= WcKey= Cluster=unknown SubmitTime=2026-11-20T14:30:48 EligibleTime=2026-11-20T14:30:48 ArrayJobId=4 ArrayTaskId=0 DerivedExitCode=0:0 ExitCode=0:0 \n\
JobId=12 UserId=root(0) GroupId=root(0) Name=r.sh JobState=PENDING Partition=main TimeLimit=2 StartTime=2026-11-20T14:36:54 EndTime=2026-11-20T14:36:56 NodeList=n1 NodeCnt=1 ProcCnt=1 WorkDir=/tmp/sl ReservationName= Tres=cpu=1 Account= QOS= WcKey= Cluster=unknown SubmitTime=2026-11-20T14:36:54 EligibleTime=2026-11-20T14:36:54 DerivedExitCode=0:0 ExitCode=0:0 \n\
JobId=12 UserId=root(0) GroupId=root(0) Name=r.sh JobState=CANCELLED Partition=main TimeLimit=2 StartTime=2026-11-20T14:37:04 EndTime=2026-11-20T14:37:08 NodeList=n1 NodeCnt=1 ProcCnt=1 WorkDir=/tmp/sl ReservationName= Tres=cpu=1 Account= QOS= WcKey= Cluster=unknown SubmitTime=2026-11-20T14:36:56 EligibleTime=2026-11-20T14:37:04 DerivedExitCode=0:0 ExitCode=0:0 \n";

    #[test]
    fn a_line_of_the_completion_file_is_read() {
        let read: Vec<_> = LINES.lines().map(|line| parse(line).unwrap()).collect();
        let failed = &read[0];
        assert_eq!(failed.sbatch_id, "2");
        assert_eq!(failed.seen.state, SlurmState::Failed(SlurmFailure::Failed));
        assert_eq!(failed.seen.exit_code.as_deref(), Some("7:0"));
        assert_eq!(failed.directory, Path::new("/state/with a space/s"));
        let lasted = failed.seen.ended_at.unwrap() - failed.seen.started_at.unwrap();
        assert_eq!(lasted.num_seconds(), 1);
        assert_eq!(read[1].sbatch_id, "4_0");
        assert_eq!(read[1].seen.state, SlurmState::Completed);
        assert!(parse("").is_none());
    }

    #[test]
    fn the_last_word_on_a_job_counts() {
        let mut found = vec![];
        for line in LINES.lines() {
            keep_newest(&mut found, parse(line).unwrap());
        }
        assert_eq!(found.len(), 3);
        let last = found.iter().find(|job| job.sbatch_id == "12").unwrap();
        assert_eq!(last.seen.state, SlurmState::Failed(SlurmFailure::Cancelled));
    }

    #[test]
    fn only_whole_lines_of_the_end_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobcomp");
        std::fs::write(&path, "first line\nsecond\nthird\n").unwrap();
        assert_eq!(read_tail(&path, 14).unwrap(), ["second", "third"]);
        assert_eq!(read_tail(&path, 100).unwrap().len(), 3);
    }
}
