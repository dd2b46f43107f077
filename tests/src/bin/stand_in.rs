//! Stands in for the trainer on the nodes of a cluster, where it matters what SLURM and the daemon do with many jobs, and not what they
//! compute: takes the work, says that it is done, and ends. It is called as the trainer is: `slurm SUBMISSION-DIRECTORY`.
//!
//! `STAND_IN_SECONDS` is how long it works; the task of an array whose index is `STAND_IN_FAILS` fails.

use std::{
    env,
    error::Error,
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};
use trainmaster_domain::{
    Lease,
    run::{
        journal::{
            Failure, FailureClass, Finished, Heartbeat, JournalRecord, Predicted, Record, Started,
            TrainingStarted,
        },
        spec::{RunSpec, Work},
    },
    slurm::tasks::{TASKS_FILE, Tasks},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [mode, directory] = &*arguments else {
        eprintln!("usage: stand_in slurm SUBMISSION-DIRECTORY");
        return ExitCode::from(2);
    };
    assert_eq!(mode, "slurm");
    match work(Path::new(directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn number(variable: &str) -> Option<u32> {
    env::var(variable).ok()?.parse().ok()
}

fn work(submission: &Path) -> Result<()> {
    let tasks: Tasks = serde_json::from_slice(&fs::read(submission.join(TASKS_FILE))?)?;
    let index = number("SLURM_ARRAY_TASK_ID");
    let place = tasks
        .tasks
        .iter()
        .find(|task| task.index == index)
        .ok_or("none of the tasks is this one")?;
    let directory = PathBuf::from(&place.run_directory);
    let spec = wait_for_lease(&directory)?;
    let mut journal = Journal::open(&directory, spec.lease)?;
    journal.say(Record::Started(Started {
        pid: std::process::id(),
        host: env::var("SLURMD_NODENAME").unwrap_or_default(),
        trainer_version: "stand-in".to_owned(),
        libtorch_version: "none".to_owned(),
        device: "cpu".to_owned(),
    }))?;
    let (total, d_in) = match &spec.work {
        Work::Train(train) => (train.hyperparameters.training_steps, Some(8)),
        Work::TrainSegmentation(train) => (train.settings.training_steps, None),
        Work::PredictSegmentation(predict) => {
            rest();
            fs::create_dir_all(&predict.output_dir)?;
            return journal.say(Record::Predicted(Box::new(Predicted {
                output_dir: predict.output_dir.clone(),
                prediction: serde_json::json!({ "images": predict.images.len() }),
            })));
        }
        _ => return Err("this is nothing that a stand-in does".into()),
    };
    journal.say(Record::TrainingStarted(TrainingStarted {
        at_step: 0,
        d_in,
        d_sae: d_in.map(|width| 4 * width),
    }))?;
    rest();
    if index.is_some() && index == number("STAND_IN_FAILS") {
        journal.say(Record::Failed(Failure {
            class: FailureClass::Workload,
            code: "loss_not_finite".to_owned(),
            message: "It was told to fail.".to_owned(),
        }))?;
        return Err("told to fail".into());
    }
    let result = directory.join("result");
    fs::create_dir_all(&result)?;
    journal.say(Record::Completed(Finished {
        step: total.into(),
        path: result.to_string_lossy().into_owned(),
        // Of no file at all.
        sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned(),
    }))
}

/// What the daemon says of this turn of the job; a job that was put back may be started before it has.
fn wait_for_lease(directory: &Path) -> Result<RunSpec> {
    let restart = number("SLURM_RESTART_COUNT").unwrap_or_default();
    let begun = Instant::now();
    loop {
        let spec: RunSpec = serde_json::from_slice(&fs::read(directory.join("spec.json"))?)?;
        let slurm = spec.slurm.as_ref().ok_or("this is no work for SLURM")?;
        if slurm.restart >= restart {
            return Ok(spec);
        }
        if begun.elapsed() > Duration::from_secs(60) {
            return Err("nobody handed the work over".into());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn rest() {
    let seconds = env::var("STAND_IN_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok());
    thread::sleep(Duration::from_secs_f64(seconds.unwrap_or(0.0)));
}

/// What it says, and that it lives.
struct Journal {
    directory: PathBuf,
    file: File,
    lease: Lease,
    said: u64,
}

impl Journal {
    fn open(directory: &Path, lease: Lease) -> Result<Self> {
        Ok(Self {
            file: OpenOptions::new()
                .create(true)
                .append(true)
                .open(directory.join("journal.jsonl"))?,
            directory: directory.to_owned(),
            lease,
            said: 0,
        })
    }

    fn say(&mut self, record: Record) -> Result<()> {
        self.said += 1;
        let mut line = serde_json::to_vec(&JournalRecord {
            lease: self.lease,
            seq: self.said,
            at: chrono::Utc::now(),
            record,
        })?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        let beside = self.directory.join("heartbeat.new");
        let heartbeat = Heartbeat {
            lease: self.lease,
            beat: self.said,
            progress: self.said,
        };
        fs::write(&beside, serde_json::to_vec(&heartbeat)?)?;
        Ok(fs::rename(beside, self.directory.join("heartbeat"))?)
    }
}
