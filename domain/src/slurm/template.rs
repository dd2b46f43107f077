//! The script that a run is submitted as: the user's template, filled in.
//!
//! `{{ name }}` stands for a value. A value is text of few characters, none of which means anything to a shell or in a `#SBATCH` line, quoted
//! or not: whatever the template does with it, it stays a part of a word. A literal `{{` is written `{{ "{{" }}`.

mod value;

pub use value::{InvalidValue, Values, WrongCharacter};

/// A template has so many bytes at most, a script twice as many.
pub const MOST_BYTES: usize = 256 << 10;

/// The command that does the work; a template that does not run it does nothing.
const RUN: &str = "run";

/// What a template may name.
pub const VARIABLES: [&str; 8] = [
    "model_name",
    "model_path",
    "images_path",
    "labels_path",
    "timestamp",
    "fold_index",
    "task_number",
    RUN,
];

/// A template that can be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable { name: &'static str, place: Place },
}

/// Where a variable stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    line: usize,
    /// In a line that `sbatch` reads, and no shell.
    option: bool,
}

/// Why a template cannot be used, or not be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No shell is named.
    #[error("must begin with the line of its shell, such as #!/bin/bash")]
    NoShell,
    /// It is too large.
    #[error("has {bytes} bytes; it may have {most}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// It has a character that SLURM refuses.
    #[error("line {line}: {what}")]
    Forbidden {
        /// The line, from 1.
        line: usize,
        /// What it has.
        what: &'static str,
    },
    /// `{{` without `}}`.
    #[error(
        "line {line}: {{{{ is not closed by }}}} on the same line; a literal {{{{ is written {{{{ \"{{{{\" }}}}"
    )]
    NotClosed {
        /// The line, from 1.
        line: usize,
    },
    /// A name that stands for nothing.
    #[error("line {line}: there is no variable {name:?}; there are {}", VARIABLES.join(", "))]
    Unknown {
        /// The line, from 1.
        line: usize,
        /// The name.
        name: String,
    },
    /// It does not do the work.
    #[error(
        "never runs the work: it needs {{{{ run }}}}, best as its last line, exec {{{{ run }}}}"
    )]
    NoRun,
    /// A variable has no value for this run.
    #[error(
        "line {line}: {name} has no value for this run; leave it out of this template, or use another template for such runs"
    )]
    Missing {
        /// The line, from 1.
        line: usize,
        /// The variable.
        name: &'static str,
    },
    /// A value cannot stand in a script.
    #[error(transparent)]
    Value(#[from] InvalidValue),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`], with the line.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MOST_BYTES {
            return Err(TemplateError::TooLarge {
                bytes: text.len(),
                most: MOST_BYTES,
            });
        }
        if !text.starts_with("#!/") {
            return Err(TemplateError::NoShell);
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        for (number, content) in text.split_inclusive('\n').enumerate() {
            let place = Place {
                line: number + 1,
                option: content.starts_with("#SBATCH"),
            };
            forbidden(content, place.line)?;
            let mut rest = content;
            while let Some((before, after)) = rest.split_once("{{") {
                let (name, after) =
                    closed(after).ok_or(TemplateError::NotClosed { line: place.line })?;
                literal.push_str(before);
                rest = after;
                if name == "\"{{\"" {
                    literal.push_str("{{");
                    continue;
                }
                let known = VARIABLES.into_iter().find(|known| *known == name);
                let name = known.ok_or_else(|| TemplateError::Unknown {
                    line: place.line,
                    name: name.chars().take(100).collect(),
                })?;
                parts.push(Part::Text(std::mem::take(&mut literal)));
                parts.push(Part::Variable { name, place });
            }
            literal.push_str(rest);
        }
        parts.push(Part::Text(literal));
        let template = Self { parts };
        if !template.variables().contains(&RUN) {
            return Err(TemplateError::NoRun);
        }
        Ok(template)
    }

    /// The variables that it names, in the order of [`VARIABLES`].
    #[must_use]
    pub fn variables(&self) -> Vec<&'static str> {
        VARIABLES
            .into_iter()
            .filter(|wanted| {
                self.parts
                    .iter()
                    .any(|part| matches!(part, Part::Variable { name, .. } if name == wanted))
            })
            .collect()
    }

    /// Whether the shell becomes the work (`exec {{ run }}`). Otherwise the signals that SLURM sends before the time limit reach a shell,
    /// which they end.
    #[must_use]
    pub fn becomes_the_run(&self) -> bool {
        self.parts.windows(2).any(|pair| {
            matches!(pair, [Part::Text(before), Part::Variable { name: RUN, .. }]
            if before.lines().next_back().is_some_and(|line| {
                !before.ends_with('\n') && line.split_whitespace().next() == Some("exec")
            }))
        })
    }

    /// The script with these values.
    ///
    /// # Errors
    /// A variable that it names has no value, or one that cannot stand in a script.
    pub fn fill(&self, values: &Values<'_>) -> Result<String, TemplateError> {
        let mut script = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => script.push_str(text),
                Part::Variable { name, place } => {
                    let value = values.text(name, place.option)?;
                    script.push_str(&value.ok_or(TemplateError::Missing {
                        line: place.line,
                        name,
                    })?);
                }
            }
        }
        if script.len() > 2 * MOST_BYTES {
            return Err(TemplateError::TooLarge {
                bytes: script.len(),
                most: 2 * MOST_BYTES,
            });
        }
        Ok(script)
    }
}

/// What stands before `}}` on the same line, and what follows. A literal `{{` in quotes is one name.
fn closed(after: &str) -> Option<(&str, &str)> {
    let (name, rest) = after.split_once("}}")?;
    (!name.contains('\n')).then(|| (name.trim(), rest))
}

fn forbidden(content: &str, line: usize) -> Result<(), TemplateError> {
    let what = if content.contains('\0') {
        "a NUL character, which SLURM refuses"
    } else if content.contains('\r') {
        "a carriage return, which SLURM refuses: save the file with Unix line ends (dos2unix)"
    } else {
        return Ok(());
    };
    Err(TemplateError::Forbidden { line, what })
}

#[cfg(test)]
mod tests;
