//! Schema versions of events, and how an older one becomes the newest.

use serde_json::Value;

/// Makes a payload of a version one of the next version.
type Step = fn(Value) -> Value;

/// The steps of each event type whose JSON has changed: the first leads from version 1 to 2, the second from 2 to 3. Types that are not
/// here have one version. A step, once released, is never changed. An optional field that is added needs none: it is absent
/// in what was stored before.
const STEPS: &[(&str, &[Step])] = &[("ModelRegistered", &[model_without_family])];

/// 2: what is to come from the hub has neither family nor quantization before it is here. Version 1 always has both.
fn model_without_family(payload: Value) -> Value {
    payload
}

/// The newest schema version of an event type.
pub(crate) fn newest(event_type: &str) -> u16 {
    u16::try_from(steps(STEPS, event_type).len() + 1).unwrap_or(u16::MAX)
}

/// Brings a payload of schema version `found` to the newest.
pub(crate) fn upcast(event_type: &str, found: u16, payload: Value) -> Value {
    through(steps(STEPS, event_type), found, payload)
}

fn steps<'a>(table: &'a [(&str, &'a [Step])], event_type: &str) -> &'a [Step] {
    table
        .iter()
        .find(|(name, _)| *name == event_type)
        .map_or(&[], |(_, steps)| steps)
}

fn through(steps: &[Step], found: u16, payload: Value) -> Value {
    steps
        .iter()
        .skip(usize::from(found).saturating_sub(1))
        .fold(payload, |payload, step| step(payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A name became two.
    fn split(mut payload: Value) -> Value {
        let whole = payload["name"].take();
        let (first, last) = whole.as_str().unwrap().split_once(' ').unwrap();
        json!({ "first": first, "last": last })
    }

    /// A field was added that must be there.
    fn honour(mut payload: Value) -> Value {
        payload["title"] = json!("none");
        payload
    }

    #[test]
    fn each_version_takes_the_steps_that_it_lacks() {
        let table: &[(&str, &[Step])] = &[("Other", &[honour]), ("Named", &[split, honour])];
        let named = steps(table, "Named");
        let third = json!({ "first": "Jane", "last": "Austen", "title": "none" });
        assert_eq!(through(named, 1, json!({ "name": "Jane Austen" })), third);
        let second = json!({ "first": "Jane", "last": "Austen" });
        assert_eq!(through(named, 2, second), third);
        assert_eq!(through(named, 3, third.clone()), third);
        assert!(steps(table, "Unknown").is_empty());
    }

    #[test]
    fn the_newest_version_counts_the_steps() {
        assert_eq!(newest("ModelRegistered"), 2);
        assert_eq!(newest("TrainingQueued"), 1);
    }
}
