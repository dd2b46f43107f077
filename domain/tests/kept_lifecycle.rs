//! What can become of templates and presets.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "samples/events.rs"]
mod sample_events;

use sample_events::kept::{extraction_template, preset, training_template};
use serde_json::{Value, json};
use trainmaster_domain::{
    Aggregate, Category, StreamId,
    extraction_template::ExtractionTemplate,
    hyperparameters::Hook,
    kept::{Definition, Kept, KeptCommand, KeptRefusal},
    preset::Preset,
    training_template::{TrainingTemplate, TrainingTemplateEvent},
};

fn act<D: Definition>(kept: &mut Kept<D>, command: KeptCommand<D>) -> Vec<&'static str> {
    let events = kept.decide(command).unwrap();
    for event in &events {
        kept.evolve(event).unwrap();
    }
    events.iter().map(D::event_type).collect()
}

fn made<D: Definition>(definition: D) -> Kept<D> {
    let mut kept = Kept::default();
    act(&mut kept, KeptCommand::Create(Box::new(definition)));
    kept
}

fn update<D>(patch: Value, is_favorite: Option<bool>) -> KeptCommand<D> {
    KeptCommand::Update {
        patch: patch.as_object().unwrap().clone(),
        is_favorite,
    }
}

#[test]
fn a_template_is_made_changed_marked_and_deleted_and_its_id_is_used_up() {
    let mut kept = Kept::<TrainingTemplate>::default();
    let create = || KeptCommand::Create(Box::new(training_template()));
    assert_eq!(act(&mut kept, create()), ["TrainingTemplateCreated"]);
    assert_eq!(
        kept.decide(create()),
        Err(KeptRefusal::Exists("training template"))
    );
    let both = update(
        json!({"name": "other", "model_id": null, "hyperparameters": {"seed": 7}}),
        Some(true),
    );
    assert_eq!(
        act(&mut kept, both.clone()),
        ["TrainingTemplateUpdated", "TrainingTemplateFavourited"]
    );
    assert_eq!(act(&mut kept, both), Vec::<&str>::new());
    let now = kept.definition().unwrap();
    assert_eq!((now.name.as_str(), &now.model_id), ("other", &None));
    assert_eq!(now.hyperparameters.seed, 7);
    assert_eq!(now.hyperparameters.batch_size, 256);
    assert_eq!(now.dataset_id, training_template().dataset_id);
    assert_eq!(
        act(&mut kept, KeptCommand::Delete),
        ["TrainingTemplateDeleted"]
    );
    assert!(kept.is_deleted());
    for command in [KeptCommand::Delete, update(json!({}), Some(false))] {
        assert_eq!(
            kept.decide(command),
            Err(KeptRefusal::Deleted("training template"))
        );
    }
    assert_eq!(
        kept.decide(create()),
        Err(KeptRefusal::Exists("training template"))
    );
    assert!(
        kept.evolve(&TrainingTemplateEvent::TrainingTemplateDeleted {})
            .is_err()
    );
}

#[test]
fn what_was_never_made_can_neither_be_changed_nor_deleted() {
    let kept = Kept::<Preset>::default();
    for command in [KeptCommand::Delete, update(json!({"name": "x"}), None)] {
        assert_eq!(kept.decide(command), Err(KeptRefusal::Absent("preset")));
    }
}

#[test]
fn a_change_is_checked_as_a_whole() {
    let kept = made(training_template());
    for (patch, says) in [
        (json!({"name": ""}), "name"),
        (json!({"name": "a\nb"}), "name"),
        (json!({"name": null}), "name"),
        (json!({"description": "\u{0}"}), "description"),
        (json!({"colour": "red"}), "colour"),
        (json!({"model_id": "../etc"}), "../etc"),
        (json!({"encoder_type": "dense"}), "dense"),
        (json!({"hyperparameters": {"batchSize": 0}}), "batchSize"),
        (json!({"hyperparameters": {"momentum": 1}}), "momentum"),
        (json!({"hyperparameters": 5}), "hyperparameters"),
    ] {
        let refusal = kept.decide(update(patch.clone(), None)).unwrap_err();
        let text = refusal.to_string();
        assert!(
            text.contains(says) || matches!(refusal, KeptRefusal::Unreadable(_)),
            "{patch}: {text}"
        );
    }
    let kept = made(extraction_template());
    for patch in [
        json!({"layers": []}),
        json!({"layers": [1, 1]}),
        json!({"layers": [5000]}),
        json!({"hook_types": []}),
        json!({"hook_types": ["mlp", "mlp"]}),
        json!({"max_samples": 0}),
        json!({"top_k_examples": 0}),
        json!({"top_k_examples": 10_001}),
    ] {
        assert!(kept.decide(update(patch.clone(), None)).is_err(), "{patch}");
    }
    let kept = made(preset());
    for patch in [
        json!({"features": []}),
        json!({"features": [{"feature_id": 1, "coefficient": 300.5}]}),
        json!({"features": [{"feature_id": 1, "coefficient": -301}]}),
        json!({"features": [{"feature_id": 1, "coefficient": 1}, {"feature_id": 1, "coefficient": 2}]}),
        json!({"intervention_layer": 1024}),
    ] {
        assert!(kept.decide(update(patch.clone(), None)).is_err(), "{patch}");
    }
}

#[test]
fn a_preset_has_no_mark_and_needs_its_training() {
    let kept = made(preset());
    assert_eq!(
        kept.decide(update(json!({}), Some(true))),
        Err(KeptRefusal::NoMark("preset"))
    );
    assert_eq!(kept.needs(&[]), [StreamId::new(Category::Training, "tr_1")]);
}

#[test]
fn what_is_left_out_of_an_extraction_template_has_a_default() {
    let template: ExtractionTemplate =
        serde_json::from_value(json!({"name": "x", "layers": [3], "hook_types": ["mlp"]})).unwrap();
    assert_eq!(template.top_k_examples, 100);
    assert_eq!(
        (template.max_samples, template.hook_types),
        (None, vec![Hook::Mlp])
    );
}
