//! `spec.json`, as the trainer reads it.

use trainmaster_domain::run::spec::{RunSpec, Work};

/// What can be read says the same when it is written and read again, and is checked.
pub fn run(data: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<RunSpec>(data) else {
        return;
    };
    let written = serde_json::to_vec(&spec).expect("a spec can be written");
    let again: RunSpec = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(again, spec);
    if let Work::Train(train) = &spec.work {
        let _ = train.hyperparameters.validate();
        let _ = train.hyperparameters.sites(12);
    }
}
