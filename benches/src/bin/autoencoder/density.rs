//! From which density on it pays to touch active latents only.

use crate::case::CASES;
use crate::data::{BATCH, Data, LATENTS};
use crate::median;
use std::time::Instant;
use tch::Kind;
use trainmaster_domain::hyperparameters::{ActivationFunction, Hyperparameters};
use trainmaster_trainer::autoencoder::gradient::{Arithmetic, Asked, Gradient};

const DENSITIES: [f64; 7] = [0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16];
const TURNS: usize = 7;

/// Prints how many times as fast the gradient of a batch is when only active latents are touched, by taking turns.
pub fn measure(data: &Data) -> anyhow::Result<()> {
    println!("gradient of a batch, active latents only: speed, of dense products'");
    for kind in [Kind::BFloat16, Kind::Float] {
        for function in [
            ActivationFunction::Relu,
            ActivationFunction::JumpRelu,
            ActivationFunction::Gated,
        ] {
            let Some(case) = CASES.iter().find(|case| case.function == function) else {
                continue;
            };
            let hyperparameters = Hyperparameters {
                jump_threshold: Some(1e-6),
                ..case.hyperparameters(1)
            };
            print!("  {:9} {kind:?}:", case.architecture());
            for density in DENSITIES {
                let (found, speed) = compare(data, &hyperparameters, kind, density)?;
                print!("  {speed:.2} at {:.2} %", 100.0 * found);
            }
            println!();
        }
    }
    Ok(())
}

/// The density that a bias leads to, and the ratio.
fn compare(
    data: &Data,
    hyperparameters: &Hyperparameters,
    kind: Kind,
    density: f64,
) -> anyhow::Result<(f64, f64)> {
    let batch = data.batch(0)?;
    let mut parameters = data.initial(hyperparameters)?;
    let pre = (&batch - &parameters.decoder_bias).f_mm(&parameters.encoder.f_tr()?)?;
    let sample = pre.f_view([-1])?.f_narrow(0, 0, 100 * LATENTS)?;
    let bias = -sample
        .f_quantile_scalar(1.0 - density, 0, false, "linear")?
        .f_double_value(&[])?;
    let _ = parameters.encoder_bias.f_fill_(bias)?;
    let mut gradient = Gradient::new(&parameters, BATCH, kind)?;
    let mut seconds = [Vec::new(), Vec::new()];
    let mut found = 0.0;
    for turn in 0..=TURNS {
        for (at, arithmetic) in [Arithmetic::Dense, Arithmetic::Sparse]
            .into_iter()
            .enumerate()
        {
            let asked = Asked {
                sparsity_coefficient: hyperparameters.l1_coefficient,
                bandwidth: 1e-6,
                count: false,
                arithmetic,
                ..Asked::default()
            };
            let start = Instant::now();
            let outcome = gradient.compute(&parameters, &batch, &batch, asked)?;
            if turn > 0 {
                seconds[at].push(start.elapsed().as_secs_f64());
            }
            if let Some(firings) = outcome.firings {
                let active = firings.f_sum(Kind::Int64)?.f_int64_value(&[])?;
                found = active as f64 / (BATCH * LATENTS) as f64;
            }
        }
    }
    let [dense, sparse] = seconds.map(median);
    Ok((found, dense / sparse))
}
