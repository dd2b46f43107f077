//! `projections`: how far the tables are, whether they are what the log makes, and making them anew.

mod building;
mod status;

use super::{
    arguments::ProjectionsCommand,
    client::Client,
    failure::{Exit, Failure},
    format,
    output::Output,
    table::Table,
};
use crate::projector::{DifferenceKind, FirstDifference};
use building::run_telling;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

#[derive(Deserialize, Serialize)]
struct Rebuilt {
    read_model: String,
    version: String,
    events: i64,
    position: String,
    tables: Vec<Rows>,
    not_compared: Option<String>,
    seconds: f64,
}

#[derive(Deserialize, Serialize)]
struct Verified {
    read_model: String,
    version: String,
    events: i64,
    position: String,
    is_same: bool,
    tables: Vec<Rows>,
    not_compared: Option<String>,
    gaps: Vec<status::Gap>,
    seconds: f64,
}

#[derive(Deserialize, Serialize)]
struct Rows {
    table: String,
    before: Option<i64>,
    after: i64,
    hash_before: Option<String>,
    hash_after: Option<String>,
    first_difference: Option<FirstDifference>,
}

impl Rows {
    fn differs(&self) -> bool {
        self.before.is_some()
            && (Some(self.after), &self.hash_after) != (self.before, &self.hash_before)
    }

    /// What is to be said of a table beside its numbers.
    fn remark(&self) -> String {
        if !self.differs() {
            return String::new();
        }
        match &self.first_difference {
            None => "differs".to_owned(),
            Some(first) => {
                let what = match first.kind {
                    DifferenceKind::Altered => "has other values than its events give it",
                    DifferenceKind::Missing => "is missing",
                    DifferenceKind::NotFromTheLog => "is made by no event",
                };
                format!("row {} {what}", first.id)
            }
        }
    }
}

pub(super) async fn run(
    client: &Client,
    command: ProjectionsCommand,
    output: Output,
) -> Result<ExitCode, Failure> {
    match command {
        ProjectionsCommand::Status => status::show(client, output).await,
        ProjectionsCommand::Rebuild { read_model } => rebuild(client, &read_model, output).await,
        ProjectionsCommand::Verify { read_model } => verify(client, &read_model, output).await,
    }
}

async fn rebuild(client: &Client, read_model: &str, output: Output) -> Result<ExitCode, Failure> {
    let rebuilt: Rebuilt = run_telling(client, read_model, "rebuild", output).await?;
    if output.is_json() {
        output.json(&rebuilt)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(
        &rebuilt.read_model,
        [">BEFORE", ">AFTER"],
        &rebuilt.tables,
        output,
    );
    if let Some(because) = &rebuilt.not_compared {
        output.line(format!("not compared: {because}"));
    }
    if rebuilt.tables.iter().any(Rows::differs) {
        output.remark(format!(
            "the tables that were replaced were NOT what their events make: unless somebody has written to {read_model} by hand, report it"
        ));
    }
    output.line(format!(
        "{} made anew from {} events in {:.2}s",
        rebuilt.read_model,
        format::whole(rebuilt.events),
        rebuilt.seconds
    ));
    Ok(ExitCode::SUCCESS)
}

async fn verify(client: &Client, read_model: &str, output: Output) -> Result<ExitCode, Failure> {
    let verified: Verified = run_telling(client, read_model, "verify", output).await?;
    if output.is_json() {
        output.json(&verified)?;
    } else {
        print(
            &verified.read_model,
            [">LIVE", ">FROM THE LOG"],
            &verified.tables,
            output,
        );
        for gap in &verified.gaps {
            output.line(gap.line(&verified.read_model));
        }
    }
    if verified.is_same {
        if !output.is_json() {
            output.line(format!(
                "{} is what its {} events make, as of {} ({:.2}s)",
                verified.read_model,
                format::whole(verified.events),
                verified.position,
                verified.seconds
            ));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let failure = match &verified.not_compared {
        Some(because) => Failure::failed(
            "not_compared",
            format!("{read_model} could not be compared: {because}"),
        ),
        None => Failure::new(
            Exit::Failed,
            "read_model_differs",
            format!(
                "{read_model} is not what its events make: trainmaster projections rebuild {read_model} replaces it; unless somebody has written \
                 to it by hand, report it"
            ),
        ),
    };
    Err(failure)
}

fn print(read_model: &str, [before, after]: [&'static str; 2], tables: &[Rows], output: Output) {
    let mut table = Table::new(&["TABLE", before, after, "HASH", "REMARK"]);
    for rows in tables {
        let hash = rows
            .hash_after
            .as_deref()
            .map_or("-", |hash| hash.get(..12).unwrap_or(hash));
        table.row(vec![
            format!("{read_model}.{}", rows.table),
            rows.before.map_or_else(|| "-".to_owned(), format::whole),
            format::whole(rows.after),
            hash.to_owned(),
            rows.remark(),
        ]);
    }
    for line in table.lines() {
        output.line(line);
    }
}
