//! The files `control` and `heartbeat`.

use trainmaster_domain::run::{control::Control, journal::Heartbeat};

/// What can be read says the same when it is written and read again.
pub fn run(data: &[u8]) {
    if let Ok(control) = serde_json::from_slice::<Control>(data) {
        let written = serde_json::to_vec(&control).expect("a request can be written");
        assert_eq!(
            serde_json::from_slice::<Control>(&written).ok(),
            Some(control)
        );
    }
    if let Ok(heartbeat) = serde_json::from_slice::<Heartbeat>(data) {
        let written = serde_json::to_vec(&heartbeat).expect("a heartbeat can be written");
        assert_eq!(
            serde_json::from_slice::<Heartbeat>(&written).ok(),
            Some(heartbeat)
        );
    }
}
