//! From the hyperparameters that somebody gives to all of them: the others take those of a template, or their defaults.

use crate::commands::CommandError;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use trainmaster_domain::hyperparameters::Hyperparameters;

/// Those of `base`, or the defaults, with what is given in place.
pub(in crate::commands) fn complete(
    base: Option<&Hyperparameters>,
    given: &Map<String, Value>,
) -> Result<Hyperparameters, CommandError> {
    let base = base.cloned().unwrap_or_default();
    overlaid(base, given, CommandError::Hyperparameters)
}

/// What `base` says, with what is given in place; `complaint` is about one name.
pub(in crate::commands) fn overlaid<T: Serialize + DeserializeOwned>(
    base: T,
    given: &Map<String, Value>,
    complaint: fn(String) -> CommandError,
) -> Result<T, CommandError> {
    let mut whole = match serde_json::to_value(&base) {
        Ok(Value::Object(map)) => map,
        Ok(_) => Map::new(),
        Err(error) => return Err(CommandError::Unrepresentable(error)),
    };
    let mut complete = base;
    // One after another, so that a complaint names the one that it is about.
    for (name, value) in given {
        whole.insert(name.clone(), value.clone());
        complete = serde_json::from_value(Value::Object(whole.clone())).map_err(|error| {
            let name: String = name.chars().take(60).collect();
            complaint(format!("{name}: {error}"))
        })?;
    }
    Ok(complete)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn given(value: Value) -> Result<Hyperparameters, CommandError> {
        complete(None, value.as_object().unwrap())
    }

    #[test]
    fn what_is_not_given_is_the_default() {
        let complete = given(json!({ "trainingSteps": 7, "layer": 3 })).unwrap();
        assert_eq!(complete.training_steps, 7);
        assert_eq!(complete.layer, Some(3));
        assert_eq!(complete.seed, Hyperparameters::default().seed);
        assert_eq!(given(json!({})).unwrap(), Hyperparameters::default());
    }

    #[test]
    fn a_complaint_names_what_it_is_about() {
        for (value, name) in [
            (
                json!({ "batchSize": 64, "learningRate": "fast" }),
                "learningRate",
            ),
            (json!({ "trainingSteps": -1 }), "trainingSteps"),
            (json!({ "training_steps": 5 }), "training_steps"),
            (json!({ "optimizer": "Lion" }), "optimizer"),
            (json!({ "layer": 4_294_967_296_u64 }), "layer"),
            (json!({ "learningRate": null }), "learningRate"),
        ] {
            let message = given(value).unwrap_err().to_string();
            assert!(
                message.contains(&format!("hyperparameters: {name}: ")),
                "{message}"
            );
        }
    }
}
