//! Wishes as requests.

use super::{
    http::Asked,
    known::{Known, Noun},
    plan::Wish,
};
use crate::history::Draw;
use serde_json::{Value, json};
use std::path::Path;

/// The hyperparameters of the trainings that are asked for: few, so that results can be compared.
pub(super) fn hyperparameters(variant: u64) -> Value {
    json!({
        "trainingSteps": 20 + 20 * (variant % 3),
        "checkpointInterval": 10,
        "batchSize": if variant.is_multiple_of(2) { 64 } else { 128 },
        "expansionFactor": 4,
        "logInterval": 5,
        "layer": 1,
    })
}

/// What to ask for, and what its answer names when it is accepted. None when there is nothing that it could be about.
pub(super) fn asked(wish: Wish, draw: &mut Draw, known: &Known) -> Option<(Asked, Option<Noun>)> {
    let furniture = &known.furniture;
    let post = |path: String, body: Option<Value>| request("POST", path, body);
    let id = |noun, draw: &mut Draw| known.one(noun, draw);
    let feature = |draw: &mut Draw| draw.one_of(furniture.features.iter().copied());
    let name = |draw: &mut Draw| format!("n{:x}", draw.any());
    let asked = match wish {
        Wish::Train => post(
            "/v1/trainings".to_owned(),
            Some(json!({
                "model": furniture.model,
                // Now and then on a dataset that is new, and may not be ready, or that somebody deletes.
                "dataset": draw
                    .one_in(6)
                    .then(|| id(Noun::Dataset, draw))
                    .flatten()
                    .unwrap_or_else(|| furniture.dataset.clone()),
                "hyperparameters": hyperparameters(draw.below(6)),
            })),
        ),
        Wish::Pause | Wish::Resume | Wish::Stop | Wish::Retry => {
            let verb = match wish {
                Wish::Pause => "pause",
                Wish::Resume => "resume",
                Wish::Stop => "stop",
                _ => "retry",
            };
            post(
                format!("/v1/trainings/{}/{verb}", id(Noun::Training, draw)?),
                None,
            )
        }
        Wish::DeleteTraining => delete("trainings", id(Noun::Training, draw)?),
        Wish::Generate => post(
            "/v1/generations".to_owned(),
            Some(json!({
                "model": furniture.model,
                "prompt": "Emma Woodhouse,",
                "sampling": { "maxNewTokens": 4 + draw.below(12), "seed": draw.below(9) },
            })),
        ),
        Wish::Extract => post(
            "/v1/extractions".to_owned(),
            Some(json!({ "training": furniture.training, "max_samples": 4 })),
        ),
        Wish::CancelJob => post(format!("/v1/jobs/{}/cancel", id(Noun::Job, draw)?), None),
        Wish::RetryJob => post(format!("/v1/jobs/{}/retry", id(Noun::Job, draw)?), None),
        Wish::CreatePreset => post(
            "/v1/presets".to_owned(),
            Some(json!({
                "training": furniture.training,
                "name": name(draw),
                "features": [{ "feature_id": feature(draw), "coefficient": 2 }],
                "intervention_layer": 1,
            })),
        ),
        Wish::ChangePreset => request(
            "PATCH",
            format!("/v1/presets/{}", id(Noun::Preset, draw)?),
            Some(json!({ "description": name(draw) })),
        ),
        Wish::DeletePreset => delete("presets", id(Noun::Preset, draw)?),
        Wish::Label => request(
            "PATCH",
            format!("/v1/features/{}", feature(draw)),
            Some(json!({ "name": name(draw), "is_favorite": draw.one_in(2) })),
        ),
        Wish::CreateTemplate => post(
            "/v1/training-templates".to_owned(),
            Some(json!({ "name": name(draw), "hyperparameters": hyperparameters(draw.below(6)) })),
        ),
        Wish::ChangeTemplate => request(
            "PATCH",
            format!("/v1/training-templates/{}", id(Noun::Template, draw)?),
            Some(json!({ "description": name(draw) })),
        ),
        Wish::DeleteTemplate => delete("training-templates", id(Noun::Template, draw)?),
        Wish::AddDataset => post(
            "/v1/datasets".to_owned(),
            Some(json!({
                "text": "Emma Woodhouse, handsome, clever, and rich. ".repeat(40),
                "name": name(draw),
                "tokenizer_model": furniture.model,
                "context_length": 64,
            })),
        ),
        Wish::DeleteDataset => delete("datasets", id(Noun::Dataset, draw)?),
        Wish::AddModel => {
            let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trainer/tests/tiny-llama");
            post(
                "/v1/models".to_owned(),
                Some(json!({ "path": model, "name": name(draw) })),
            )
        }
        Wish::DeleteModel => delete("models", id(Noun::Model, draw)?),
        Wish::RunRetention => post("/v1/retention/run".to_owned(), None),
        Wish::Look => {
            let path = draw.one_of([
                "/v1/trainings",
                "/v1/jobs",
                "/v1/events?limit=20",
                "/v1/projections",
                "/v1/models",
                "/health/db",
                "/v1/retention/plan",
            ]);
            request("GET", path.to_owned(), None)
        }
    };
    let noun = match wish {
        Wish::Train => Some(Noun::Training),
        Wish::Generate | Wish::Extract => Some(Noun::Job),
        Wish::CreatePreset => Some(Noun::Preset),
        Wish::CreateTemplate => Some(Noun::Template),
        Wish::AddDataset => Some(Noun::Dataset),
        Wish::AddModel => Some(Noun::Model),
        _ => None,
    };
    Some((asked, noun))
}

fn request(method: &'static str, path: String, body: Option<Value>) -> Asked {
    Asked { method, path, body }
}

fn delete(collection: &str, id: String) -> Asked {
    request("DELETE", format!("/v1/{collection}/{id}"), None)
}
