//! On which cluster, with which resources.

use clap::Args;
use serde_json::{Map, Value, json};

/// Where a run is to be executed.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "On a cluster")]
pub struct PlacementArguments {
    /// Have SLURM run it: the cluster's name in the settings, or `slurm`, where there is only one
    #[arg(long, value_name = "CLUSTER")]
    pub on: Option<String>,
    /// Processor cores
    #[arg(long, value_name = "CORES", requires = "on")]
    pub cpus: Option<u32>,
    /// Memory of its node, such as 4G or 500M
    #[arg(long, value_name = "SIZE", requires = "on", value_parser = mebibytes)]
    pub memory: Option<u64>,
    /// GPUs
    #[arg(long, value_name = "COUNT", requires = "on")]
    pub gpus: Option<u32>,
    /// Partitions, separated by commas
    #[arg(long, value_name = "NAMES", requires = "on")]
    pub partition: Option<String>,
    /// The account that is charged
    #[arg(long, value_name = "NAME", requires = "on")]
    pub account: Option<String>,
    /// The quality of service
    #[arg(long, value_name = "NAME", requires = "on")]
    pub qos: Option<String>,
    /// The time limit, as sbatch has it: minutes, HH:MM:SS or DAYS-HH:MM; a training is queued again before it is over, and goes on
    #[arg(long, value_name = "TIME", requires = "on", value_parser = minutes)]
    pub time: Option<u32>,
    /// Folds of a cross-validation that run at the same time, at most
    #[arg(long, value_name = "COUNT", requires = "on")]
    pub array_limit: Option<u32>,
}

impl PlacementArguments {
    /// As a request has it; null: on the daemon's machine.
    #[must_use]
    pub fn body(&self) -> Value {
        let Some(cluster) = &self.on else {
            return Value::Null;
        };
        let asked = json!({
            "cpus": self.cpus,
            "memoryMib": self.memory,
            "gpus": self.gpus,
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "timeLimitMinutes": self.time,
            "arrayLimit": self.array_limit,
        });
        let resources: Map<String, Value> = asked
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        json!({ "cluster": cluster, "resources": resources })
    }
}

/// Memory in MiB: a number alone is MiB, as sbatch has it.
fn mebibytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size, such as 4G, 500M or 500 (MiB)");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = text[digits.len()..].to_ascii_uppercase();
    match unit.trim_end_matches("IB").trim_end_matches('B') {
        "K" => Some(number.div_ceil(1_024)),
        "" | "M" => Some(number),
        "G" => number.checked_mul(1 << 10),
        "T" => number.checked_mul(1 << 20),
        _ => None,
    }
    .filter(|_| unit != "B")
    .ok_or_else(wrong)
}

/// Minutes of a time limit: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S. Seconds are rounded up.
fn minutes(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is no time, such as 90 (minutes), 12:00:00 or 2-12:00");
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(days.parse::<u64>().map_err(|_| wrong())?), rest),
        None => (None, text),
    };
    let parts: Vec<u64> = rest
        .split(':')
        .map(|part| {
            let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse().ok().filter(|_| is_number && part.len() < 10)
        })
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    let seconds = match (days, parts.as_slice()) {
        (None, [m]) => m * 60,
        (None, [m, s]) => m * 60 + s,
        (None, [h, m, s]) | (Some(_), [h, m, s]) => (h * 60 + m) * 60 + s,
        (Some(_), [h]) => h * 3_600,
        (Some(_), [h, m]) => (h * 60 + m) * 60,
        _ => return Err(wrong()),
    };
    days.unwrap_or(0)
        .checked_mul(86_400)
        .and_then(|days| days.checked_add(seconds))
        .map(|seconds| seconds.div_ceil(60))
        .and_then(|minutes| u32::try_from(minutes).ok())
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_as_sbatch_has_them() {
        for (text, mib) in [
            ("500", 500),
            ("500M", 500),
            ("4G", 4_096),
            ("4GiB", 4_096),
            ("1t", 1 << 20),
            ("1025K", 2),
        ] {
            assert_eq!(mebibytes(text), Ok(mib), "{text}");
        }
        for text in ["", "G", "-4G", "4.5G", "4X", "99999999999999999999", "4B"] {
            assert!(mebibytes(text).is_err(), "{text}");
        }
        for (text, expected) in [
            ("90", 90),
            ("1:30", 2),
            ("12:00:00", 720),
            ("2-12", 3_600),
            ("2-12:30", 3_630),
            ("1-00:00:01", 1_441),
        ] {
            assert_eq!(minutes(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "soon",
            "-5",
            "1:2:3:4",
            "1-1:2:3:4",
            "1--2",
            "+5",
            "99999999999",
            "9999999-0",
        ] {
            assert!(minutes(text).is_err(), "{text}");
        }
    }
}
