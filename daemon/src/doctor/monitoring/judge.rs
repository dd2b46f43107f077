//! What is thought of the rows of each query; each function is called as the file of its query, whose header says the same in words.

mod server;
mod work;

pub(super) use server::*;
pub(super) use work::*;

use super::{Report, Row};
use crate::doctor::size;

fn number(row: &Row, column: &str) -> f64 {
    row.get(column).and_then(Row::as_f64).unwrap_or_default()
}

fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column).and_then(Row::as_str).unwrap_or_default()
}

fn holds(row: &Row, column: &str) -> bool {
    row.get(column).and_then(Row::as_bool).unwrap_or_default()
}

/// Sizes are whole numbers of bytes well below 2^53.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "see above"
)]
fn bytes(row: &Row, column: &str) -> String {
    size(number(row, column).max(0.0) as u64)
}

fn table(row: &Row) -> String {
    format!("{}.{}", text(row, "schema_name"), text(row, "table_name"))
}
