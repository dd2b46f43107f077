//! Text of this machine becomes known as a dataset.

use super::{Accepted, Caller, CommandError, Commands, caller::digest, source, text};
use serde::{Deserialize, Serialize};
use trainmaster_domain::{
    dataset::{Dataset, DatasetCommand, DatasetSource, Downloaded, Registered},
    id::{DatasetId, ModelId},
    model::{Model, ModelStatus},
};
use utoipa::ToSchema;

/// Text that is on this machine.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddDataset {
    /// A `.txt` or `.jsonl` file, or a directory of such files: an absolute path on the daemon's machine.
    #[schema(example = "/srv/books")]
    pub path: String,
    /// The model whose tokenizer reads it: an id, or a name that only one model has.
    pub tokenizer_model: String,
    /// What people call it; else the name of the file or directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For JSONL: the field that holds the text; else `text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_column: Option<String>,
    /// Tokens in a packed sequence; else 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 2, maximum = 1_048_576)]
    pub context_length: Option<u32>,
}

/// Tokens in a packed sequence, unless asked otherwise.
pub const DEFAULT_CONTEXT_LENGTH: u32 = 256;

const ROUTE: &str = "datasets";

impl Commands {
    /// Registers a dataset.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn add_dataset(
        &self,
        command: AddDataset,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        let content = digest(&command)?;
        let id = DatasetId::mint(&caller.identity(ROUTE))?;
        if let Some(before) = self
            .registered_before::<Dataset>(id.as_str(), caller, ROUTE, &content)
            .await?
        {
            return Ok(before);
        }
        text::line("name", command.name.as_deref())?;
        text::line("text_column", command.text_column.as_deref())?;
        let description = command.description;
        if description
            .as_ref()
            .is_some_and(|text| text.chars().count() > 10_000 || text.contains('\0'))
        {
            return Err(CommandError::Invalid {
                field: "description",
                problem: "it must be at most 10000 characters, none of them NUL".to_owned(),
            });
        }
        let path = command.path.clone();
        let files = tokio::task::spawn_blocking(move || source::examine(&path))
            .await
            .map_err(|_| CommandError::ShuttingDown)??;
        let (model_id, model) = self
            .resolve::<Model>(&command.tokenizer_model, false)
            .await?;
        if model.status() == ModelStatus::Error {
            return Err(CommandError::InError {
                what: "model",
                id: model_id,
            });
        }
        let register = DatasetCommand::RegisterLocal {
            registered: Registered {
                name: command.name.unwrap_or_else(|| files.default_name()),
                source: DatasetSource::Local,
                description,
                text_column: command.text_column.unwrap_or_else(|| "text".to_owned()),
                tokenizer_model_id: ModelId::new(model_id)?,
                context_length: command.context_length.unwrap_or(DEFAULT_CONTEXT_LENGTH),
            },
            files: Downloaded {
                file_path: files.path,
                size_bytes: files.size_bytes,
            },
        };
        self.execute::<Dataset>(id.as_str(), register, caller, ROUTE, Some(&content))
            .await
    }
}
