//! The trainmaster-trainer program.
fn main() {}
