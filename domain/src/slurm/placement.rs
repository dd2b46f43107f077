//! Where a run is to be executed besides this machine, and with how much.

use serde::{Deserialize, Serialize};

/// A cluster and what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The cluster, by the name that the settings give it.
    pub cluster: String,
    /// What the job asks for; what it leaves open is the cluster's or the template's to say.
    #[serde(default)]
    pub resources: SlurmResources,
}

/// What a job asks SLURM for: the options of `sbatch` of the same meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlurmResources {
    /// Processor cores (`--cpus-per-task`), which are the run's threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Memory of the job's node in MiB (`--mem`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// GPUs (`--gpus`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
    /// Partitions, separated by commas (`--partition`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// The account that is charged (`--account`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The quality of service (`--qos`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos: Option<String>,
    /// The time limit in minutes (`--time`). A run that can be gone on with asks to be queued again before it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit_minutes: Option<u32>,
    /// Tasks of an array that run at the same time, at most (`--array=…%n`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub array_limit: Option<u32>,
}

/// Something that SLURM cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be {must}; it is {given}")]
pub struct InvalidPlacement {
    /// Its name in JSON.
    pub name: &'static str,
    /// What it must be.
    pub must: &'static str,
    /// What was given.
    pub given: String,
}

impl Placement {
    /// Checks every range, and that no name could be taken for an option.
    ///
    /// # Errors
    /// The first value that is out of it.
    pub fn validate(&self) -> Result<(), InvalidPlacement> {
        let resources = &self.resources;
        name("cluster", Some(&self.cluster))?;
        name("partition", resources.partition.as_deref())?;
        name("account", resources.account.as_deref())?;
        name("qos", resources.qos.as_deref())?;
        range(
            "cpus",
            resources.cpus.map(u64::from),
            1,
            4_096,
            "1 to 4,096",
        )?;
        range(
            "memoryMib",
            resources.memory_mib,
            1,
            64 << 20,
            "1 to 67,108,864 MiB",
        )?;
        range("gpus", resources.gpus.map(u64::from), 0, 64, "0 to 64")?;
        range(
            "timeLimitMinutes",
            resources.time_limit_minutes.map(u64::from),
            1,
            525_600,
            "1 to 525,600 minutes",
        )?;
        range(
            "arrayLimit",
            resources.array_limit.map(u64::from),
            1,
            10_000,
            "1 to 10,000",
        )
    }
}

fn name(name: &'static str, given: Option<&str>) -> Result<(), InvalidPlacement> {
    let Some(given) = given else { return Ok(()) };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ',');
    if !given.is_empty()
        && given.len() <= 255
        && !given.starts_with('-')
        && given.chars().all(allowed)
    {
        Ok(())
    } else {
        Err(InvalidPlacement {
            name,
            must: "letters, digits, '_', '-', '.' and ',', beginning with no '-'",
            given: format!("{:?}", given.chars().take(300).collect::<String>()),
        })
    }
}

fn range(
    name: &'static str,
    given: Option<u64>,
    least: u64,
    most: u64,
    must: &'static str,
) -> Result<(), InvalidPlacement> {
    match given {
        Some(given) if !(least..=most).contains(&given) => Err(InvalidPlacement {
            name,
            must,
            given: given.to_string(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(resources: SlurmResources) -> Placement {
        Placement {
            cluster: "campus".to_owned(),
            resources,
        }
    }

    #[test]
    fn what_could_be_taken_for_an_option_or_is_out_of_range_is_refused() {
        assert_eq!(placement(SlurmResources::default()).validate(), Ok(()));
        let wrong = [
            SlurmResources {
                partition: Some("--wrap=rm".to_owned()),
                ..SlurmResources::default()
            },
            SlurmResources {
                account: Some("a b".to_owned()),
                ..SlurmResources::default()
            },
            SlurmResources {
                qos: Some(String::new()),
                ..SlurmResources::default()
            },
            SlurmResources {
                cpus: Some(0),
                ..SlurmResources::default()
            },
            SlurmResources {
                time_limit_minutes: Some(0),
                ..SlurmResources::default()
            },
        ];
        for resources in wrong {
            assert!(placement(resources).validate().is_err());
        }
    }
}
