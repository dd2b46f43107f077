//! `maintenance`: what a timer does once a week.

use super::{
    arguments::{Connection, ServerArguments},
    failure::{Failure, chain},
    format,
    output::Output,
    server,
};
use crate::{database::OpenDatabase, maintenance};
use std::process::ExitCode;

pub(super) fn run(
    arguments: ServerArguments,
    connection: &Connection,
    output: Output,
) -> Result<ExitCode, Failure> {
    let settings = server::settings(arguments, connection)?;
    let failed = |error: &dyn std::error::Error| Failure::failed("database", chain(error));
    let done = server::runtime()?.block_on(async {
        let open = OpenDatabase::open(&settings)
            .await
            .map_err(|error| failed(&error))?;
        let done = maintenance::maintain(&open.database, |table| {
            if output.is_terminal() {
                output.remark(table);
            }
        })
        .await;
        let closed = open.close().await;
        let done = done.map_err(|error| failed(&error))?;
        closed.map_err(|error| failed(&error))?;
        Ok::<_, Failure>(done)
    })?;
    if output.is_json() {
        output.json(&done)?;
        return Ok(ExitCode::SUCCESS);
    }
    output.line(format!(
        "{} tables vacuumed and analysed; the database has {}, before {}",
        done.tables,
        format::bytes(done.bytes_after),
        format::bytes(done.bytes_before)
    ));
    for index in &done.rebuilt {
        output.line(format!("index {index} was unusable and is built anew"));
    }
    for index in &done.unused {
        output.line(format!(
            "index {index} was not used since the statistics began"
        ));
    }
    Ok(ExitCode::SUCCESS)
}
