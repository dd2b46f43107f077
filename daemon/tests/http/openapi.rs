//! The OpenAPI document says what there is, and what there is answers.

use crate::fixture::Interface;
use axum::{body::Body, http::Request};
use serde_json::Value;
use std::collections::BTreeSet;
use trainmaster_domain::{
    hyperparameters::{ActivationFunction, Hyperparameters},
    segmentation::SegmentationSettings,
    slurm::SlurmResources,
};

/// Every `$ref` of a document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get("$ref") {
                found.insert(target.clone());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_is_whole() {
    let interface = Interface::new().await;
    let document = interface.get("/openapi.json").await.body;
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3.1"),
        "{}",
        document["openapi"]
    );
    assert_eq!(document["info"]["title"], "trainmaster");
    let mut targets = BTreeSet::new();
    references(&document, &mut targets);
    assert!(targets.len() > 5, "{targets:?}");
    for target in targets {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{target} leads nowhere"
        );
    }
    let mut operations = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(operations.insert(id.to_owned()), "{id} is there twice");
            assert!(
                operation["summary"].is_string(),
                "{method} {path} has no summary"
            );
            let declared = operation["parameters"].as_array();
            for part in path.split('/').filter_map(|part| part.strip_prefix('{')) {
                let name = part.trim_end_matches('}');
                let found = declared
                    .into_iter()
                    .flatten()
                    .any(|parameter| parameter["in"] == "path" && parameter["name"] == name);
                assert!(found, "{method} {path} does not declare {name}");
            }
        }
    }
}

#[tokio::test]
async fn every_operation_of_the_document_is_answered() {
    let interface = Interface::new().await;
    let document = interface.get("/openapi.json").await.body;
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let filled = path.replace("{id}", "tr_1").replace("{read_model}", "none");
            if filled.ends_with("/stream") {
                continue;
            }
            let request = Request::builder()
                .method(method.to_uppercase().as_str())
                .uri(&filled)
                .body(Body::empty())
                .unwrap();
            let answer = interface.send(request).await;
            assert!(
                !["route_not_found", "method_not_allowed"].contains(&answer.code()),
                "{method} {filled}: {answer:?}"
            );
            asked += 1;
        }
    }
    assert!(asked >= 22, "{asked}");
}

#[tokio::test]
async fn the_schema_of_hyperparameters_names_all_of_them_with_their_defaults() {
    let interface = Interface::new().await;
    let document = interface.get("/openapi.json").await.body;
    let properties = document["components"]["schemas"]["Hyperparameters"]["properties"]
        .as_object()
        .unwrap();
    let every = Hyperparameters {
        layer: Some(1),
        hooks: Some(vec![]),
        activation_function: Some(ActivationFunction::Relu),
        top_k: Some(1),
        jump_threshold: Some(1.0),
        jump_bandwidth: Some(1.0),
        aux_k_coefficient: Some(1.0),
        aux_k: Some(1),
        resample_interval: Some(1),
        gradient_clip: Some(1.0),
        sparsity_warmup_steps: Some(1),
        buffer_tokens: Some(1),
        evaluation_tokens: Some(1),
        cache_activations: Some(true),
        ..Hyperparameters::default()
    };
    let every = serde_json::to_value(every).unwrap();
    let names: BTreeSet<&String> = every.as_object().unwrap().keys().collect();
    assert_eq!(properties.keys().collect::<BTreeSet<_>>(), names);
    let defaults = serde_json::to_value(Hyperparameters::default()).unwrap();
    for (name, schema) in properties {
        if let Some(default) = schema.get("default") {
            assert_eq!(default.as_f64(), defaults[name].as_f64(), "{name}");
            if default.as_f64().is_none() {
                assert_eq!(default, &defaults[name], "{name}");
            }
        }
    }
}

#[tokio::test]
async fn the_schemas_of_segmentations_and_placements_are_the_domain_s() {
    let interface = Interface::new().await;
    let document = interface.get("/openapi.json").await.body;
    let names = |schema: &str| -> BTreeSet<String> {
        let properties = &document["components"]["schemas"][schema]["properties"];
        properties.as_object().unwrap().keys().cloned().collect()
    };
    let fields =
        |value: Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let settings = SegmentationSettings {
        classes: Some(2),
        ..SegmentationSettings::default()
    };
    let settings = serde_json::to_value(settings).unwrap();
    assert_eq!(names("SegmentationSettings"), fields(settings.clone()));
    let schema = &document["components"]["schemas"]["SegmentationSettings"]["properties"];
    for (name, of_name) in schema.as_object().unwrap() {
        if let Some(default) = of_name.get("default") {
            assert_eq!(default.as_f64(), settings[name].as_f64(), "{name}");
        }
    }
    let defaults = interface.get("/v1/segmentation-settings").await.body;
    let own = serde_json::to_value(SegmentationSettings::default()).unwrap();
    assert_eq!(defaults, own);
    let resources = SlurmResources {
        cpus: Some(1),
        memory_mib: Some(1),
        gpus: Some(1),
        partition: Some("p".into()),
        account: Some("a".into()),
        qos: Some("q".into()),
        time_limit_minutes: Some(1),
        array_limit: Some(1),
    };
    let resources = serde_json::to_value(resources).unwrap();
    assert_eq!(names("SlurmResources"), fields(resources));
}
