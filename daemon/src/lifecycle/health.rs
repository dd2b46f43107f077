//! Which components are up.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Which components are up. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, bool>>>);

impl Health {
    /// Notes that a component is up or down.
    pub fn set(&self, component: &'static str, up: bool) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(component, up);
    }

    /// The components that are down.
    #[must_use]
    pub fn down(&self) -> Vec<&'static str> {
        let components = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        components
            .iter()
            .filter(|(_, up)| !**up)
            .map(|(name, _)| *name)
            .collect()
    }
}
