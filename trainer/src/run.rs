//! One run, from its directory's spec to its last record: `trainmaster-trainer run <directory> --lease <n>`.
//!
//! The contract is [`trainmaster_domain::run`]'s.

mod activation_cache;
mod convert_model;
mod course;
pub mod durable;
pub mod executor;
mod extract;
pub mod failure;
mod generate;
mod import_autoencoder;
pub mod journal;
pub mod life;
mod metrics;
mod model_activations;
mod predict;
mod prepare_dataset;
mod prepare_model;
pub(crate) mod remark;
mod segment;
mod train;
mod watched;
mod work;

use executor::Executor;
use failure::RunError;
use journal::Journal;
use life::Life;
use remark::remark;
use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tch::{Cuda, Device};
use trainmaster_domain::Lease;
use trainmaster_domain::run::{
    CONTRACT_VERSION, EXIT_FAILED, EXIT_LEFT, EXIT_SUPERSEDED,
    journal::{Progress, Record, Started},
    spec::RunSpec,
};

/// The exit status when the run's directory or journal cannot be used at all.
pub const EXIT_SPEECHLESS: i32 = 4;

/// How often a journal that has no room is tried again with the last word, and how long to wait in between.
const LAST_WORD_TRIES: u32 = 20;
const LAST_WORD_PAUSE: Duration = Duration::from_millis(250);

/// A run that has begun: where, what, and the means to speak and listen.
#[derive(Debug)]
pub struct Run {
    /// The run's directory, absolute.
    pub directory: PathBuf,
    /// What is to be done.
    pub spec: RunSpec,
    /// The sign of life and the ear for requests.
    pub life: Life,
    executor: Executor,
    journal: Journal,
}

impl Run {
    /// Appends a record to the journal.
    ///
    /// # Errors
    /// [`RunError::DiskFull`] where there is no room, [`RunError::Speechless`] otherwise.
    pub fn say(&mut self, record: Record, durable: bool) -> Result<(), RunError> {
        self.journal.append(record, durable).map_err(|error| {
            match RunError::of_file(&self.directory.join("journal.jsonl"), &error) {
                full @ RunError::DiskFull { .. } => full,
                _ => RunError::Speechless(error),
            }
        })
    }

    /// Says how far work without metrics is.
    ///
    /// # Errors
    /// As [`Run::say`].
    pub fn say_progress(&mut self, stage: &str, percent: f64) -> Result<(), RunError> {
        self.life.progress();
        let stage = stage.to_owned();
        self.say(Record::Progress(Progress { stage, percent }), false)
    }

    /// Fails when the lease has passed to another: asked before anything is written that others will read.
    ///
    /// # Errors
    /// [`RunError::Superseded`].
    pub fn still_ours(&self) -> Result<(), RunError> {
        if self.life.is_superseded() {
            Err(RunError::Superseded)
        } else {
            Ok(())
        }
    }
}

/// Does what the directory's spec says, and returns the exit status.
#[must_use]
pub fn run(directory: &Path, lease: Lease, executor: Executor) -> i32 {
    let opened = fs::canonicalize(directory).and_then(|directory| {
        Ok((
            Journal::open(&directory.join("journal.jsonl"), lease)?,
            directory,
        ))
    });
    let (mut journal, directory) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            remark(format_args!("{}: {error}", directory.display()));
            return EXIT_SPEECHLESS;
        }
    };
    let spec = match read_spec(&directory.join("spec.json"), lease) {
        Ok(spec) => spec,
        Err(error) => return end(&mut journal, Err(error), &executor),
    };
    let interval = Duration::from_millis(spec.heartbeat_interval_ms.clamp(10, 60_000));
    let mut run = Run {
        life: Life::start(&directory, lease, interval, executor.clone()),
        directory,
        spec,
        executor,
        journal,
    };
    let done = catch_unwind(AssertUnwindSafe(|| begin(&mut run)))
        .unwrap_or_else(|panic| Err(of_panic(panic.as_ref())));
    let status = end(&mut run.journal, done, &run.executor);
    drop(run.life);
    status
}

fn begin(run: &mut Run) -> Result<(), RunError> {
    let resources = run.spec.resources.clone();
    let threads = i32::try_from(resources.cpu_threads.max(1)).unwrap_or(i32::MAX);
    tch::set_num_interop_threads(1);
    tch::set_num_threads(threads);
    run.say(
        Record::Started(Started {
            pid: std::process::id(),
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            trainer_version: env!("CARGO_PKG_VERSION").into(),
            libtorch_version: crate::LIBTORCH_VERSION.into(),
            device: resources.device.clone(),
        }),
        true,
    )?;
    device(&resources.device)?;
    work::work(run)
}

/// Says the last word and turns it into an exit status.
fn end(journal: &mut Journal, done: Result<(), RunError>, executor: &Executor) -> i32 {
    let Err(error) = done else {
        return 0;
    };
    remark(&error);
    match error {
        RunError::Superseded => return EXIT_SUPERSEDED,
        RunError::Left => return EXIT_LEFT,
        _ => {}
    }
    let Some(failure) = error.failure() else {
        return EXIT_SPEECHLESS;
    };
    for attempt in 0..LAST_WORD_TRIES {
        if attempt > 0 {
            std::thread::sleep(LAST_WORD_PAUSE);
        }
        match journal.append(Record::Failed(failure.clone()), true) {
            Ok(()) if executor.is_slurm() => return EXIT_FAILED,
            Ok(()) => return 0,
            Err(error) => remark(format_args!("the journal cannot be written: {error}")),
        }
    }
    EXIT_SPEECHLESS
}

fn read_spec(path: &Path, lease: Lease) -> Result<RunSpec, RunError> {
    let text = fs::read(path).map_err(|error| RunError::of_file(path, &error))?;
    // The version first: a spec of another may not even parse.
    let value: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| RunError::FileTruncated {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    if value["lease"] != serde_json::json!(lease) {
        return Err(RunError::Superseded);
    }
    if value["contract"] != serde_json::json!(CONTRACT_VERSION) {
        return Err(RunError::Unsupported {
            what: format!(
                "the spec follows version {} of the run contract, this trainer version {CONTRACT_VERSION}: install daemon and trainer of \
                 one release",
                value["contract"]
            ),
        });
    }
    serde_json::from_value(value).map_err(|error| RunError::Unsupported {
        what: format!("{}: {error}", path.display()),
    })
}

/// The device of a name: `cpu` or `cuda:<n>`.
///
/// # Errors
/// [`RunError::Unsupported`] for one that is not there.
pub fn device(name: &str) -> Result<Device, RunError> {
    let count = Cuda::device_count();
    match name.strip_prefix("cuda:").map(str::parse::<usize>) {
        None if name == "cpu" => Ok(Device::Cpu),
        Some(Ok(index)) if (index as i64) < count => Ok(Device::Cuda(index)),
        _ => Err(RunError::Unsupported {
            what: format!(
                "device {name:?} is not there: this trainer sees cpu and {count} CUDA devices (a libtorch without CUDA sees none)"
            ),
        }),
    }
}

fn of_panic(panic: &(dyn Any + Send)) -> RunError {
    let said = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    RunError::Internal {
        what: format!("the trainer panicked ({said}); trainer.log has the details"),
    }
}
