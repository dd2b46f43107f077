//! `retention`: what has grown old, and letting it go.

use super::{
    arguments::RetentionCommand, client::Client, failure::Failure, format, output::Output,
    register::print, table::Table,
};
use crate::retention::{Done, Item, Plan, What};
use std::process::ExitCode;

pub(super) async fn run(
    client: &Client,
    command: RetentionCommand,
    output: Output,
) -> Result<ExitCode, Failure> {
    match command {
        RetentionCommand::Plan => {
            let plan: Plan = client.get("/v1/retention/plan").await?;
            if output.is_json() {
                output.json(&plan)?;
                return Ok(ExitCode::SUCCESS);
            }
            print(&table(&plan.items), "nothing has grown old", output);
            if !plan.items.is_empty() {
                output.remark(format!(
                    "{} rows, about {}, would go; `trainmaster retention run` lets them",
                    format::whole(plan.rows),
                    format::bytes(plan.bytes)
                ));
            }
        }
        RetentionCommand::Run => {
            let done: Done = client.post("/v1/retention/run", None, None).await?;
            if output.is_json() {
                output.json(&done)?;
                return Ok(ExitCode::SUCCESS);
            }
            print(&table(&done.gone), "nothing has gone", output);
            if !done.kept.is_empty() {
                output.remark(format!(
                    "{} are needed after all, or had gone already",
                    done.kept.len()
                ));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(items: &[Item]) -> Table {
    let mut table = Table::new(&["TRAINING", "WHAT", ">ROWS", ">SIZE", "WHY"]);
    for item in items {
        let (what, why) = match &item.what {
            What::Metrics { before } => (
                "metrics".to_owned(),
                format!("before {}", format::time(*before)),
            ),
            What::Checkpoint { step, expired, .. } => (
                format!("checkpoint {step}"),
                if *expired { "old" } else { "superseded" }.to_owned(),
            ),
            What::Activations { keep_top, minimum } => (
                "activations".to_owned(),
                format!("beyond the top {keep_top}, or below {minimum}"),
            ),
        };
        table.row(vec![
            item.training_id.clone(),
            what,
            format::whole(item.rows),
            format::bytes(item.bytes),
            why,
        ]);
    }
    table
}
