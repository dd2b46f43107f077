//! How far long work is, for whoever waits for it.

/// How far long work is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Progress {
    /// What is done.
    pub done: u64,
    /// What there is, about.
    pub total: u64,
    /// Of what: `events`, `files`.
    pub unit: &'static str,
}
