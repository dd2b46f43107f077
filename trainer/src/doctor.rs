//! What the trainer can use here: libtorch, devices, and whether bf16 gains.

use crate::autoencoder::precision::{bf16_gain, cpu_has_bf16, product_kind};
use serde::Serialize;
use tch::{Cuda, Device, Kind, TchError};
use trainmaster_domain::hyperparameters::Precision;

/// The findings.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// The trainer's version.
    pub trainer_version: &'static str,
    /// The version of the run contract that it follows.
    pub contract_version: u32,
    /// libtorch's version.
    pub libtorch_version: &'static str,
    /// The devices that a spec can name.
    pub devices: Vec<DeviceFindings>,
}

/// What was found out about a device.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceFindings {
    /// `cpu`, or `cuda:<n>`.
    pub name: String,
    /// Whether it multiplies bf16 in hardware (none: not known without measuring).
    pub has_bf16: Option<bool>,
    /// How many times faster than in f32 it multiplies in bf16, measured.
    pub bf16_gain: Option<f64>,
    /// What precision `auto` is: `bf16` or `f32`.
    pub auto_precision: &'static str,
    /// Why it cannot be used.
    pub error: Option<String>,
}

/// Looks and measures; takes under a second for each device.
#[must_use]
pub fn examine() -> Findings {
    let mut devices = vec![(Device::Cpu, "cpu".to_owned())];
    for index in 0..usize::try_from(Cuda::device_count()).unwrap_or(0) {
        devices.push((Device::Cuda(index), format!("cuda:{index}")));
    }
    Findings {
        trainer_version: env!("CARGO_PKG_VERSION"),
        contract_version: trainmaster_domain::run::CONTRACT_VERSION,
        libtorch_version: crate::LIBTORCH_VERSION,
        devices: devices
            .into_iter()
            .map(|(device, name)| examine_device(device, name))
            .collect(),
    }
}

fn examine_device(device: Device, name: String) -> DeviceFindings {
    let measure = || -> Result<(f64, Kind), TchError> {
        Ok((bf16_gain(device)?, product_kind(Precision::Auto, device)?))
    };
    let (gain, kind, error) = match measure() {
        Ok((gain, kind)) => (Some(gain), kind, None),
        Err(error) => (None, Kind::Float, Some(error.to_string())),
    };
    DeviceFindings {
        name,
        has_bf16: (device == Device::Cpu).then(cpu_has_bf16),
        bf16_gain: gain,
        auto_precision: if kind == Kind::BFloat16 {
            "bf16"
        } else {
            "f32"
        },
        error,
    }
}

impl std::fmt::Display for Findings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "trainmaster-trainer {}, run contract {}, libtorch {}",
            self.trainer_version, self.contract_version, self.libtorch_version
        )?;
        for device in &self.devices {
            write!(f, "{}: ", device.name)?;
            match (&device.error, device.bf16_gain) {
                (Some(error), _) => writeln!(f, "cannot be used: {error}")?,
                (None, Some(gain)) => writeln!(
                    f,
                    "bf16 products are {gain:.1} times as fast as f32; precision auto is {}",
                    device.auto_precision
                )?,
                (None, None) => writeln!(f, "precision auto is {}", device.auto_precision)?,
            }
        }
        Ok(())
    }
}
