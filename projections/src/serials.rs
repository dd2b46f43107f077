use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The next serial id of each table that has one, kept with the read model's position. A database sequence would not do:
/// it advances with attempts that were rolled back, so a rebuild would number rows differently.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Serials(BTreeMap<String, i64>);

impl Serials {
    /// The first of `count` ids that nothing else will get; 1 is the first of a table.
    pub(crate) fn reserve(&mut self, table: &str, count: usize) -> i64 {
        let next = self.0.entry(table.to_owned()).or_insert(1);
        let first = *next;
        *next = first.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
        first
    }
}
