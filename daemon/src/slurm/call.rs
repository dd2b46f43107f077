//! Calling a program of SLURM: never through a shell, with little of the daemon's environment, for a limited time, with limited output.

use super::{Cluster, SlurmError};
use std::{ffi::OsString, fs::File, process::Stdio};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What a program may print: a queue of some 100,000 jobs. More is an error, not a lie.
const MOST_OUTPUT: u64 = 32 << 20;
/// What is kept of its complaints.
const MOST_COMPLAINT: u64 = 64 << 10;

/// A program, and what it is called with.
pub(super) struct Call<'a> {
    cluster: &'a Cluster,
    program: &'static str,
    arguments: Vec<OsString>,
    epoch_times: bool,
    files: Option<Files>,
}

/// Where a program reads and prints that has to go on when the daemon does not.
pub(super) struct Files {
    /// Its standard input, which it does not read: it holds whatever the file holds, locks among it, until it ends.
    pub(super) held: File,
    pub(super) printed: File,
    pub(super) complaints: File,
}

/// What came of it.
pub(super) struct Answer {
    pub(super) success: bool,
    /// It was ended by a signal.
    pub(super) interrupted: bool,
    pub(super) printed: Vec<u8>,
    pub(super) complaint: String,
}

impl<'a> Call<'a> {
    /// A call for an answer: it is ended when nobody waits for it any more. Times are printed as seconds since 1970.
    pub(super) fn query<A: Into<OsString>>(
        cluster: &'a Cluster,
        program: &'static str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            cluster,
            program,
            arguments: arguments.into_iter().map(Into::into).collect(),
            epoch_times: true,
            files: None,
        }
    }

    /// A call for its effect, which goes on when the daemon ends meanwhile.
    pub(super) fn lasting(mut self, files: Files) -> Self {
        self.epoch_times = false;
        self.files = Some(files);
        self
    }

    /// Calls it.
    ///
    /// # Errors
    /// [`SlurmError::Missing`], [`SlurmError::Interrupted`] after the cluster's limit, or [`SlurmError::NotUnderstood`] for too much output.
    pub(super) async fn answer(self) -> Result<Answer, SlurmError> {
        let path = self.cluster.program(self.program);
        let mut command = tokio::process::Command::new(&path);
        command
            .args(self.cluster_arguments())
            .env_clear()
            .envs(self.cluster.environment.iter().cloned())
            .env("LC_ALL", "C.UTF-8")
            // Ctrl-C at the daemon's terminal is not meant for it.
            .process_group(0);
        if self.epoch_times {
            command.env("SLURM_TIME_FORMAT", "%s");
        }
        match self.files {
            Some(files) => command
                .stdin(files.held)
                .stdout(files.printed)
                .stderr(files.complaints),
            None => command
                .kill_on_drop(true)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        };
        let mut child = command.spawn().map_err(|error| SlurmError::Missing {
            cluster: self.cluster.name.clone(),
            program: path.display().to_string(),
            error,
        })?;
        // The command holds the files open.
        drop(command);
        let (printed, complaint) = (child.stdout.take(), child.stderr.take());
        let ended = tokio::time::timeout(self.cluster.limit, async {
            tokio::try_join!(
                read(printed, MOST_OUTPUT),
                read(complaint, MOST_COMPLAINT),
                child.wait()
            )
        })
        .await;
        match ended {
            Ok(Ok((printed, complaint, status))) => {
                if printed.len() as u64 > MOST_OUTPUT {
                    return Err(SlurmError::NotUnderstood {
                        cluster: self.cluster.name.clone(),
                        program: self.program.to_owned(),
                        what: format!("it printed more than {MOST_OUTPUT} bytes"),
                    });
                }
                Ok(Answer {
                    success: status.success(),
                    interrupted: status.code().is_none(),
                    printed,
                    complaint: String::from_utf8_lossy(&complaint).into_owned(),
                })
            }
            Ok(Err(error)) => Err(SlurmError::Missing {
                cluster: self.cluster.name.clone(),
                program: path.display().to_string(),
                error,
            }),
            Err(_) => {
                let _ = child.kill().await;
                Err(SlurmError::Interrupted {
                    cluster: self.cluster.name.clone(),
                    program: self.program.to_owned(),
                    limit: self.cluster.limit,
                })
            }
        }
    }

    fn cluster_arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::with_capacity(self.arguments.len() + 1);
        if let Some(flag) = &self.cluster.flag
            && TAKES_CLUSTERS.contains(&self.program)
        {
            arguments.push(format!("--clusters={flag}").into());
        }
        arguments.extend(self.arguments.iter().cloned());
        arguments
    }
}

