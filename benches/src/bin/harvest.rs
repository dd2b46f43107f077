//! Harvest: tokens a second to the residual stream after the ninth layer of SmolLM2-135M, against transformers.
//!
//! ```text
//! cargo run --release -p trainmaster-benches --features libtorch --bin harvest -- \
//!     --model <SmolLM2-135M-Instruct.Q4_1.gguf> --python <python that has torch, transformers and gguf>
//! ```
//!
//! Both read the same file, run the same tokens (8 sequences of 256 a batch) on as many threads, and take turns, so that
//! whatever else the machine does meets both. It fails where trainmaster is the slower.

use anyhow::{Context, Result};
use clap::Parser;
use std::{
    io::{BufRead, BufReader, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};
use tch::{Device, Kind, Tensor};
use trainmaster_trainer::language_model::{HookPoint, LanguageModel, LoadOptions, Site};

const LAYERS: usize = 9;
const BATCH: [i64; 2] = [8, 256];

#[derive(clap::Parser)]
struct Arguments {
    /// SmolLM2-135M as GGUF.
    #[arg(long, env = "TRAINMASTER_SMOLLM2")]
    model: PathBuf,
    /// A Python that has torch, transformers and gguf.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Threads of either.
    #[arg(long, default_value_t = 2)]
    threads: i32,
    /// Turns of either, of which the median counts.
    #[arg(long, default_value_t = 5)]
    turns: usize,
    /// Seconds of a turn.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
}

/// The peer, a Python process that takes its turn for each line it is sent.
struct Peer {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(arguments: &Arguments) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/harvest.py");
        let mut process = Command::new(&arguments.python)
            .arg(script)
            .arg(&arguments.model)
            .args([
                LAYERS.to_string(),
                arguments.threads.to_string(),
                arguments.seconds.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", arguments.python.display()))?;
        let ask = process.stdin.take().context("the peer's standard input")?;
        let answers = BufReader::new(
            process
                .stdout
                .take()
                .context("the peer's standard output")?,
        );
        Ok(Self {
            process,
            ask,
            answers,
        })
    }

    fn tokens_per_second(&mut self, precision: &str) -> Result<f64> {
        writeln!(self.ask, "{precision}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer.trim().parse().with_context(|| {
            format!(
                "the peer answered {answer:?}; its Python must have torch, transformers and gguf"
            )
        })
    }

    fn end(self) -> Result<()> {
        let Self {
            mut process, ask, ..
        } = self;
        drop(ask);
        process.wait()?;
        Ok(())
    }
}

fn tokens_per_second(model: &LanguageModel, tokens: &Tensor, seconds: f64) -> Result<f64> {
    let hooks = [HookPoint {
        layer: LAYERS - 1,
        site: Site::Residual,
    }];
    model.activations(tokens, &hooks)?;
    let start = Instant::now();
    let mut batches = 0;
    while start.elapsed().as_secs_f64() < seconds {
        model.activations(tokens, &hooks)?;
        batches += 1;
    }
    Ok((batches * BATCH[0] * BATCH[1]) as f64 / start.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    tch::set_num_threads(arguments.threads);
    let mut peer = Peer::start(&arguments)?;
    let mut slower = Vec::new();
    for (name, kind) in [("f32", Kind::Float), ("bf16", Kind::BFloat16)] {
        let options = LoadOptions {
            device: Device::Cpu,
            kind,
            layers: Some(LAYERS),
        };
        let model = LanguageModel::load(&arguments.model, options, &mut |_, _| {
            ControlFlow::Continue(())
        })?;
        let ids: Vec<i64> = (0..BATCH[0] * BATCH[1])
            .map(|at| at * 7919 % 49_152)
            .collect();
        let tokens = Tensor::from_slice(&ids).view(BATCH);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..arguments.turns.max(1) {
            ours.push(tokens_per_second(&model, &tokens, arguments.seconds)?);
            theirs.push(peer.tokens_per_second(name)?);
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let ratio = ours / theirs;
        println!(
            "{name}: trainmaster {ours:.0} tokens/s, transformers {theirs:.0} tokens/s, ratio {ratio:.2}"
        );
        if ratio < 1.0 {
            slower.push(name);
        }
    }
    peer.end()?;
    anyhow::ensure!(
        slower.is_empty(),
        "slower than transformers in {}",
        slower.join(" and ")
    );
    Ok(())
}
