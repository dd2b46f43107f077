//! The trainmaster-trainer program.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use trainmaster_domain::Lease;
use trainmaster_trainer::autoencoder::Autoencoder;
use trainmaster_trainer::run::executor::Executor;
use trainmaster_trainer::slurm::{self, Signals};
use trainmaster_trainer::tensor_file::{TensorFile, write_tensors};
use trainmaster_trainer::{doctor, run};

/// Trains sparse autoencoders on the activations of language models, and networks that segment images. The trainmaster daemon starts it; a person needs it for `doctor`.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Do what the spec of a run's directory says; what happens is written to its journal.
    Run {
        /// The run's directory.
        directory: PathBuf,
        /// The lease to report under; the trainer leaves when the spec carries another.
        #[arg(long)]
        lease: u64,
    },
    /// Do what is this SLURM job's part of a submission; the script that was submitted runs it.
    Slurm {
        /// The submission directory.
        directory: PathBuf,
    },
    /// Say what this machine offers: libtorch, devices, precision.
    Doctor {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Reconstruct activations with a trained autoencoder, to compare with other programs that read the same directory.
    Reconstruct {
        /// The autoencoder's directory (cfg.json, sae_weights.safetensors).
        #[arg(long)]
        autoencoder: PathBuf,
        /// A safetensors file with `activations`, f32 [rows, width].
        #[arg(long)]
        activations: PathBuf,
        /// The safetensors file to write: `latents` and `reconstruction`.
        #[arg(long)]
        output: PathBuf,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Run { directory, lease } => {
            let signals = listen()?;
            let status = run::run(
                &directory,
                Lease(lease),
                Executor::daemon(signals.terminated),
            );
            Ok(exit(status))
        }
        Command::Slurm { directory } => {
            let signals = listen()?;
            signal_hook::flag::register(
                signal_hook::consts::SIGUSR1,
                Arc::clone(&signals.time_is_nearly_up),
            )
            .context("listening for SIGUSR1")?;
            let status = slurm::run(&directory, |name| std::env::var(name).ok(), &signals);
            Ok(exit(status))
        }
        Command::Doctor { json } => {
            let findings = doctor::examine();
            if json {
                println!("{}", serde_json::to_string_pretty(&findings)?);
            } else {
                print!("{findings}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Reconstruct {
            autoencoder,
            activations,
            output,
        } => {
            let autoencoder = Autoencoder::load(&autoencoder, tch::Device::Cpu)?;
            let activations =
                TensorFile::open(&activations)?.tensor("activations", &[-1, autoencoder.d_in()])?;
            let latents = autoencoder.encode(&activations)?;
            let reconstruction = autoencoder.decode(&latents, &activations)?;
            write_tensors(
                &output,
                &[("latents", &latents), ("reconstruction", &reconstruction)],
            )?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Listens for what whoever executes a run says by signal.
fn listen() -> anyhow::Result<Signals> {
    let signals = Signals::default();
    let terminated = Arc::clone(&signals.terminated);
    signal_hook::flag::register(signal_hook::consts::SIGTERM, terminated)
        .context("listening for SIGTERM")?;
    // Without a handler, a file that reaches its size limit would kill the trainer instead of failing to be written.
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())
        .context("listening for SIGXFSZ")?;
    Ok(signals)
}

fn exit(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX))
}
