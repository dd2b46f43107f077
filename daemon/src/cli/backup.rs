//! `backup` and `restore`: by the settings of this machine, beside a daemon or without one.

mod progress;

use super::{
    arguments::{
        Connection,
        backup::{BackupCommand, CreateArguments, RestoreArguments, VerifyArguments},
    },
    ask::ask,
    failure::{Exit, Failure, chain},
    format,
    output::Output,
    server,
    table::Table,
};
use crate::{
    backup::{self, BackupError, Kind, Manifest, Pruned, Request, Restored, Selection, Store},
    config::Settings,
};
use chrono::Utc;
use progress::Bar;
use serde_json::{Value, json};
use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

pub(super) fn run(
    command: BackupCommand,
    connection: &Connection,
    output: Output,
) -> Result<ExitCode, Failure> {
    match command {
        BackupCommand::Create(arguments) => create(arguments, connection, output),
        BackupCommand::Ls(arguments) => list(&server::settings(arguments, connection)?, output),
        BackupCommand::Verify(arguments) => verify(arguments, connection, output),
        BackupCommand::Prune(arguments) => {
            let settings = server::settings(arguments, connection)?;
            let pruned = backup::prune(&settings, Utc::now()).map_err(failure)?;
            if output.is_json() {
                output.json(&pruned)?;
            } else {
                tell_pruned(&pruned, output);
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn create(
    arguments: CreateArguments,
    connection: &Connection,
    output: Output,
) -> Result<ExitCode, Failure> {
    let settings = server::settings(arguments.server, connection)?;
    let request = Request {
        kind: arguments.kind.into(),
        with_artifacts: arguments.with_artifacts || settings.backup.with_artifacts,
        with_read_models: arguments.with_read_models,
    };
    let bar = Bar::new(output);
    let made = server::runtime()?.block_on(backup::create(&settings, request, &bar.progress()));
    bar.done();
    let manifest = made.map_err(failure)?;
    let pruned = if arguments.keep_old {
        Pruned::default()
    } else {
        backup::prune(&settings, Utc::now()).map_err(failure)?
    };
    if output.is_json() {
        let mut answer = summary(&manifest);
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("pruned".to_owned(), json!(pruned));
        }
        output.json(&answer)?;
    } else {
        output.line(format!(
            "{}: {} events, {}",
            manifest.id,
            format::whole(manifest.head.events),
            bytes(manifest.size_bytes)
        ));
        tell_pruned(&pruned, output);
    }
    Ok(ExitCode::SUCCESS)
}

fn tell_pruned(pruned: &Pruned, output: Output) {
    for id in &pruned.backups {
        output.line(format!("let go: {id}"));
    }
    if pruned.segments > 0 {
        output.line(format!(
            "let go: {} segments of the write-ahead log, {}",
            pruned.segments,
            bytes(pruned.segment_bytes)
        ));
    }
}

fn list(settings: &Settings, output: Output) -> Result<ExitCode, Failure> {
    let store = Store::new(settings.backup_directory());
    let mut table = Table::new(&[
        "ID",
        "KIND",
        "MADE",
        ">SIZE",
        ">EVENTS",
        "FILES OF RUNS",
        "REMARK",
    ]);
    let mut items = Vec::new();
    for id in store.ids().map_err(failure)? {
        match store.manifest(&id) {
            Ok(manifest) => {
                let files = &manifest.artifacts;
                let how = if files.included { "kept" } else { "listed" };
                table.row(vec![
                    id,
                    manifest.kind.to_string(),
                    format::time(manifest.finished_at),
                    bytes(manifest.size_bytes),
                    format::whole(manifest.head.events),
                    format!("{} {how}, {}", files.files, bytes(files.bytes)),
                    String::new(),
                ]);
                items.push(summary(&manifest));
            }
            Err(error) => {
                items.push(json!({ "id": id, "damaged": chain(&error) }));
                let mut row = vec![id];
                row.resize(6, String::new());
                row.push(chain(&error));
                table.row(row);
            }
        }
    }
    if output.is_json() {
        output.json(&items)?;
    } else if table.is_empty() {
        output.line(format!("no backups in {}", store.directory().display()));
    } else {
        for line in table.lines() {
            output.line(line);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(
    arguments: VerifyArguments,
    connection: &Connection,
    output: Output,
) -> Result<ExitCode, Failure> {
    let settings = server::settings(arguments.server, connection)?;
    let store = Store::new(settings.backup_directory());
    let ids = if arguments.all {
        store.ids().map_err(failure)?
    } else {
        let selection = Selection::from(arguments.id.as_str());
        vec![store.select(&selection).map_err(failure)?.id]
    };
    let bar = Bar::new(output);
    let runtime = server::runtime()?;
    let (mut items, mut faults) = (Vec::new(), Vec::new());
    for id in ids {
        let verified = runtime.block_on(backup::verify(&settings, &store, &id, &bar.progress()));
        bar.done();
        match verified {
            Ok(verified) => {
                if !output.is_json() {
                    output.line(format!(
                        "{id}: as it was made, {}{}",
                        bytes(verified.bytes),
                        match (verified.kind, verified.segments) {
                            (Kind::Logical, _) | (_, 0) => String::new(),
                            (Kind::Physical, segments) =>
                                format!("; {segments} segments of write-ahead log lead on from it"),
                        }
                    ));
                }
                items.push(json!(verified));
            }
            Err(error) => {
                items.push(json!({ "id": id, "fault": chain(&error), "code": error.code() }));
                faults.push(error);
            }
        }
    }
    if output.is_json() {
        output.json(&items)?;
    }
    match faults.len() {
        0 => Ok(ExitCode::SUCCESS),
        1 => Err(failure(faults.swap_remove(0))),
        count => {
            for fault in &faults {
                output.remark(chain(fault));
            }
            Err(Failure::failed(
                "backup_damaged",
                format!("{count} backups are damaged, see above"),
            ))
        }
    }
}

pub(super) fn restore(
    arguments: RestoreArguments,
    connection: &Connection,
    output: Output,
) -> Result<ExitCode, Failure> {
    let settings = server::settings(arguments.server, connection)?;
    let is_sure = arguments.yes || arguments.rehearse;
    if !is_sure && !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "not_confirmed",
            "nobody is there to ask whether everything in the database is to be replaced; say --yes",
        ));
    }
    let selection = Selection::from(arguments.id.as_str());
    let bar = Bar::new(output);
    let runtime = server::runtime()?;
    let prepared = runtime.block_on(backup::prepare(
        &settings,
        &selection,
        arguments.to,
        arguments.timeline,
        arguments.rehearse,
        &bar.progress(),
    ));
    bar.done();
    let restore = prepared.map_err(failure)?;
    if !is_sure && !confirmed(&restore.summary())? {
        return Err(Failure::failed("not_confirmed", "nothing was changed"));
    }
    let done = runtime.block_on(restore.run(&bar.progress()));
    bar.done();
    let restored = done.map_err(failure)?;
    if output.is_json() {
        output.json(&restored)?;
    } else {
        tell(&restored, &settings, output);
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(restored: &Restored, settings: &Settings, output: Output) {
    let at = match (&restored.position, restored.recorded_at) {
        (Some(position), Some(at)) => format!("{position}, recorded at {}", format::time(at)),
        _ => "nothing".to_owned(),
    };
    let verb = if restored.rehearsal {
        "could be restored"
    } else {
        "is restored"
    };
    output.line(format!(
        "{} {verb}: {} events of {} streams, each as it was written; the last is {at}",
        restored.backup, restored.events, restored.streams,
    ));
    if restored.files.returned > 0 {
        output.line(format!(
            "{} files of runs were put back",
            restored.files.returned
        ));
    }
    if restored.files.missing > 0 {
        output.line(format!(
            "{} files that there were at the backup are gone, and are not in it: `trainmaster projections status` will say what lacks them",
            restored.files.missing
        ));
    }
    if let Some(aside) = &restored.aside {
        let remove = if settings.database.url.is_some() {
            "drop it"
        } else {
            "remove it"
        };
        output.line(format!(
            "what was there before is {aside}: {remove} when it is not missed"
        ));
    }
    if !restored.rehearsal {
        output.line("start the daemon: it makes the read models and puts aside what runs did after that moment");
        if settings.postgres.wal_archive.is_some() {
            output.line("then make a physical backup: recoveries to what comes now begin at it (trainmaster backup create --kind physical)");
        }
    }
}

fn confirmed(summary: &str) -> Result<bool, Failure> {
    Ok(ask(&format!("{summary}\nType yes to go on: "))? == "yes")
}

fn summary(manifest: &Manifest) -> Value {
    json!({
        "id": manifest.id,
        "kind": manifest.kind,
        "started_at": manifest.started_at,
        "finished_at": manifest.finished_at,
        "size_bytes": manifest.size_bytes,
        "events": manifest.head.events,
        "position": manifest.head.position,
        "server_version": manifest.server_version,
        "program_version": manifest.program_version,
        "artifacts": manifest.artifacts,
    })
}

fn bytes(bytes: u64) -> String {
    format::bytes(i64::try_from(bytes).unwrap_or(i64::MAX))
}

fn failure(error: BackupError) -> Failure {
    let exit = match error {
        BackupError::NotFound { .. } => Exit::NotFound,
        _ => Exit::Failed,
    };
    Failure::new(exit, error.code(), chain(&error))
}
