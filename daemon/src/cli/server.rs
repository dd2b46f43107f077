//! The server's own commands: `serve`, `migrate`, `config`, `doctor`.

use super::{
    arguments::{ConfigCommand, Connection, DoctorArguments, MigrateCommand, ServerArguments},
    failure::{Failure, chain},
    format,
    output::Output,
    table::Table,
};
use crate::{
    config::{ConfigError, Problem, Settings, Source, example_file},
    database::OpenDatabase,
    doctor, migrate, serve,
};
use serde_json::{Map, Value, json};
use sqlx::PgPool;
use std::process::ExitCode;

pub(super) fn serve(
    arguments: ServerArguments,
    connection: &Connection,
) -> Result<ExitCode, Failure> {
    serve::serve(&source(arguments, connection))
        .map_err(|error| Failure::failed("serve", chain(&error)))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn doctor(
    arguments: DoctorArguments,
    connection: &Connection,
    output: Output,
) -> Result<ExitCode, Failure> {
    let source = source(arguments.server, connection);
    let report = runtime()?.block_on(async {
        if arguments.database {
            doctor::examine_database(&source).await
        } else {
            doctor::examine(&source).await
        }
    });
    if output.is_json() {
        output.json(&report)?;
    } else {
        output.line(report.to_string().trim_end());
    }
    Ok(if report.failed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

pub(super) fn migrate(
    command: MigrateCommand,
    connection: &Connection,
    output: Output,
) -> Result<ExitCode, Failure> {
    let arguments = match &command {
        MigrateCommand::Up(arguments)
        | MigrateCommand::Status(arguments)
        | MigrateCommand::Down {
            server: arguments, ..
        } => arguments.clone(),
    };
    let settings = source(arguments, connection)
        .load()
        .map_err(unusable)?
        .settings;
    runtime()?.block_on(async {
        let open = OpenDatabase::open(&settings)
            .await
            .map_err(|error| Failure::failed("database", chain(&error)))?;
        let done = migrated(&command, open.database.owner_pool(), output).await;
        let closed = open.close().await;
        done?;
        closed.map_err(|error| Failure::failed("database", chain(&error)))?;
        Ok(ExitCode::SUCCESS)
    })
}

async fn migrated(command: &MigrateCommand, owner: &PgPool, output: Output) -> Result<(), Failure> {
    let failed = |error: migrate::MigrateError| Failure::failed("migrate", chain(&error));
    let (verb, names) = match command {
        MigrateCommand::Up(_) => ("applied", migrate::up(owner).await.map_err(failed)?),
        MigrateCommand::Down { migrations, to, .. } => (
            "taken back",
            migrate::down(owner, migrations, *to)
                .await
                .map_err(failed)?,
        ),
        MigrateCommand::Status(_) => return status(owner, output).await,
    };
    if output.is_json() {
        return output.json(&json!({ verb: names }));
    }
    if names.is_empty() {
        output.line("nothing to do");
    }
    for name in names {
        output.line(format!("{verb}: {name}"));
    }
    Ok(())
}

async fn status(owner: &PgPool, output: Output) -> Result<(), Failure> {
    let all = migrate::status(owner)
        .await
        .map_err(|error| Failure::failed("migrate", chain(&error)))?;
    if output.is_json() {
        return output.json(&all);
    }
    let mut table = Table::new(&["SET", ">NUMBER", "NAME", "APPLIED"]);
    for migration in all {
        table.row(vec![
            migration.set.to_owned(),
            migration.number.to_string(),
            migration.name.to_owned(),
            migration
                .applied_at
                .map_or_else(|| "not yet".to_owned(), format::time),
        ]);
    }
    for line in table.lines() {
        output.line(line);
    }
    Ok(())
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("runtime", format!("cannot start: {error}")))
}

pub(super) fn config(
    command: ConfigCommand,
    connection: &Connection,
    output: Output,
) -> Result<ExitCode, Failure> {
    match command {
        ConfigCommand::Check(arguments) => {
            let loaded = match source(arguments, connection).load() {
                Ok(loaded) => loaded,
                Err(ConfigError::Invalid(problems)) => return invalid(&problems, output),
                Err(error) => return Err(unusable(error)),
            };
            let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
            if output.is_json() {
                output.json(&json!({ "usable": true, "warnings": warnings }))?;
                return Ok(ExitCode::SUCCESS);
            }
            for warning in warnings {
                output.line(format!("warning: {warning}"));
            }
            output.line("the settings are usable");
        }
        ConfigCommand::Show(arguments) => {
            let loaded = source(arguments, connection).load().map_err(unusable)?;
            let shown = loaded.settings.shown();
            if output.is_json() {
                let map: Map<String, Value> = shown
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), Value::from(value)))
                    .collect();
                output.json(&map)?;
                return Ok(ExitCode::SUCCESS);
            }
            for (key, value) in shown {
                output.line(format!("{key} = {}", value.as_deref().unwrap_or("(unset)")));
            }
        }
        ConfigCommand::Example => output.line(example_file().trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}

/// All that is wrong, a line each, with its place.
fn invalid(problems: &[Problem], output: Output) -> Result<ExitCode, Failure> {
    if output.is_json() {
        let problems: Vec<Value> = problems
            .iter()
            .map(|problem| json!({ "place": problem.place, "key": problem.key, "what": problem.what }))
            .collect();
        output.json(&json!({ "usable": false, "problems": problems }))?;
    } else {
        for problem in problems {
            output.line(problem.to_string());
        }
    }
    Ok(ExitCode::FAILURE)
}

/// The settings of this machine.
pub(super) fn settings(
    arguments: ServerArguments,
    connection: &Connection,
) -> Result<Settings, Failure> {
    Ok(source(arguments, connection)
        .load()
        .map_err(unusable)?
        .settings)
}

fn unusable(error: ConfigError) -> Failure {
    Failure::failed("configuration", error.to_string())
}

/// Where settings come from; a state directory on the command line is a setting like any other.
fn source(arguments: ServerArguments, connection: &Connection) -> Source {
    let mut flags = arguments.set;
    if let Some(directory) = &connection.state_dir {
        flags.push((
            "state.directory".to_owned(),
            directory.display().to_string(),
        ));
    }
    Source::of_process(arguments.config, flags)
}
