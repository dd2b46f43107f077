//! From settings to the options of the parts.

use crate::{
    config::Settings,
    dispatch::{Device, DispatchOptions, SupervisionOptions},
    runner::LaunchOptions,
    state_directory::StateDirectory,
};
use std::path::{Path, PathBuf};
use trainmaster_domain::attempt::RetryPolicy;

/// The options of dispatch.
pub(super) fn dispatch(settings: &Settings, state: &StateDirectory) -> DispatchOptions {
    let (runner, dispatch) = (&settings.runner, &settings.dispatch);
    let defaults = DispatchOptions::new(state.path());
    let milliseconds = |seconds: crate::config::Seconds| {
        u64::try_from(seconds.duration().as_millis()).unwrap_or(u64::MAX)
    };
    DispatchOptions {
        host: runner.host.clone().unwrap_or(defaults.host),
        devices: vec![Device {
            name: device(&runner.device),
            slots: runner.concurrency as usize,
        }],
        launch: LaunchOptions {
            program: trainer(settings),
            nice: runner.nice,
            cpu_threads: runner
                .cpu_threads
                .map_or(defaults.launch.cpu_threads, |threads| threads as usize),
            memory_limit_bytes: runner.memory_limit_bytes,
            ..defaults.launch
        },
        supervision: SupervisionOptions {
            heartbeat_interval: runner.heartbeat_interval_seconds.duration(),
            heartbeat_limit: runner.heartbeat_timeout_seconds.duration(),
            progress_deadline: runner.progress_timeout_seconds.duration(),
            pause_deadline: runner.pause_deadline_seconds.duration(),
            ..defaults.supervision
        },
        retry: RetryPolicy {
            max_crashes: runner.max_crashes,
            backoff_initial_ms: milliseconds(runner.retry_delay_seconds),
            backoff_max_ms: milliseconds(runner.retry_delay_max_seconds),
        },
        queue: crate::queue::QueueOptions {
            poll_interval: dispatch.poll_interval_seconds.duration(),
            ..defaults.queue
        },
        relay_interval: dispatch.poll_interval_seconds.duration(),
        reconcile_interval: dispatch.reconcile_interval_seconds.duration(),
        ..defaults
    }
}

/// The trainer program: that of the settings, else the one beside this program, else whatever $PATH has.
pub(crate) fn trainer(settings: &Settings) -> PathBuf {
    const NAME: &str = "trainmaster-trainer";
    let beside = || {
        let own = std::env::current_exe().ok()?;
        Some(own.parent()?.join(NAME)).filter(|path| path.is_file())
    };
    let in_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|directory| directory.join(NAME))
            .find(|path| path.is_file())
    };
    settings
        .runner
        .program
        .clone()
        .or_else(beside)
        .or_else(in_path)
        .unwrap_or_else(|| PathBuf::from(NAME))
}

/// The device to run on. A machine with a GPU's driver is taken at its word; `trainmaster doctor` says whether the trainer can use it.
fn device(setting: &str) -> String {
    let has_gpu = || {
        ["/dev/nvidiactl", "/dev/nvhost-ctrl-gpu"]
            .iter()
            .any(|path| Path::new(path).exists())
    };
    match setting {
        "auto" if has_gpu() => "cuda:0".to_owned(),
        "auto" => "cpu".to_owned(),
        named => named.to_owned(),
    }
}
