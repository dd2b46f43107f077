//! What accounting says of jobs that the controller has forgotten.

use super::{
    super::{
        Cluster, SlurmError,
        call::Call,
        watched::{Watched, moment, said},
    },
    squeue::Queued,
};
use std::path::Path;
use trainmaster_domain::slurm::SlurmState;

/// Jobs that are asked about in one call.
const AT_ONCE: usize = 500;
/// A submission that nobody has heard of for longer is not looked for.
const LOOKED_BACK: &str = "now-30days";
/// Between columns; the working directory, which may have anything, comes last.
const BETWEEN: char = '\u{1f}';
const COLUMNS: &str = "JobID,State,ExitCode,Start,End,Reason,WorkDir";
const COLUMN_COUNT: usize = 7;

impl Cluster {
    /// Jobs by what SLURM calls them.
    pub(in crate::slurm) async fn accounted(
        &self,
        sbatch_ids: &[String],
    ) -> Result<Vec<Queued>, SlurmError> {
        let mut found = Vec::new();
        for ids in sbatch_ids.chunks(AT_ONCE) {
            let jobs = format!("--jobs={}", ids.join(","));
            found.extend(self.sacct(&jobs).await?);
        }
        Ok(found)
    }

    /// Jobs by their working directory.
    pub(in crate::slurm) async fn accounted_in(
        &self,
        directory: &Path,
    ) -> Result<Vec<Queued>, SlurmError> {
        let mut found = self.sacct(&format!("--starttime={LOOKED_BACK}")).await?;
        found.retain(|job| job.directory == directory);
        Ok(found)
    }

    async fn sacct(&self, which: &str) -> Result<Vec<Queued>, SlurmError> {
        let arguments = [
            "--allocations".to_owned(),
            "--noheader".to_owned(),
            "--parsable2".to_owned(),
            format!("--delimiter={BETWEEN}"),
            format!("--format={COLUMNS}"),
            which.to_owned(),
        ];
        let answer = Call::query(self, "sacct", arguments).answer().await?;
        let printed = answer.text(self, "sacct")?;
        Ok(printed.lines().filter_map(parse).collect())
    }
}

fn parse(line: &str) -> Option<Queued> {
    let mut columns = line.splitn(COLUMN_COUNT, BETWEEN);
    let mut next = || columns.next().map(str::trim);
    let (sbatch_id, raw) = (next()?, next()?);
    if !sbatch_id.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let state = SlurmState::parse(raw);
    let (exit_code, start, end, reason) = (next()?, next()?, next()?, next()?);
    let directory = next()?.into();
    let ended = state.is_terminal();
    Some(Queued {
        sbatch_id: sbatch_id.to_owned(),
        comment: String::new(),
        directory,
        seen: Watched {
            raw: raw.to_owned(),
            started_at: moment(start).filter(|_| state != SlurmState::Pending),
            ended_at: moment(end).filter(|_| ended),
            restarts: None,
            exit_code: said(exit_code).filter(|_| ended),
            reason: said(reason),
            state,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trainmaster_domain::slurm::SlurmFailure;

    /// As slurm 22.05 with slurmdbd printed it, with another character between columns.
    const PRINTED: &str = "\
1|COMPLETED|0:0|1795189078|1795189079|None|/state/slurm/a b
2|FAILED|7:0|1795189078|1795189079|None|/state/slurm/c
5|CANCELLED by 0|0:0|1795189078|1795189080|None|/state/slurm/d
3_1|COMPLETED|0:0|1795189078|1795189079|None|/state/slurm/e
4|RUNNING|0:0|1795189084|Unknown|BeginTime|/state/slurm/f
";

    #[test]
    fn what_sacct_prints_is_read() {
        let printed = PRINTED.replace('|', &BETWEEN.to_string());
        let jobs: Vec<Queued> = printed.lines().map(|line| parse(line).unwrap()).collect();
        let ids: Vec<&str> = jobs.iter().map(|job| job.sbatch_id.as_str()).collect();
        assert_eq!(ids, ["1", "2", "5", "3_1", "4"]);
        assert_eq!(jobs[0].directory, Path::new("/state/slurm/a b"));
        let of = |job: &Queued| (job.seen.state.clone(), job.seen.exit_code.clone());
        let failed = SlurmState::Failed(SlurmFailure::Failed);
        assert_eq!(of(&jobs[1]), (failed, Some("7:0".to_owned())));
        let cancelled = SlurmState::Failed(SlurmFailure::Cancelled);
        assert_eq!(of(&jobs[2]), (cancelled, Some("0:0".to_owned())));
        assert_eq!(jobs[2].seen.raw, "CANCELLED by 0");
        assert!(jobs.iter().all(|job| job.seen.started_at.is_some()));
        assert_eq!(of(&jobs[4]), (SlurmState::Running, None));
        assert_eq!(jobs[4].seen.ended_at, None);
        for line in ["", "Slurm accounting storage is disabled", "JobID|State"] {
            assert!(parse(line).is_none());
        }
    }
}
