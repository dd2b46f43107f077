//! The autoencoder's training step on activations in memory, beside SAELens: tokens a second at equal loss after equal tokens.
//!
//! ```text
//! cargo run --release -p trainmaster-benches --features libtorch --bin autoencoder -- --python <python that has sae-lens>
//! ```

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;
use tch::{Device, Kind, Tensor};
use trainmaster_domain::hyperparameters::{Hyperparameters, LrSchedule, Optimizer};
use trainmaster_domain::training::EncoderType;
use trainmaster_trainer::autoencoder::{
    parameters::{Parameters, Shape},
    tensor_file::write_tensors,
    training::Training,
};

const WIDTH: i64 = 576;
const LATENTS: i64 = 8 * WIDTH;
const BATCH: i64 = 4_096;
const BATCHES: i64 = 8;
const WARM_UP: usize = 3;
const LEARNING_RATE: f64 = 0.001;
const L1: f64 = 2.0;
const TOP_K: u32 = 32;

/// Directions that the activations are made of, and how many of them each is a sum of.
const DIRECTIONS: i64 = 2_048;
const SUMMED: i64 = 24;

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
}

/// What either side reports.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Measured {
    seconds_per_step: f64,
    /// Mean over the last epoch of batches.
    loss: f64,
}

#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    kind: Kind,
    top_k: Option<u32>,
    /// How many times SAELens's speed it must reach, where that is promised.
    promised: Option<f64>,
}

const CASES: [Case; 4] = [
    Case {
        name: "standard, bf16",
        kind: Kind::BFloat16,
        top_k: None,
        promised: Some(1.5),
    },
    Case {
        name: "standard, f32",
        kind: Kind::Float,
        top_k: None,
        promised: Some(1.2),
    },
    Case {
        name: "topk 32, bf16",
        kind: Kind::BFloat16,
        top_k: Some(TOP_K),
        promised: None,
    },
    Case {
        name: "topk 32, f32",
        kind: Kind::Float,
        top_k: Some(TOP_K),
        promised: None,
    },
];

struct Data {
    activations: Tensor,
    mean: Tensor,
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
    let data = activations();
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("data.safetensors");
    write_tensors(
        &file,
        &[
            ("activations", &data.activations),
            (
                "decoder",
                &initial(&data, &Hyperparameters::default())?.decoder,
            ),
            ("decoder_bias", &data.mean),
        ],
    )?;

    let mut kept = true;
    for case in CASES {
        let peak = product_flops(case.kind)?;
        let ours = ours(case, &data, arguments.steps)?;
        let theirs = theirs(case, &arguments, &file)?;
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
        if case.top_k.is_none() {
            let flops = 5.0 * 2.0 * (BATCH * WIDTH * LATENTS) as f64 / ours.seconds_per_step;
            println!(
                "  {:.0} % of the {:.0} GFLOP/s that its matrix products reach alone",
                100.0 * flops / peak,
                peak / 1e9
            );
        }
        // A lower loss is no fault.
        let keeps = case.promised.is_none_or(|least| speed >= least) && loss <= 1.01;
        if let Some(least) = case.promised {
            println!(
                "  promised: {least} in speed, 1.01 in loss: {}",
                if keeps { "kept" } else { "NOT KEPT" }
            );
        }
        kept &= keeps;
    }
    ensure!(kept, "a promise is not kept");
    Ok(())
}

/// Sparse positive sums of random directions with some noise and a mean, scaled to E‖x‖ = √d.
fn activations() -> Data {
    let options = (Kind::Float, Device::Cpu);
    let directions = Tensor::randn([DIRECTIONS, WIDTH], options);
    let norms = directions.norm_scalaropt_dim(2.0, [1i64].as_slice(), true);
    let directions = directions / norms;
    let rows = BATCH * BATCHES;
    let members = Tensor::randint(DIRECTIONS, [rows * SUMMED], (Kind::Int64, Device::Cpu));
    let starts = Tensor::arange_start_step(0, rows * SUMMED, SUMMED, (Kind::Int64, Device::Cpu));
    let weights = Tensor::rand([rows * SUMMED], options) + 0.5;
    let (sums, ..) = Tensor::embedding_bag(
        &directions,
        &members,
        &starts,
        false,
        0,
        false,
        Some(weights),
        false,
    );
    let noise = Tensor::randn([rows, WIDTH], options) * 0.02;
    let offset = Tensor::randn([1, WIDTH], options) * 0.1;
    let raw = sums + noise + offset;
    let norm = raw
        .norm_scalaropt_dim(2.0, [1i64].as_slice(), false)
        .mean(Kind::Float);
    let activations = raw * ((WIDTH as f64).sqrt() / norm.double_value(&[]));
    let mean = activations.mean_dim([0i64].as_slice(), false, Kind::Float);
    Data { activations, mean }
}

fn initial(data: &Data, hyperparameters: &Hyperparameters) -> anyhow::Result<Parameters> {
    let shape = Shape::of(hyperparameters, EncoderType::Sparse, WIDTH, WIDTH);
    Ok(Parameters::initial(
        shape,
        hyperparameters,
        &data.mean,
        &data.mean,
    )?)
}

fn ours(case: Case, data: &Data, steps: usize) -> anyhow::Result<Measured> {
    let hyperparameters = Hyperparameters {
        learning_rate: LEARNING_RATE,
        batch_size: BATCH as u32,
        l1_coefficient: L1,
        training_steps: steps as u32,
        optimizer: Optimizer::Adam,
        lr_schedule: LrSchedule::Constant,
        sparsity_warmup_steps: Some(0),
        top_k: case.top_k,
        ..Hyperparameters::default()
    };
    let mut training = Training::new(
        &hyperparameters,
        initial(data, &hyperparameters)?,
        case.kind,
    )?;
    let mut seconds = Vec::new();
    let mut losses = Vec::new();
    for step in 0..steps {
        let start = Instant::now();
        let batch = data
            .activations
            .f_narrow(0, step as i64 % BATCHES * BATCH, BATCH)?;
        losses.push(training.step(&batch, &batch, false)?.loss);
        seconds.push(start.elapsed().as_secs_f64());
    }
    let mut timed = seconds.split_off(WARM_UP);
    timed.sort_by(f64::total_cmp);
    let last = &losses[steps - BATCHES as usize..];
    Ok(Measured {
        seconds_per_step: timed[timed.len() / 2],
        loss: last.iter().sum::<f64>() / last.len() as f64,
    })
}

fn theirs(case: Case, arguments: &Arguments, data: &std::path::Path) -> anyhow::Result<Measured> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/saelens.py");
    let mut command = Command::new(&arguments.python);
    command.arg(script).arg("--data").arg(data);
    for (name, value) in [
        ("--batch", BATCH.to_string()),
        ("--steps", arguments.steps.to_string()),
        ("--warm-up", WARM_UP.to_string()),
        ("--last", BATCHES.to_string()),
        ("--threads", arguments.threads.to_string()),
        ("--learning-rate", LEARNING_RATE.to_string()),
        ("--l1", L1.to_string()),
    ] {
        command.args([name, value.as_str()]);
    }
    if let Some(k) = case.top_k {
        command.args(["--top-k", k.to_string().as_str()]);
    }
    if case.kind == Kind::BFloat16 {
        command.arg("--bf16");
    }
    // Our libtorch is not to be found by their torch.
    command.env_remove("LD_LIBRARY_PATH");
    let output = command
        .output()
        .with_context(|| format!("starting {}", arguments.python.display()))?;
    ensure!(
        output.status.success(),
        "SAELens ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().context("SAELens printed nothing")?;
    Ok(serde_json::from_str(line)?)
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
