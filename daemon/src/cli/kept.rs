//! `template`, `extraction-template` and `preset`: ls, show, create, update, favorite, delete.

use super::{
    arguments::kept::{
        CreateExtractionTemplateArguments, CreatePresetArguments, CreateTemplateArguments,
        ExtractionTemplateArguments, FavoriteArguments, KeptCommand, PresetArguments,
        PresetFilterArguments, TemplateArguments,
    },
    client::{Client, encode, with_query},
    failure::Failure,
    format,
    output::Output,
    register::{Answer, print},
    table::{Table, pairs},
    train::assigned,
};
use crate::queries::{ExtractionTemplate, Page, Preset, TrainingTemplate};
use clap::Args;
use hyper::Method;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// A kind of thing that is kept, as the command line shows it.
pub(super) trait Shown: Serialize + DeserializeOwned {
    const COLLECTION: &'static str;
    const NOTHING: &'static str;
    const HEAD: &'static [&'static str];
    fn cells(self) -> Vec<String>;
    fn lines(self) -> Vec<(&'static str, String)>;
}

/// Arguments as what a request says.
pub(super) trait Said {
    fn said(self) -> Result<Map<String, Value>, Failure>;
}

/// Arguments as the filter of a list.
pub(super) trait Filter {
    fn filter(self) -> (&'static str, Option<String>);
}

pub(super) async fn run<T: Shown, C: Args + Said, U: Args + Said, F: Args + Filter>(
    client: &Client,
    command: KeptCommand<C, U, F>,
    output: Output,
) -> Result<ExitCode, Failure> {
    let collection = format!("/v1/{}", T::COLLECTION);
    let one = |id: &str| format!("{collection}/{}", encode(id));
    let (method, path, body, key) = match command {
        KeptCommand::Ls { filter, limit } => {
            return list::<T>(client, &collection, filter.filter(), limit, output).await;
        }
        KeptCommand::Show { id } => {
            let row: T = client.get(&one(&id)).await?;
            if output.is_json() {
                output.json(&row)?;
            } else {
                for line in pairs(&row.lines()) {
                    output.line(line);
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        KeptCommand::Create {
            what,
            idempotency_key,
        } => {
            let mut said = what.said()?;
            said.retain(|_, value| !value.is_null());
            (Method::POST, collection, Some(said), idempotency_key)
        }
        KeptCommand::Update { id, what } => (Method::PATCH, one(&id), Some(what.said()?), None),
        KeptCommand::Favorite { id, off } => {
            let mark = Map::from_iter([("is_favorite".to_owned(), Value::Bool(!off))]);
            (Method::PATCH, one(&id), Some(mark), None)
        }
        KeptCommand::Delete { id } => (Method::DELETE, one(&id), None, None),
    };
    let answer: Answer = client
        .command(&method, &path, body.map(Value::Object), key.as_deref())
        .await?;
    if output.is_json() {
        output.json(&answer)?;
    } else {
        output.line(&answer.id);
    }
    Ok(ExitCode::SUCCESS)
}

async fn list<T: Shown>(
    client: &Client,
    collection: &str,
    filter: (&str, Option<String>),
    limit: u32,
    output: Output,
) -> Result<ExitCode, Failure> {
    let mut rows: Vec<T> = Vec::new();
    let mut after = None;
    while rows.len() < limit as usize {
        let size = (limit as usize - rows.len()).min(500).to_string();
        let parameters = [filter.clone(), ("limit", Some(size)), ("after", after)];
        let page: Page<T> = client.get(&with_query(collection, &parameters)).await?;
        rows.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if output.is_json() {
        output.json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(T::HEAD);
    for row in rows {
        table.row(row.cells());
    }
    print(&table, T::NOTHING, output);
    Ok(ExitCode::SUCCESS)
}

fn star(is_favorite: bool) -> String {
    if is_favorite { "*" } else { "" }.to_owned()
}

impl Shown for TrainingTemplate {
    const COLLECTION: &'static str = "training-templates";
    const NOTHING: &'static str =
        "no training templates; make one with `trainmaster template create NAME`";
    const HEAD: &'static [&'static str] =
        &["ID", "", "NAME", "ENCODER", "MODEL", "DATASET", "MADE"];

    fn cells(self) -> Vec<String> {
        vec![
            self.id,
            star(self.is_favorite),
            format::short(&self.name, 40),
            self.encoder_type,
            self.model_id.unwrap_or_else(|| "any".to_owned()),
            self.dataset_id.unwrap_or_else(|| "any".to_owned()),
            format::time(self.created_at),
        ]
    }

    fn lines(self) -> Vec<(&'static str, String)> {
        let parts: Vec<String> = self
            .hyperparameters
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("{name}={value}").replace('"', ""))
            .collect();
        vec![
            ("template", self.id),
            ("name", self.name),
            ("description", self.description.unwrap_or_default()),
            ("favorite", star(self.is_favorite)),
            ("model", self.model_id.unwrap_or_else(|| "any".to_owned())),
            (
                "dataset",
                self.dataset_id.unwrap_or_else(|| "any".to_owned()),
            ),
            ("encoder", self.encoder_type),
            ("hyperparameters", parts.join(" ")),
            ("made", format::time(self.created_at)),
            ("changed", format::time(self.updated_at)),
        ]
    }
}

impl Shown for ExtractionTemplate {
    const COLLECTION: &'static str = "extraction-templates";
    const NOTHING: &'static str = "no extraction templates; make one with `trainmaster extraction-template create NAME --layers LAYERS`";
    const HEAD: &'static [&'static str] = &[
        "ID",
        "",
        "NAME",
        "LAYERS",
        "HOOKS",
        ">SAMPLES",
        ">EXAMPLES",
        "MADE",
    ];

    fn cells(self) -> Vec<String> {
        vec![
            self.id.clone(),
            star(self.is_favorite),
            format::short(&self.name, 40),
            numbers(&self.layers),
            self.hook_types.join(","),
            samples(self.max_samples),
            self.top_k_examples.to_string(),
            format::time(self.created_at),
        ]
    }

    fn lines(self) -> Vec<(&'static str, String)> {
        vec![
            ("template", self.id),
            ("name", self.name),
            ("description", self.description.unwrap_or_default()),
            ("favorite", star(self.is_favorite)),
            ("layers", numbers(&self.layers)),
            ("hooks", self.hook_types.join(",")),
            ("samples", samples(self.max_samples)),
            ("examples a feature", self.top_k_examples.to_string()),
            ("made", format::time(self.created_at)),
            ("changed", format::time(self.updated_at)),
        ]
    }
}

fn numbers(numbers: &[i32]) -> String {
    let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    texts.join(",")
}

fn samples(most: Option<i32>) -> String {
    most.map_or_else(|| "all".to_owned(), |most| format::whole(most.into()))
}

impl Shown for Preset {
    const COLLECTION: &'static str = "presets";
    const NOTHING: &'static str = "no presets; make one with `trainmaster preset create NAME --training TRAINING --feature ID=COEFFICIENT --layer LAYER`";
    const HEAD: &'static [&'static str] =
        &["ID", "NAME", "TRAINING", ">FEATURES", ">LAYER", "MADE"];

    fn cells(self) -> Vec<String> {
        let features = self.features.as_array().map_or(0, Vec::len);
        vec![
            self.id,
            format::short(&self.name, 40),
            self.training_id,
            features.to_string(),
            self.intervention_layer.to_string(),
            format::time(self.created_at),
        ]
    }

    fn lines(self) -> Vec<(&'static str, String)> {
        let features: Vec<String> = self
            .features
            .as_array()
            .into_iter()
            .flatten()
            .map(|feature| format!("{}={}", feature["feature_id"], feature["coefficient"]))
            .collect();
        vec![
            ("preset", self.id),
            ("name", self.name),
            ("description", self.description.unwrap_or_default()),
            ("training", self.training_id),
            ("features", features.join(" ")),
            ("layer", self.intervention_layer.to_string()),
            ("made", format::time(self.created_at)),
            ("changed", format::time(self.updated_at)),
        ]
    }
}

impl Filter for FavoriteArguments {
    fn filter(self) -> (&'static str, Option<String>) {
        ("favorite", self.favorite.then(|| "true".to_owned()))
    }
}

impl Filter for PresetFilterArguments {
    fn filter(self) -> (&'static str, Option<String>) {
        ("training", self.training)
    }
}

/// What is not given is not said; empty text takes away.
fn said(pairs: Vec<(&str, Option<Value>)>) -> Map<String, Value> {
    pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

fn text(text: Option<String>) -> Option<Value> {
    text.map(Value::String)
}

fn text_or_nothing(text: Option<String>) -> Option<Value> {
    text.map(|text| match text.is_empty() {
        true => Value::Null,
        false => Value::String(text),
    })
}

impl Said for TemplateArguments {
    fn said(self) -> Result<Map<String, Value>, Failure> {
        let hyperparameters = assigned(self.hyperparameters.as_deref(), None, &self.set)?;
        Ok(said(vec![
            ("name", text(self.name)),
            ("description", text_or_nothing(self.description)),
            ("model", text_or_nothing(self.model)),
            ("dataset", text_or_nothing(self.dataset)),
            ("encoder_type", text(self.encoder_type)),
            (
                "hyperparameters",
                (!hyperparameters.is_empty()).then_some(Value::Object(hyperparameters)),
            ),
        ]))
    }
}

impl Said for ExtractionTemplateArguments {
    fn said(self) -> Result<Map<String, Value>, Failure> {
        let samples = self.max_samples.map(|most| match most {
            0 => Value::Null,
            most => json!(most),
        });
        Ok(said(vec![
            ("name", text(self.name)),
            ("description", text_or_nothing(self.description)),
            (
                "layers",
                (!self.layers.is_empty()).then(|| json!(self.layers)),
            ),
            (
                "hook_types",
                (!self.hooks.is_empty()).then(|| json!(self.hooks)),
            ),
            ("max_samples", samples),
            ("top_k_examples", self.top_k_examples.map(|k| json!(k))),
        ]))
    }
}

impl Said for PresetArguments {
    fn said(self) -> Result<Map<String, Value>, Failure> {
        let features: Vec<Value> = self
            .features
            .iter()
            .map(|(id, coefficient)| json!({"feature_id": id, "coefficient": coefficient}))
            .collect();
        Ok(said(vec![
            ("name", text(self.name)),
            ("description", text_or_nothing(self.description)),
            (
                "features",
                (!features.is_empty()).then_some(Value::Array(features)),
            ),
            ("intervention_layer", self.layer.map(|layer| json!(layer))),
        ]))
    }
}

impl Said for CreateTemplateArguments {
    fn said(self) -> Result<Map<String, Value>, Failure> {
        called(self.called, self.rest)
    }
}

impl Said for CreateExtractionTemplateArguments {
    fn said(self) -> Result<Map<String, Value>, Failure> {
        called(self.called, self.rest)
    }
}

impl Said for CreatePresetArguments {
    fn said(self) -> Result<Map<String, Value>, Failure> {
        let mut said = called(self.called, self.rest)?;
        said.insert("training".to_owned(), Value::String(self.training));
        Ok(said)
    }
}

fn called(name: String, rest: impl Said) -> Result<Map<String, Value>, Failure> {
    let mut said = rest.said()?;
    said.entry("name").or_insert(Value::String(name));
    Ok(said)
}
