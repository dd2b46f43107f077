//! The trainmaster program.

use clap::{Args, Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};
use trainmaster::{
    config::{self, Source},
    database::OpenDatabase,
    doctor, migrate, serve,
};

#[derive(Parser)]
#[command(
    version,
    about = "Trains sparse autoencoders from an append-only log of everything that happens"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Args)]
struct SettingsArguments {
    /// The configuration file
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// The state directory
    #[arg(long, global = true)]
    state_dir: Option<PathBuf>,
    /// A setting that overrides the file and the environment; may be repeated
    #[arg(long = "set", global = true, value_name = "SECTION.NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon
    Serve,
    /// Check Postgres, libtorch, the disk and permissions, and say what to do
    Doctor,
    /// Check or show the settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Bring the database's schema up to date
    Migrate,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Say what is wrong with the settings, and where
    Check,
    /// Print the settings as they are, secrets left out
    Show,
    /// Print a configuration file with every setting, its documentation and its default
    Example,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err("it must be SECTION.NAME=VALUE".to_owned()),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("trainmaster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let Arguments { command, settings } = Arguments::parse();
    let mut flags = settings.set;
    if let Some(directory) = settings.state_dir {
        flags.push(("state.directory".into(), directory.display().to_string()));
    }
    let source = Source::of_process(settings.config, flags);
    match command {
        Command::Serve => serve::serve(&source)?,
        Command::Config(ConfigCommand::Example) => print!("{}", config::example_file()),
        Command::Config(ConfigCommand::Check) => {
            let loaded = source.load()?;
            for warning in &loaded.warnings {
                println!("warning: {warning}");
            }
            println!("the settings are usable");
        }
        Command::Config(ConfigCommand::Show) => {
            for (key, value) in source.load()?.settings.shown() {
                println!("{key} = {}", value.as_deref().unwrap_or("(unset)"));
            }
        }
        Command::Doctor => {
            let report = runtime()?.block_on(doctor::examine(&source));
            if settings.json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            } else {
                print!("{report}");
            }
            return Ok(if report.failed() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            });
        }
        Command::Migrate => {
            let settings = source.load()?.settings;
            runtime()?.block_on(async {
                let open = OpenDatabase::open(&settings).await?;
                let applied = migrate::up(open.database.owner_pool()).await;
                open.close().await?;
                for migration in applied? {
                    println!("applied {migration}");
                }
                Ok::<_, anyhow::Error>(())
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}
