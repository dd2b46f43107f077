//! `feature`: list, show, name, describe, mark, export.

mod export;
mod show;

use super::{
    arguments::{FeatureCommand, FeatureListArguments},
    client::{Client, with_query},
    failure::Failure,
    format,
    output::Output,
    register::{self, Answer},
    table::Table,
};
use crate::queries::{Feature, FeatureDetail, Page};
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) async fn run(
    client: &Client,
    command: FeatureCommand,
    output: Output,
) -> Result<ExitCode, Failure> {
    match command {
        FeatureCommand::Ls(arguments) => list(client, *arguments, output).await,
        FeatureCommand::Show { id, examples } => {
            let path = format!("/v1/features/{id}?examples={examples}");
            let detail: FeatureDetail = client.get(&path).await?;
            if output.is_json() {
                output.json(&detail)?;
            } else {
                let style = show::Style::of_terminal();
                for line in show::lines(&detail, style) {
                    output.line(line);
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        FeatureCommand::Name { id, name } => {
            edit(client, id, json!({ "name": name }), output).await
        }
        FeatureCommand::Describe { id, description } => {
            edit(client, id, json!({ "description": description }), output).await
        }
        FeatureCommand::Favorite { id, undo } => {
            edit(client, id, json!({ "is_favorite": !undo }), output).await
        }
        FeatureCommand::Hide { id, undo } => {
            edit(client, id, json!({ "is_hidden": !undo }), output).await
        }
        FeatureCommand::Export {
            training,
            output: file,
        } => export::export(client, &training, file, output).await,
    }
}

async fn edit(client: &Client, id: i64, body: Value, output: Output) -> Result<ExitCode, Failure> {
    let answer: Answer = client.patch(&format!("/v1/features/{id}"), body).await?;
    if output.is_json() {
        output.json(&answer)?;
    } else {
        output.line(&answer.id);
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(
    client: &Client,
    arguments: FeatureListArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let sort = match arguments.sort.as_str() {
        "frequency" => "activation_frequency",
        "score" => "interpretability_score",
        "neuron" => "neuron_index",
        "max" => "max_activation_value",
        other => other,
    };
    let order = match (arguments.asc, arguments.desc) {
        (true, _) => Some("asc"),
        (_, true) => Some("desc"),
        _ => None,
    };
    let hidden = match (arguments.hidden, arguments.all) {
        (true, _) => Some("true"),
        (_, true) => Some("any"),
        _ => None,
    };
    let path = format!(
        "/v1/trainings/{}/features",
        super::client::encode(&arguments.training)
    );
    let (mut rows, mut after): (Vec<Feature>, Option<String>) = (Vec::new(), None);
    let most = arguments.limit as usize;
    while rows.len() < most {
        let path = with_query(
            &path,
            &[
                ("sort", Some(sort.to_owned())),
                ("order", order.map(str::to_owned)),
                ("layer", arguments.layer.map(|layer| layer.to_string())),
                ("favorite", arguments.favorite.then(|| "true".to_owned())),
                ("hidden", hidden.map(str::to_owned)),
                (
                    "min_frequency",
                    arguments.min_frequency.map(|f| f.to_string()),
                ),
                (
                    "max_frequency",
                    arguments.max_frequency.map(|f| f.to_string()),
                ),
                ("search", arguments.search.clone()),
                ("limit", Some((most - rows.len()).min(500).to_string())),
                ("after", after),
            ],
        );
        let page: Page<Feature> = client.get(&path).await?;
        rows.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    if output.is_json() {
        output.json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&[
        "ID",
        "LAYER",
        ">NEURON",
        ">FREQUENCY",
        ">MAX",
        ">SCORE",
        "",
        "NAME",
    ]);
    for row in &rows {
        let measure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), format::measure);
        table.row(vec![
            row.id.to_string(),
            row.layer
                .map_or_else(String::new, |layer| layer.to_string()),
            row.neuron_index.to_string(),
            format::measure(row.activation_frequency),
            measure(row.max_activation_value),
            measure(row.interpretability_score),
            match (row.is_favorite, row.is_hidden) {
                (true, false) => "★".to_owned(),
                (false, true) => "hidden".to_owned(),
                (true, true) => "★ hidden".to_owned(),
                (false, false) => String::new(),
            },
            format::short(&show::harmless(row.name.as_deref().unwrap_or("-")), 60),
        ]);
    }
    register::print(
        &table,
        "no features; `trainmaster extract` finds them",
        output,
    );
    Ok(ExitCode::SUCCESS)
}
