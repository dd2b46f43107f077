//! What there is to run on.

/// A device and how many runs it takes at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// `cpu` or `cuda:<n>`.
    pub name: String,
    /// Runs at the same time.
    pub slots: usize,
}

impl Device {
    /// The processor, one run at a time.
    #[must_use]
    pub fn cpu() -> Self {
        Self {
            name: "cpu".to_owned(),
            slots: 1,
        }
    }
}
