//! A cluster, and how it is reached.

use super::SlurmError;
use crate::config::{ClusterSettings, Settings};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::OnceCell;
use trainmaster_domain::slurm::SlurmResources;

/// The cluster that is there without being configured.
const UNCONFIGURED: &str = "default";

/// The environment that SLURM's programs, and through `sbatch` the jobs, get of the daemon's. Whatever else it has, passwords among it, they do not.
const PASSED_ON: [&str; 10] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "TZ",
    "LD_LIBRARY_PATH",
    "SLURM_CONF",
    "SLURM_JWT",
];

/// A cluster: how it is reached, and what is asked of it where a placement leaves it open.
#[derive(Debug)]
pub struct Cluster {
    /// The name that the settings give it.
    pub name: String,
    /// The trainer on its nodes.
    pub trainer: PathBuf,
    /// What is asked for where a placement leaves it open.
    pub defaults: SlurmResources,
    /// Jobs of this daemon in its queue at once, at most.
    pub most_jobs: u32,
    /// Where it writes down jobs that ended, if not where it says so itself.
    pub(super) completion_file: Option<PathBuf>,
    /// The directory of the programs; none: wherever `$PATH` has them.
    pub(super) programs: Option<PathBuf>,
    /// `--clusters`: its name in the accounting database that several clusters share.
    pub(super) flag: Option<String>,
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// How long a program may take.
    pub(super) limit: Duration,
    /// How it remembers jobs that ended; found out when it is needed first.
    pub(super) memory: OnceCell<super::completion::Memory>,
}

impl Cluster {
    /// The cluster of these settings, for a daemon with this environment.
    #[must_use]
    pub fn new(
        name: &str,
        settings: &ClusterSettings,
        slurm: &crate::config::SlurmSettings,
        trainer: &Path,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Self {
        let conf = settings.conf.as_ref().map(|conf| conf.clone().into());
        let passed = PASSED_ON.into_iter().filter_map(|variable| {
            let value = match (variable, &conf) {
                ("SLURM_CONF", Some(conf)) => Some(OsString::clone(conf)),
                _ => environment(variable),
            };
            Some((variable, value.filter(|value| !value.is_empty())?))
        });
        Self {
            name: name.to_owned(),
            trainer: settings
                .trainer
                .clone()
                .unwrap_or_else(|| trainer.to_owned()),
            defaults: settings.resources(),
            most_jobs: slurm.most_jobs,
            completion_file: settings.completion_file.clone(),
            programs: settings.programs.clone(),
            flag: settings.cluster.clone(),
            environment: passed.collect(),
            limit: slurm.call_timeout_seconds.duration(),
            memory: OnceCell::new(),
        }
    }

    /// What a job asks for: what the placement says, else what the settings say.
    #[must_use]
    pub fn resources(&self, asked: &SlurmResources) -> SlurmResources {
        let defaults = self.defaults.clone();
        let asked = asked.clone();
        SlurmResources {
            cpus: asked.cpus.or(defaults.cpus),
            memory_mib: asked.memory_mib.or(defaults.memory_mib),
            gpus: asked.gpus.or(defaults.gpus),
            partition: asked.partition.or(defaults.partition),
            account: asked.account.or(defaults.account),
            qos: asked.qos.or(defaults.qos),
            time_limit_minutes: asked.time_limit_minutes.or(defaults.time_limit_minutes),
            array_limit: asked.array_limit.or(defaults.array_limit),
        }
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        match &self.programs {
            Some(directory) => directory.join(name),
            None => name.into(),
        }
    }
}

/// The clusters, by the names that the settings give them.
#[derive(Clone, Debug, Default)]
pub struct Clusters {
    by_name: BTreeMap<String, Arc<Cluster>>,
}

impl FromIterator<Cluster> for Clusters {
    fn from_iter<I: IntoIterator<Item = Cluster>>(clusters: I) -> Self {
        let by_name = clusters
            .into_iter()
            .map(|cluster| (cluster.name.clone(), Arc::new(cluster)));
        Self {
            by_name: by_name.collect(),
        }
    }
}

impl Clusters {
    /// Those of the settings. Where none is configured, but `$SLURM_CONF` is set or `sbatch` is in `$PATH`, there is one called
    /// `default`. `trainer` is this machine's.
    #[must_use]
    pub fn of(settings: &Settings, trainer: &Path) -> Self {
        Self::in_environment(settings, trainer, |name| std::env::var_os(name))
    }

    fn in_environment(
        settings: &Settings,
        trainer: &Path,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Self {
        let slurm = &settings.slurm;
        let mut configured: Vec<(String, ClusterSettings)> = slurm
            .clusters
            .iter()
            .map(|(name, cluster)| (name.to_owned(), cluster.clone()))
            .collect();
        let is_there = || {
            let in_path = environment("PATH").is_some_and(|path| {
                std::env::split_paths(&path).any(|directory| directory.join("sbatch").is_file())
            });
            in_path || environment("SLURM_CONF").is_some_and(|conf| !conf.is_empty())
        };
        if configured.is_empty() && is_there() {
            configured.push((UNCONFIGURED.to_owned(), ClusterSettings::default()));
        }
        let by_name = configured.into_iter().map(|(name, cluster)| {
            let cluster = Cluster::new(&name, &cluster, slurm, trainer, &environment);
            (name, Arc::new(cluster))
        });
        Self {
            by_name: by_name.collect(),
        }
    }

    /// The cluster of this name.
    ///
    /// # Errors
    /// [`SlurmError::NoCluster`], which names those that there are.
    pub fn get(&self, name: &str) -> Result<&Arc<Cluster>, SlurmError> {
        self.by_name.get(name).ok_or_else(|| SlurmError::NoCluster {
            name: name.to_owned(),
            known: self.by_name.keys().cloned().collect(),
        })
    }

    /// Their names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.by_name.keys().cloned().collect()
    }

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.by_name.values()
    }

    /// The only one there is; none when there are several, or none.
    #[must_use]
    pub fn only(&self) -> Option<&Arc<Cluster>> {
        let mut all = self.by_name.values();
        all.next().filter(|_| all.next().is_none())
    }
}
