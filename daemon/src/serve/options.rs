//! From settings to the options of the parts.

use crate::{
    config::Settings,
    dispatch::{Device, DispatchOptions, SupervisionOptions},
    runner::LaunchOptions,
    slurm::{Clusters, PollOptions, Poller, SlurmOptions, Templates},
    state_directory::StateDirectory,
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use trainmaster_domain::attempt::RetryPolicy;

/// The options of dispatch.
pub(super) async fn dispatch(settings: &Settings, state: &StateDirectory) -> DispatchOptions {
    let (runner, dispatch) = (&settings.runner, &settings.dispatch);
    let defaults = DispatchOptions::new(state.path());
    let milliseconds = |seconds: crate::config::Seconds| {
        u64::try_from(seconds.duration().as_millis()).unwrap_or(u64::MAX)
    };
    DispatchOptions {
        host: runner.host.clone().unwrap_or(defaults.host),
        devices: vec![Device {
            name: device(settings).await,
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
        activation_cache_bytes: settings.training.activation_cache_bytes,
        models_base_path: settings.slurm.models_base_path.clone(),
        sentence_encoder: settings.extraction.sentence_encoder.clone(),
        retry: RetryPolicy {
            max_crashes: runner.max_crashes,
            backoff_initial_ms: milliseconds(runner.retry_delay_seconds),
            backoff_max_ms: milliseconds(runner.retry_delay_max_seconds),
        },
        poll_interval: dispatch.poll_interval_seconds.duration(),
        heartbeat_interval: dispatch.heartbeat_interval_seconds.duration(),
        reconcile_interval: dispatch.reconcile_interval_seconds.duration(),
        ..defaults
    }
}

/// The clusters of the settings, and how they are used; none: there are none.
pub(super) fn slurm(settings: &Settings) -> Option<(SlurmOptions, Vec<Poller>)> {
    let slurm = &settings.slurm;
    let options = PollOptions {
        interval: slurm.poll_interval_seconds.duration(),
        ..PollOptions::default()
    };
    let pollers: Vec<Poller> = Clusters::of(settings, &trainer(settings))
        .all()
        .map(|cluster| Poller::new(Arc::clone(cluster), options))
        .collect();
    let used = SlurmOptions {
        templates: Templates::of(slurm),
        signal_before_end: Duration::from_secs(slurm.signal_before_end_seconds.into()),
        handover_timeout: slurm.handover_timeout_seconds.duration(),
        look_interval: slurm.look_interval_seconds.duration(),
        heartbeat_limit: slurm.heartbeat_timeout_seconds.duration(),
        models_base_path: slurm.models_base_path.clone(),
    };
    (!pollers.is_empty()).then_some((used, pollers))
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

/// The device to run on. For `auto`, a machine with a GPU's driver asks the trainer whether it can use it: its libtorch may be for CPUs.
async fn device(settings: &Settings) -> String {
    if settings.runner.device != "auto" {
        return settings.runner.device.clone();
    }
    let has_gpu = ["/dev/nvidiactl", "/dev/nvhost-ctrl-gpu"]
        .iter()
        .any(|path| Path::new(path).exists());
    if has_gpu {
        match usable_gpu(&trainer(settings)).await {
            Some(gpu) => return gpu,
            None => tracing::warn!(
                "there is a GPU, but the trainer cannot use it (`trainmaster doctor` says more): runs use the CPU"
            ),
        }
    }
    "cpu".to_owned()
}

/// The first GPU that the trainer can use.
async fn usable_gpu(trainer: &Path) -> Option<String> {
    const LIMIT: Duration = Duration::from_secs(60);
    let asked = tokio::process::Command::new(trainer)
        .args(["doctor", "--json"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, asked).await.ok()?.ok()?;
    let findings: Value = serde_json::from_slice(&output.stdout).ok()?;
    let devices = findings.get("devices")?.as_array()?;
    let usable = devices
        .iter()
        .filter(|device| device.get("error").is_none_or(Value::is_null));
    let mut names = usable.filter_map(|device| device.get("name")?.as_str());
    names
        .find(|name| name.starts_with("cuda"))
        .map(str::to_owned)
}
