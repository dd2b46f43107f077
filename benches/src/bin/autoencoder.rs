//! The autoencoder's training step on activations in memory, beside SAELens: tokens a second at equal loss after equal tokens; and what it
//! gains from touching active latents only.
//!
//! ```text
//! cargo run --release -p trainmaster-benches --features libtorch --bin autoencoder -- --python <python that has sae-lens>
//! ```

#[path = "autoencoder/case.rs"]
mod case;
#[path = "autoencoder/data.rs"]
mod data;
#[path = "autoencoder/density.rs"]
mod density;
#[path = "autoencoder/peer.rs"]
mod peer;

use anyhow::ensure;
use case::{CASES, Case};
use data::{BATCH, BATCHES, Data, LATENTS, WIDTH};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Instant;
use tch::{Device, Kind, Tensor};
use trainmaster_trainer::{autoencoder::training::Training, tensor_file::write_tensors};

const WARM_UP: usize = 3;

#[derive(clap::Parser)]
struct Arguments {
    /// A Python with sae-lens and torch.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Steps of 4,096 activations.
    #[arg(long, default_value_t = 48)]
    steps: usize,
    /// Threads of either side.
    #[arg(long, default_value_t = 2)]
    threads: i32,
    /// Only cases whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Only dense against sparse products, at several densities.
    #[arg(long)]
    density: bool,
}

/// What either side reports.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Measured {
    seconds_per_step: f64,
    /// Mean over the last epoch of batches.
    loss: f64,
}

fn main() -> anyhow::Result<()> {
    let arguments = <Arguments as clap::Parser>::parse();
    ensure!(
        arguments.steps >= WARM_UP + BATCHES as usize,
        "at least {} steps are needed",
        WARM_UP + BATCHES as usize
    );
    tch::set_num_threads(arguments.threads);
    tch::manual_seed(1);
    let _no_grad = tch::no_grad_guard();
    let data = Data::new();
    if arguments.density {
        return density::measure(&data);
    }
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("data.safetensors");
    write_tensors(
        &file,
        &[
            ("activations", &data.activations),
            (
                "decoder",
                &data.initial(&CASES[0].hyperparameters(1))?.decoder,
            ),
            ("decoder_bias", &data.mean),
        ],
    )?;

    let mut kept = true;
    for case in CASES.iter().filter(|c| c.name.contains(&arguments.only)) {
        let peak = product_flops(case.kind)?;
        let ours = ours(case, &data, arguments.steps)?;
        let theirs = peer::measure(case, &arguments, &file)?;
        kept &= report(case, ours, theirs, peak);
    }
    if arguments.only.is_empty() {
        density::measure(&data)?;
    }
    ensure!(kept, "a promise is not kept");
    Ok(())
}

/// Prints a case; says whether it keeps what it promises.
fn report(case: &Case, ours: Measured, theirs: Measured, peak: f64) -> bool {
    let speed = theirs.seconds_per_step / ours.seconds_per_step;
    let loss = ours.loss / theirs.loss;
    println!("{}", case.name);
    for (who, measured) in [("trainmaster", ours), ("SAELens", theirs)] {
        println!(
            "  {who:12} {:8.0} tokens/s   loss {:.4}",
            BATCH as f64 / measured.seconds_per_step,
            measured.loss
        );
    }
    println!("  ratio        {speed:8.2} in speed   {loss:.4} in loss after equal tokens");
    let flops = case.products() * 2.0 * (BATCH * WIDTH * LATENTS) as f64 / ours.seconds_per_step;
    println!(
        "  its {} dense products are {:.0} % of the {:.0} GFLOP/s that products reach alone",
        case.products(),
        100.0 * flops / peak,
        peak / 1e9
    );
    // A lower loss is no fault.
    let keeps = case.promised.is_none_or(|least| speed >= least) && loss <= 1.01;
    match case.promised {
        Some(least) => println!(
            "  promised: {least} in speed, 1.01 in loss: {}",
            if keeps { "kept" } else { "NOT KEPT" }
        ),
        None if !keeps => println!("  promised: 1.01 in loss: NOT KEPT"),
        None => {}
    }
    keeps
}

fn ours(case: &Case, data: &Data, steps: usize) -> anyhow::Result<Measured> {
    let hyperparameters = case.hyperparameters(steps);
    let initial = data.initial(&hyperparameters)?;
    let mut training = Training::new(&hyperparameters, initial, case.kind)?;
    let mut seconds = Vec::new();
    let mut losses = Vec::new();
    for step in 0..steps {
        let start = Instant::now();
        let batch = data.batch(step)?;
        losses.push(training.step(&batch, &batch, false)?.loss);
        seconds.push(start.elapsed().as_secs_f64());
    }
    let last = &losses[steps - BATCHES as usize..];
    Ok(Measured {
        seconds_per_step: median(seconds.split_off(WARM_UP)),
        loss: last.iter().sum::<f64>() / last.len() as f64,
    })
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// What a product of the step's shape reaches alone, in FLOP/s.
fn product_flops(kind: Kind) -> anyhow::Result<f64> {
    let make = |rows, columns| Tensor::f_ones([rows, columns], (kind, Device::Cpu));
    let (a, b, out) = (
        make(BATCH, WIDTH)?,
        make(WIDTH, LATENTS)?,
        make(BATCH, LATENTS)?,
    );
    let mut best = f64::INFINITY;
    for _ in 0..8 {
        let start = Instant::now();
        let _ = a.f_mm_out(&out, &b)?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(2.0 * (BATCH * WIDTH * LATENTS) as f64 / best)
}
