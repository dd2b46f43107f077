//! Where a page ended: the time and the id of its last row.

use chrono::{DateTime, Utc};

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) created_at: DateTime<Utc>,
    pub(super) id: String,
}

/// Text that is not the end of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("after: it is not what a page gave as `next`; leave it out to begin at the first page")]
pub struct InvalidCursor;

impl Cursor {
    pub(super) const fn new(created_at: DateTime<Utc>, id: String) -> Self {
        Self { created_at, id }
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.created_at.timestamp_micros(), self.id)
    }
}

impl std::str::FromStr for Cursor {
    type Err = InvalidCursor;
    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (micros, id) = text.split_once('.').ok_or(InvalidCursor)?;
        let created_at = micros
            .parse()
            .ok()
            .and_then(DateTime::from_timestamp_micros)
            .ok_or(InvalidCursor)?;
        if id.is_empty() || id.len() > 255 || id.contains('\0') {
            return Err(InvalidCursor);
        }
        Ok(Self::new(created_at, id.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is_one() {
        let cursor = Cursor::new(DateTime::UNIX_EPOCH, "ds_1.x".to_owned());
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "1", "1.", "x.y", "99999999999999999999.a", "1.\0"] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text:?}");
        }
    }
}
