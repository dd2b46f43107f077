//! The command line: the daemon itself, and a client of its HTTP interface.
//!
//! Exit codes: 0 done; 1 refused or failed; 2 not understood; 3 no daemon answers; 4 there is no such thing; 5 it took longer
//! than was to be waited; 6 a training that was watched came to rest before its end (paused or stopped).

mod arguments;
mod ask;
mod autoencoder;
mod backup;
mod client;
mod cross_validation;
mod events;
mod extract;
mod failure;
mod feature;
mod format;
mod generate;
mod history;
mod jobs;
mod kept;
mod log_head;
mod log_segments;
mod log_verify;
mod maintenance;
mod output;
mod predict;
mod progress_bar;
mod projections;
mod register;
mod remove;
mod report;
mod retention;
mod segment;
mod segmentations;
mod server;
mod show;
mod slurm;
mod state_change;
mod table;
mod train;
mod wait;
mod watch;

pub use arguments::{Cli, Command, ServerArguments};

use crate::queries::{ExtractionTemplate, Preset, TrainingTemplate};
use arguments::{history::EventsCommand, log::LogCommand};
use clap::Parser;
use failure::Failure;
use output::Output;
use std::{process::ExitCode, time::Duration};
use trainmaster_domain::id::CrossValidationId;

/// Runs the program with the arguments of this process.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.connection.json);
    match dispatch(cli, output) {
        Ok(code) => code,
        Err(failure) => {
            output.failure(&failure);
            failure.exit_code()
        }
    }
}

fn dispatch(cli: Cli, output: Output) -> Result<ExitCode, Failure> {
    let command = match cli.command {
        Command::Serve(arguments) => return server::serve(arguments, &cli.connection),
        Command::Migrate(command) => return server::migrate(command, &cli.connection, output),
        Command::Config(command) => return server::config(command, &cli.connection, output),
        Command::Backup(command) => return backup::run(command, &cli.connection, output),
        Command::Restore(arguments) => {
            return backup::restore(arguments, &cli.connection, output);
        }
        Command::Maintenance(arguments) => {
            return maintenance::run(arguments, &cli.connection, output);
        }
        Command::Doctor(arguments) => return server::doctor(arguments, &cli.connection, output),
        command => command,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("runtime", format!("cannot start: {error}")))?;
    runtime.block_on(async {
        let client = client::Client::new(&cli.connection)?;
        match command {
            Command::Model(command) => register::model(&client, command, output).await,
            Command::Dataset(command) => register::dataset(&client, command, output).await,
            Command::Template(command) => {
                kept::run::<TrainingTemplate, _, _, _>(&client, *command, output).await
            }
            Command::ExtractionTemplate(command) => {
                kept::run::<ExtractionTemplate, _, _, _>(&client, command, output).await
            }
            Command::Preset(command) => {
                kept::run::<Preset, _, _, _>(&client, command, output).await
            }
            Command::Models(page) => register::list_models(&client, &page, output).await,
            Command::Datasets(page) => register::list_datasets(&client, &page, output).await,
            Command::Train(arguments) => train::train(&client, *arguments, output).await,
            Command::Autoencoder(command) => autoencoder::run(&client, command, output).await,
            Command::Segment(arguments) => segment::segment(&client, *arguments, output).await,
            Command::Segmentations(arguments) => {
                segmentations::run(&client, arguments, output).await
            }
            Command::CrossValidation(arguments) => {
                cross_validation::run(&client, arguments, output).await
            }
            Command::Predict(arguments) => predict::predict(&client, *arguments, output).await,
            Command::Slurm(arguments) => slurm::run(&client, arguments, output).await,
            Command::Ls(arguments) => show::list(&client, arguments, output).await,
            Command::Show { id, at: None } => show::show(&client, &id, output).await,
            Command::Show { id, at: Some(at) } => history::show_at(&client, &id, &at, output).await,
            Command::Watch { id } if id.starts_with(CrossValidationId::PREFIX) => {
                cross_validation::wait(&client, &id, Duration::MAX, output).await
            }
            Command::Watch { id } => watch::watch(&client, &id, None, output).await,
            Command::Pause(arguments) => {
                state_change::run(&client, "pause", arguments, output).await
            }
            Command::Resume(arguments) => {
                state_change::run(&client, "resume", arguments, output).await
            }
            Command::Stop(arguments) => state_change::run(&client, "stop", arguments, output).await,
            Command::Retry(arguments) => {
                state_change::run(&client, "retry", arguments, output).await
            }
            Command::Extract(arguments) => extract::extract(&client, *arguments, output).await,
            Command::Feature(command) => feature::run(&client, command, output).await,
            Command::Generate(arguments) => generate::generate(&client, *arguments, output).await,
            Command::Report { id, output: path } => {
                report::report(&client, &id, path, output).await
            }
            Command::Job(command) => jobs::job(&client, command, output).await,
            Command::Rm(arguments) => remove::run(&client, "training", arguments, output).await,
            Command::Retention(command) => retention::run(&client, command, output).await,
            Command::Events(mut arguments) => match arguments.command.take() {
                Some(EventsCommand::Diff(arguments)) => {
                    history::diff(&client, arguments, output).await
                }
                None => events::events(&client, arguments, output).await,
            },
            Command::Projections(command) => projections::run(&client, command, output).await,
            Command::Log(LogCommand::Verify(arguments)) => {
                log_verify::verify(&client, arguments, output).await
            }
            Command::Log(LogCommand::Head { out }) => log_head::head(&client, out, output).await,
            Command::Log(LogCommand::Segments) => log_segments::list(&client, output).await,
            Command::Log(LogCommand::Archive(arguments)) => {
                log_segments::archive(&client, arguments, output).await
            }
            Command::Serve(_)
            | Command::Migrate(_)
            | Command::Config(_)
            | Command::Backup(_)
            | Command::Restore(_)
            | Command::Maintenance(_)
            | Command::Doctor(_) => {
                unreachable!("the server's own commands were taken above")
            }
        }
    })
}
