//! What is said in rows: the training's facts, its hyperparameters, its evaluation.

use super::html::{escaped, number};
use crate::queries::{Evaluation, TrainingDetail};
use serde_json::Value;
use trainmaster_domain::run::journal::EvaluatedSite;

/// Names and values.
fn pairs<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let rows: String = rows
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| {
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
                escaped(name),
                escaped(&value)
            )
        })
        .collect();
    format!("<table class=\"pairs\">{rows}</table>")
}

/// What it is and how it went.
pub(super) fn facts(detail: &TrainingDetail) -> String {
    let training = &detail.training;
    let named = |name: &Option<String>, id: &str| match name {
        Some(name) => format!("{name} ({id})"),
        None => id.to_owned(),
    };
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map_or_else(String::new, |at| {
            at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
        })
    };
    let value = |value: Option<f64>| value.map_or_else(String::new, number);
    let took = match (training.started_at, training.completed_at) {
        (Some(started), Some(completed)) => {
            let seconds = (completed - started).num_seconds().max(0);
            format!(
                "{}:{:02}:{:02}",
                seconds / 3_600,
                seconds % 3_600 / 60,
                seconds % 60
            )
        }
        _ => String::new(),
    };
    let latest = detail.latest.as_ref();
    pairs([
        ("status", training.status.clone()),
        (
            "steps",
            format!("{} of {}", training.current_step, training.total_steps),
        ),
        ("model", named(&training.model_name, &training.model_id)),
        (
            "dataset",
            named(&training.dataset_name, &training.dataset_id),
        ),
        ("encoder", training.encoder_type.clone()),
        ("loss", value(training.latest_loss)),
        ("L0", value(training.latest_sparsity)),
        (
            "explained variance",
            value(latest.and_then(|latest| latest.explained_variance)),
        ),
        (
            "dead latents",
            training
                .latest_dead_neurons
                .map_or_else(String::new, |dead| dead.to_string()),
        ),
        ("queued", time(Some(training.created_at))),
        ("begun", time(training.started_at)),
        ("ended", time(training.completed_at)),
        ("took", took),
        ("retries", training.retry_count.to_string()),
        ("error", training.error_message.clone().unwrap_or_default()),
    ])
}

/// How it was trained.
pub(super) fn hyperparameters(all: &Value) -> String {
    let fields = all.as_object().into_iter().flatten();
    pairs(fields.map(|(name, value)| {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        (name.as_str(), value)
    }))
}

/// The newest evaluation; nothing where there is none.
pub(super) fn evaluation(evaluations: &[Evaluation]) -> Option<String> {
    let newest = evaluations.first()?;
    let rows: String = newest.sites.iter().map(site).collect();
    Some(format!(
        "<p class=\"facts\">on held-out tokens, at step {}</p><table><thead><tr><th>layer</th><th>hook</th><th>explained \
         variance</th><th>L0</th><th>dead</th><th>dense</th><th>CE clean</th><th>CE spliced</th><th>CE ablated</th>\
         <th>CE score</th><th>tokens</th></tr></thead><tbody>{rows}</tbody></table>",
        newest.step
    ))
}

fn site(site: &EvaluatedSite) -> String {
    let hook = serde_json::to_value(site.hook).unwrap_or_default();
    let or_none = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
    let cells = [
        site.layer.to_string(),
        hook.as_str().unwrap_or_default().to_owned(),
        number(site.explained_variance),
        number(site.active_latents),
        site.dead_latents.to_string(),
        site.dense_latents.to_string(),
        number(site.ce_clean),
        or_none(site.ce_spliced),
        number(site.ce_ablated),
        or_none(site.ce_score),
        site.tokens.to_string(),
    ];
    let cells: String = cells
        .iter()
        .map(|cell| format!("<td>{}</td>", escaped(cell)))
        .collect();
    format!("<tr>{cells}</tr>")
}
