//! Questions to whoever sits at the terminal.

use super::failure::Failure;
use std::io::{self, BufRead, Write};

/// Asks on standard error, which is not what a program reads, and answers what was typed, without the blanks around it.
pub(super) fn ask(question: &str) -> Result<String, Failure> {
    let mut err = io::stderr().lock();
    // Whoever cannot be asked does not say yes.
    let _ = write!(err, "{question}");
    let _ = err.flush();
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::failed("not_confirmed", format!("no answer: {error}")))?;
    Ok(answer.trim().to_owned())
}