/// All that are called here do.
const TAKES_CLUSTERS: [&str; 5] = ["sbatch", "squeue", "scancel", "scontrol", "sacct"];

/// One byte past the limit shows that there was more. What follows is read and forgotten, so that the program ends by itself.
async fn read(from: Option<impl AsyncRead + Unpin>, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        let mut limited = from.take(most + 1);
        limited.read_to_end(&mut bytes).await?;
        tokio::io::copy(&mut limited.into_inner(), &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}

impl Answer {
    /// What was printed, where the program ended well.
    ///
    /// # Errors
    /// What it complained of.
    pub(super) fn text(
        self,
        cluster: &Cluster,
        program: &'static str,
    ) -> Result<String, SlurmError> {
        if !self.success {
            return Err(refusal(
                cluster,
                program,
                self.interrupted,
                &self.complaint,
                &self.printed,
            ));
        }
        Ok(String::from_utf8_lossy(&self.printed).into_owned())
    }
}

/// What SLURM prints when its controller, or the accounting daemon, cannot be reached: nothing was asked.
const NOT_REACHED: [&str; 6] = [
    "Unable to contact slurm controller",
    "Unable to contact slurm daemon",
    "can't be reached now",
    "Unable to establish controller machine",
    "Problem talking to",
    "Connection refused",
];
/// When it was reached, and the answer did not come.
const NOT_ANSWERED: [&str; 6] = [
    "Socket timed out",
    "Zero Bytes were transmitted or received",
    "Transport endpoint is not connected",
    "Message receive failure",
    "Header lengths are longer than data received",
    "Unexpected message received",
];
/// When it would take the job at another time.
const NOT_NOW: [&str; 8] = [
    "temporarily unable to accept job",
    "Resource temporarily unavailable",
    "submit limit",
    "SubmitJob",
    "SubmitLimit",
    "Job array index and job count limit",
    "reached MaxJobCount",
    "Slurm controller not currently the primary",
];

/// The error that a complaint is.
pub(super) fn refusal(
    cluster: &Cluster,
    program: &'static str,
    interrupted: bool,
    complaint: &str,
    printed: &[u8],
) -> SlurmError {
    let cluster_name = cluster.name.clone();
    let message = sentence(program, complaint)
        .or_else(|| sentence(program, &String::from_utf8_lossy(printed)))
        .unwrap_or_else(|| format!("{program} failed without saying why"));
    let says = |texts: &[&str]| texts.iter().any(|text| complaint.contains(text));
    if interrupted {
        SlurmError::Interrupted {
            cluster: cluster_name,
            program: program.to_owned(),
            limit: cluster.limit,
        }
    } else if says(&NOT_ANSWERED) {
        SlurmError::Silent {
            cluster: cluster_name,
            message,
            unclear: true,
        }
    } else if says(&NOT_REACHED) {
        SlurmError::Silent {
            cluster: cluster_name,
            message,
            unclear: false,
        }
    } else if says(&NOT_NOW) {
        SlurmError::Busy {
            cluster: cluster_name,
            message,
        }
    } else {
        SlurmError::Refused {
            cluster: cluster_name,
            message,
        }
    }
}

/// Lines of a complaint as one, without the program's name before each; at most 500 characters.
fn sentence(program: &str, complaint: &str) -> Option<String> {
    let lines: Vec<&str> = complaint
        .lines()
        .map(|line| {
            let line = line.strip_prefix(program).unwrap_or(line);
            let line = line.strip_prefix(": ").unwrap_or(line);
            let line = line
                .strip_prefix("error: ")
                .or_else(|| line.strip_prefix("fatal: "));
            line.unwrap_or_default().trim()
        })
        .filter(|line| !line.is_empty())
        .collect();
    let lines = match lines.is_empty() {
        true => complaint
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect(),
        false => lines,
    };
    let said: String = lines.join("; ").chars().take(500).collect();
    (!said.is_empty()).then_some(said)
}
