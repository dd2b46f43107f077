//! Text that people give to things.

use super::CommandError;

/// One line: neither NUL, which Postgres cannot hold, nor what would break a table.
pub(super) fn line(field: &'static str, text: Option<&str>) -> Result<(), CommandError> {
    if text.is_some_and(|text| text.chars().any(char::is_control)) {
        return Err(CommandError::Invalid {
            field,
            problem: "it must be one line without control characters".to_owned(),
        });
    }
    Ok(())
}
