//! Chat templates: the Jinja templates by which Hugging Face and GGUF files say how a conversation looks to their model.
//!
//! They are rendered as transformers renders them (`apply_chat_template`: block lines trimmed, Python's string methods,
//! `raise_exception`). `strftime_now` is not there, so that a prompt does not depend on the day; templates ask for it before they use it.

use super::{Conventions, GenerationError};
use minijinja::{Environment, Error, ErrorKind, context};
use minijinja_contrib::pycompat;
use std::error::Error as _;
use std::io::{self, Write};

/// Steps that a template may take.
const FUEL: u64 = 1_000_000;

/// Bytes that a template may write: many times what the longest prompt becomes.
const MAX_BYTES: usize = 1024 * 1024;

/// `prompt` as the only user's turn of a conversation, up to where the model's answer begins.
///
/// # Errors
/// [`GenerationError::NoChatTemplate`], [`GenerationError::ChatTemplate`].
pub fn as_conversation(conventions: &Conventions, prompt: &str) -> Result<String, GenerationError> {
    let template = conventions
        .chat_template
        .as_deref()
        .ok_or(GenerationError::NoChatTemplate)?;
    let mut written = Bounded(Vec::new());
    render(template, conventions, prompt, &mut written).map_err(|error| {
        GenerationError::ChatTemplate {
            detail: said(&error),
        }
    })?;
    String::from_utf8(written.0).map_err(|error| GenerationError::ChatTemplate {
        detail: error.to_string(),
    })
}

/// What an error says, its causes included, in one line.
fn said(error: &Error) -> String {
    // Further lines quote the template.
    let first_line = |error: &dyn std::error::Error| {
        error
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let mut said = first_line(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {}", first_line(error));
        cause = error.source();
    }
    said
}

fn render(
    template: &str,
    conventions: &Conventions,
    prompt: &str,
    written: &mut Bounded,
) -> Result<(), Error> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<(), Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment
        .template_from_str(template)?
        .render_captured_to(
            context! {
                messages => [context! { role => "user", content => prompt }],
                add_generation_prompt => true,
                bos_token => conventions.begin_text.as_deref().unwrap_or_default(),
                eos_token => conventions.end_text.as_deref().unwrap_or_default(),
            },
            written,
        )?;
    Ok(())
}

/// Takes so much and no more.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_BYTES {
            return Err(io::Error::other("it writes more than any prompt needs"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
