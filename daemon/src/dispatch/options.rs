//! Options of dispatch, with their defaults.

use super::Device;
use crate::{queue::QueueOptions, runner::LaunchOptions};
use std::{path::PathBuf, time::Duration};
use trainmaster_domain::attempt::RetryPolicy;

/// Options of [`super::Dispatch`].
#[derive(Clone, Debug, PartialEq)]
pub struct DispatchOptions {
    /// The name under which this machine's runs are known. Default: the machine's host name.
    pub host: String,
    /// Where run directories (`runs/<id>`) and tokenised datasets (`datasets/<id>/tokenized`) are.
    pub state_directory: PathBuf,
    /// What there is to run on. Default: the processor, one run at a time.
    pub devices: Vec<Device>,
    /// How runs are started.
    pub launch: LaunchOptions,
    /// How runs are looked after.
    pub supervision: SupervisionOptions,
    /// How many bytes of activations trainings may keep for one another. Default 4 GiB; 0: none.
    pub activation_cache_bytes: u64,
    /// The directory that results of segmentation trainings go to; none: their run directories.
    pub models_base_path: Option<PathBuf>,
    /// What extractions compare examples with; none: the studied model's own representations.
    pub sentence_encoder: Option<PathBuf>,
    /// How often lost runs are started again.
    pub retry: RetryPolicy,
    /// The queue.
    pub queue: QueueOptions,
    /// How often it is asked whether there is anything new while something goes on. Default 5 s.
    pub poll_interval: Duration,
    /// How often it is asked while nothing does. Default 30 s.
    pub heartbeat_interval: Duration,
    /// How often the log is asked what waits that nobody thought of, while something goes on. Default 30 s.
    pub reconcile_interval: Duration,
}

impl DispatchOptions {
    /// The defaults, in this state directory.
    pub fn new(state_directory: impl Into<PathBuf>) -> Self {
        Self {
            host: host_name(),
            state_directory: state_directory.into(),
            devices: vec![Device::cpu()],
            launch: LaunchOptions::default(),
            supervision: SupervisionOptions::default(),
            activation_cache_bytes: 4 << 30,
            models_base_path: None,
            sentence_encoder: None,
            retry: RetryPolicy::default(),
            queue: QueueOptions::default(),
            poll_interval: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(30),
            reconcile_interval: Duration::from_secs(30),
        }
    }
}

/// How runs are looked after. All limits are on the database's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupervisionOptions {
    /// How often a run says that it lives. Default 1 s.
    pub heartbeat_interval: Duration,
    /// Without a heartbeat for so long, a run is dead. Default 30 s.
    pub heartbeat_limit: Duration,
    /// With heartbeats but no progress for so long, a run is hung. Default 10 min.
    pub progress_deadline: Duration,
    /// A run that was asked to pause or stop and has not after so long is ended; it rests at its latest checkpoint, or another
    /// attempt from there makes the result. Default 2 min.
    pub pause_deadline: Duration,
    /// How often what was seen of a run is written down. Default 2 s.
    pub observe_interval: Duration,
    /// For how long each time the daemon makes sure that no other looks after its runs. Default 15 s.
    pub supervised_for: Duration,
}

impl Default for SupervisionOptions {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(1),
            heartbeat_limit: Duration::from_secs(30),
            progress_deadline: Duration::from_secs(600),
            pause_deadline: Duration::from_secs(120),
            observe_interval: Duration::from_secs(2),
            supervised_for: Duration::from_secs(15),
        }
    }
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}
