//! The clusters of `[slurm.clusters.<name>]`.

use super::kind::{Kind, quoted};
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf};
use trainmaster_domain::slurm::{Placement, SlurmResources};

/// How a cluster is reached, and what its jobs ask for where a request leaves it open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterSettings {
    /// Its `slurm.conf`; unset: `$SLURM_CONF`, else where SLURM looks by itself.
    pub conf: Option<PathBuf>,
    /// Its name in the accounting database that several clusters share (`--clusters`).
    pub cluster: Option<String>,
    /// The directory of `sbatch`, `squeue` and so on; unset: `$PATH`.
    pub programs: Option<PathBuf>,
    /// The trainer on its nodes; unset: the same path as on this machine.
    pub trainer: Option<PathBuf>,
    /// Where the controller writes down jobs that ended (jobcomp/filetxt), as this machine reaches it; unset: where SLURM says it does.
    pub completion_file: Option<PathBuf>,
    /// `--partition`.
    pub partition: Option<String>,
    /// `--account`.
    pub account: Option<String>,
    /// `--qos`.
    pub qos: Option<String>,
    /// `--cpus-per-task`.
    pub cpus: Option<u32>,
    /// `--mem`, in MiB.
    pub memory_mib: Option<u64>,
    /// `--gpus`.
    pub gpus: Option<u32>,
    /// `--time`, in minutes.
    pub time_limit_minutes: Option<u32>,
    /// Tasks of an array at once, at most.
    pub array_limit: Option<u32>,
}

impl ClusterSettings {
    /// What its jobs ask for where a request leaves it open.
    #[must_use]
    pub fn resources(&self) -> SlurmResources {
        SlurmResources {
            cpus: self.cpus,
            memory_mib: self.memory_mib,
            gpus: self.gpus,
            partition: self.partition.clone(),
            account: self.account.clone(),
            qos: self.qos.clone(),
            time_limit_minutes: self.time_limit_minutes,
            array_limit: self.array_limit,
        }
    }

    /// Whether a cluster may be called so, and whether what it says makes sense.
    ///
    /// # Errors
    /// A phrase: what is wrong, and what is expected.
    pub(super) fn check(&self, name: &str) -> Result<(), String> {
        let placement = Placement {
            cluster: name.to_owned(),
            resources: self.resources(),
        };
        placement.validate().map_err(|error| error.to_string())?;
        if self.cluster.as_ref().is_some_and(|flag| !is_name(flag)) {
            return Err("expected cluster to be a name that sacctmgr lists".to_owned());
        }
        let paths = [
            ("conf", &self.conf),
            ("programs", &self.programs),
            ("trainer", &self.trainer),
            ("completion_file", &self.completion_file),
        ];
        let relative = paths
            .into_iter()
            .find(|(_, path)| path.as_ref().is_some_and(|path| !path.is_absolute()));
        match relative {
            Some((key, _)) => Err(format!("expected {key} to be an absolute path")),
            None => Ok(()),
        }
    }

    fn shown(&self) -> String {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|p| quoted(&p.to_string_lossy()));
        let text = |text: &Option<String>| text.as_deref().map(quoted);
        let values = [
            ("conf", path(&self.conf)),
            ("cluster", text(&self.cluster)),
            ("programs", path(&self.programs)),
            ("trainer", path(&self.trainer)),
            ("completion_file", path(&self.completion_file)),
            ("partition", text(&self.partition)),
            ("account", text(&self.account)),
            ("qos", text(&self.qos)),
            ("cpus", self.cpus.map(|n| n.to_string())),
            ("memory_mib", self.memory_mib.map(|n| n.to_string())),
            ("gpus", self.gpus.map(|n| n.to_string())),
            (
                "time_limit_minutes",
                self.time_limit_minutes.map(|n| n.to_string()),
            ),
            ("array_limit", self.array_limit.map(|n| n.to_string())),
        ];
        let set: Vec<String> = values
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name} = {}", value?)))
            .collect();
        match set.is_empty() {
            true => "{}".to_owned(),
            false => format!("{{ {} }}", set.join(", ")),
        }
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !text.is_empty() && !text.starts_with('-') && text.chars().all(allowed)
}

/// Clusters by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ClusterTable(BTreeMap<String, ClusterSettings>);

impl ClusterTable {
    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ClusterSettings)> {
        self.0
            .iter()
            .map(|(name, cluster)| (name.as_str(), cluster))
    }
}

impl FromIterator<(String, ClusterSettings)> for ClusterTable {
    fn from_iter<I: IntoIterator<Item = (String, ClusterSettings)>>(clusters: I) -> Self {
        Self(clusters.into_iter().collect())
    }
}

impl Kind for ClusterTable {
    const EXPECTED: &'static str = "a table [slurm.clusters.<name>] for each cluster";

    fn shown(&self) -> Option<String> {
        let clusters: Vec<String> = self
            .iter()
            .map(|(name, cluster)| format!("{} = {}", quoted(name), cluster.shown()))
            .collect();
        (!clusters.is_empty()).then(|| format!("{{ {} }}", clusters.join(", ")))
    }
}
