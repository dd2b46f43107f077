//! Where a page of features ended: how it was sorted, and what its last row had.

use super::{FeatureFilter, FeatureOrder, FeatureSort};
use crate::queries::InvalidCursor;

/// Where a page ended.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureCursor {
    pub(super) sort: FeatureSort,
    pub(super) order: FeatureOrder,
    /// None: the row has none, and stands behind all that have.
    pub(super) value: Option<f64>,
    pub(super) id: i64,
}

impl FeatureCursor {
    /// Whether a list of this sorting gave it.
    #[must_use]
    pub fn is_of(&self, filter: &FeatureFilter) -> bool {
        self.sort == filter.sort && self.order == filter.order
    }
}

impl std::fmt::Display for FeatureCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}~{}~", self.sort.as_str(), self.order.as_str())?;
        if let Some(value) = self.value {
            write!(f, "{value}")?;
        }
        write!(f, "~{}", self.id)
    }
}

impl std::str::FromStr for FeatureCursor {
    type Err = InvalidCursor;
    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let parts: Vec<&str> = text.split('~').collect();
        let [sort, order, value, id] = parts.as_slice() else {
            return Err(InvalidCursor);
        };
        let value = match *value {
            "" => None,
            value => Some(value.parse().map_err(|_| InvalidCursor)?),
        };
        Ok(Self {
            sort: sort.parse().map_err(|_| InvalidCursor)?,
            order: order.parse().map_err(|_| InvalidCursor)?,
            value,
            id: id.parse().map_err(|_| InvalidCursor)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is_one() {
        for value in [None, Some(0.1 + 0.2), Some(-1e-300), Some(12.0)] {
            let cursor = FeatureCursor {
                sort: FeatureSort::InterpretabilityScore,
                order: FeatureOrder::Asc,
                value,
                id: 17_042,
            };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for text in [
            "",
            "~",
            "a~desc~1~2",
            "neuron_index~up~1~2",
            "neuron_index~asc~x~2",
        ] {
            assert_eq!(
                text.parse::<FeatureCursor>(),
                Err(InvalidCursor),
                "{text:?}"
            );
        }
    }
}
