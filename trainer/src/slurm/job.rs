//! The job that this process is.

use std::fmt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the controller may take to answer.
const LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// A SLURM job, or a task of an array, as its environment tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlurmJob {
    number: u64,
    task: Option<u32>,
    restarts: u32,
}

/// The environment is not a job's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is {}: this is to be run by SLURM, in a script that sbatch submitted", .value.as_deref().unwrap_or("not set"))]
pub struct NotAJob {
    variable: &'static str,
    value: Option<String>,
}

impl SlurmJob {
    /// The job of an environment.
    ///
    /// # Errors
    /// [`NotAJob`].
    pub fn of(variable: &impl Fn(&str) -> Option<String>) -> Result<Self, NotAJob> {
        let number = |name| -> Result<Option<u64>, NotAJob> {
            let value = variable(name).filter(|value| !value.is_empty());
            let parsed = value.as_deref().map(str::parse).transpose();
            parsed.map_err(|_| NotAJob {
                variable: name,
                value,
            })
        };
        let small = |name| -> Result<Option<u32>, NotAJob> {
            let value = number(name)?.map(u32::try_from).transpose();
            value.map_err(|_| NotAJob {
                variable: name,
                value: variable(name),
            })
        };
        let task = small("SLURM_ARRAY_TASK_ID")?;
        let named = match task {
            Some(_) => "SLURM_ARRAY_JOB_ID",
            None => "SLURM_JOB_ID",
        };
        Ok(Self {
            number: number(named)?.ok_or(NotAJob {
                variable: named,
                value: None,
            })?,
            task,
            restarts: small("SLURM_RESTART_COUNT")?.unwrap_or(0),
        })
    }

    /// The index of the task; none: the job is no array.
    #[must_use]
    pub const fn task(&self) -> Option<u32> {
        self.task
    }

    /// How often it was put back into the queue.
    #[must_use]
    pub const fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Has it put back into the queue, which ends this process's turn.
    ///
    /// # Errors
    /// A sentence: there is no `scontrol`, or the controller refuses or does not answer.
    pub fn requeue(&self) -> Result<(), String> {
        let mut child = Command::new("scontrol")
            .args(["requeue", &self.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("scontrol cannot be run: {error}"))?;
        let begun = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("scontrol requeue ended with {status}")),
                Ok(None) if begun.elapsed() < LIMIT => std::thread::sleep(LOOK),
                ended => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(match ended {
                        Err(error) => error.to_string(),
                        _ => format!("scontrol requeue does not end within {LIMIT:?}"),
                    });
                }
            }
        }
    }
}

impl fmt::Display for SlurmJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            Some(task) => write!(f, "{}_{task}", self.number),
            None => write!(f, "{}", self.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(variables: &[(&str, &str)]) -> Result<SlurmJob, NotAJob> {
        SlurmJob::of(&|name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_job_is_called_as_slurm_calls_it() {
        let alone = job(&[("SLURM_JOB_ID", "12"), ("SLURM_RESTART_COUNT", "3")]).unwrap();
        assert_eq!(alone.to_string(), "12");
        assert_eq!((alone.task(), alone.restarts()), (None, 3));
        let task = job(&[
            ("SLURM_JOB_ID", "14"),
            ("SLURM_ARRAY_JOB_ID", "12"),
            ("SLURM_ARRAY_TASK_ID", "2"),
        ])
        .unwrap();
        assert_eq!(task.to_string(), "12_2");
        assert_eq!((task.task(), task.restarts()), (Some(2), 0));
    }

    #[test]
    fn an_environment_that_is_no_jobs_is_named() {
        for (variables, said) in [
            (&[][..], "SLURM_JOB_ID is not set"),
            (&[("SLURM_JOB_ID", "x")], "SLURM_JOB_ID is x"),
            (
                &[("SLURM_JOB_ID", "1"), ("SLURM_ARRAY_TASK_ID", "0")],
                "SLURM_ARRAY_JOB_ID is not set",
            ),
            (
                &[
                    ("SLURM_JOB_ID", "1"),
                    ("SLURM_RESTART_COUNT", "99999999999"),
                ],
                "SLURM_RESTART_COUNT is 99999999999",
            ),
        ] {
            let error = job(variables).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
