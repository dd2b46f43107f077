//! In which precision matrix products are computed; everything that is kept (weights, moments, losses) is f32 or wider.

use std::time::Instant;
use tch::{Device, Kind, TchError, Tensor};
use trainmaster_domain::hyperparameters::Precision;

/// How much faster than f32 a bf16 product must be on a GPU to be worth its rounding.
const WORTH_IT: f64 = 1.2;

/// The element type of matrix products on a device. `auto` is bf16 where a CPU has instructions for it, or where a GPU is measured to
/// gain; it is recorded in checkpoints, so that a training goes on as it began.
///
/// # Errors
/// What libtorch says when the GPU cannot be used.
pub fn product_kind(precision: Precision, device: Device) -> Result<Kind, TchError> {
    let bf16 = match (precision, device) {
        (Precision::F32, _) => false,
        (Precision::Bf16, _) => true,
        (Precision::Auto, Device::Cpu) => cpu_has_bf16(),
        (Precision::Auto, _) => bf16_gain(device)? >= WORTH_IT,
    };
    Ok(if bf16 { Kind::BFloat16 } else { Kind::Float })
}

/// Whether the CPU multiplies bf16 in hardware: AVX-512 BF16 (every CPU with AMX has it too) or Arm's BF16 extension.
#[must_use]
pub fn cpu_has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = std::arch::is_x86_feature_detected!("avx512bf16");
    #[cfg(target_arch = "aarch64")]
    let has = std::arch::is_aarch64_feature_detected!("bf16");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has = false;
    has
}

/// How many times faster than in f32 a device multiplies in bf16, measured on a 1024-wide product.
///
/// # Errors
/// What libtorch says when it cannot.
pub fn bf16_gain(device: Device) -> Result<f64, TchError> {
    let f32_seconds = product_seconds(Kind::Float, device)?;
    Ok(f32_seconds / product_seconds(Kind::BFloat16, device)?)
}

fn product_seconds(kind: Kind, device: Device) -> Result<f64, TchError> {
    let a = Tensor::f_ones([1024, 1024], (kind, device))?;
    let out = Tensor::f_empty([1024, 1024], (kind, device))?;
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..4 {
            let _ = a.f_mm_out(&out, &a)?;
        }
        // Reading a value waits for the device.
        out.f_double_value(&[0, 0])?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best.max(1e-9))
}
