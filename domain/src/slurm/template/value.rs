//! What a template's variables stand for.

use std::borrow::Cow;

/// What a template's variables stand for in one submission. What a run does not have is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values<'a> {
    /// What the run's model is called.
    pub model_name: Option<&'a str>,
    /// Where the result comes to be.
    pub model_path: Option<&'a str>,
    /// Where the images are.
    pub images_path: Option<&'a str>,
    /// Where their labels are.
    pub labels_path: Option<&'a str>,
    /// When it was submitted, such as `20261120T143048Z`.
    pub timestamp: Option<&'a str>,
    /// The fold; none: every task of the array has its own, and the shell is told by SLURM which one it is.
    pub fold_index: Option<u16>,
    /// The number of tasks of the submission.
    pub task_number: u32,
    /// The trainer on the nodes.
    pub trainer: &'a str,
    /// The submission directory.
    pub directory: &'a str,
}

/// What `fold_index` is where each task has its own: for the shell, and in the file names of a `#SBATCH` line.
const OF_SHELL: &str = "${SLURM_ARRAY_TASK_ID}";
const OF_OPTION: &str = "%a";

/// A value has so many bytes at most.
const MOST_BYTES: usize = 4096;

/// A value that cannot stand in a script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} cannot stand in a script: {why} (it is {value:?})")]
pub struct InvalidValue {
    /// The variable.
    pub name: &'static str,
    /// Why, and what to do.
    pub why: WrongCharacter,
    /// The value, cut off after 200 characters.
    pub value: String,
}

/// What a value has that a script could take for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongCharacter {
    /// Nothing at all.
    #[error("it is empty, and what stands around it would mean something else")]
    Empty,
    /// Too much.
    #[error("it has more than {MOST_BYTES} bytes")]
    TooLong,
    /// It looks like an option.
    #[error("it begins with '-', like an option; give a name or path that does not")]
    Option,
    /// A character with a meaning.
    #[error(
        "it has the character {0:?}, which a shell could understand; rename what is meant, so that it has only letters, digits and . _ / + : @ \
         % = , -"
    )]
    Character(char),
}

/// Whether no shell, quoted or not, and no `#SBATCH` line makes anything of it. Letters are those of any script: their bytes mean nothing to
/// a shell.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '/' | '+' | ':' | '@' | '%' | '=' | ',' | '-')
}

fn plain<'a>(name: &'static str, value: &'a str) -> Result<&'a str, InvalidValue> {
    let wrong = if value.is_empty() {
        Some(WrongCharacter::Empty)
    } else if value.len() > MOST_BYTES {
        Some(WrongCharacter::TooLong)
    } else if value.starts_with('-') {
        Some(WrongCharacter::Option)
    } else {
        let other = value.chars().find(|c| !is_plain(*c));
        other.map(WrongCharacter::Character)
    };
    match wrong {
        None => Ok(value),
        Some(why) => Err(InvalidValue {
            name,
            why,
            value: value.chars().take(200).collect(),
        }),
    }
}

impl Values<'_> {
    /// What stands for a variable; none: it has no value. `option`: in a line that `sbatch` reads.
    pub(super) fn text(
        &self,
        name: &'static str,
        option: bool,
    ) -> Result<Option<Cow<'_, str>>, InvalidValue> {
        let given = match name {
            "model_name" => self.model_name,
            "model_path" => self.model_path,
            "images_path" => self.images_path,
            "labels_path" => self.labels_path,
            "timestamp" => self.timestamp,
            "fold_index" => {
                return Ok(Some(match (self.fold_index, option) {
                    (Some(fold), _) => fold.to_string().into(),
                    (None, false) => OF_SHELL.into(),
                    (None, true) => OF_OPTION.into(),
                }));
            }
            "task_number" => return Ok(Some(self.task_number.to_string().into())),
            _ => {
                let trainer = plain("the path of the trainer", self.trainer)?;
                let directory = plain("the path of the state directory", self.directory)?;
                return Ok(Some(format!("{trainer} slurm {directory}").into()));
            }
        };
        given
            .map(|value| plain(name, value).map(Cow::Borrowed))
            .transpose()
    }
}
