//! The trainmaster program.
fn main() {}
