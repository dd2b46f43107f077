//! Text becomes known as a dataset: of this machine, of the request itself, or of the Hugging Face hub.

mod keep_text;

use super::{
    Accepted, Caller, CommandError, Commands, DataFromHub, ErrorKind, caller::digest, source, text,
};
use keep_text::{discard_text, keep_text};
use serde::{Deserialize, Serialize};
use trainmaster_domain::{
    dataset::{Dataset, DatasetCommand, DatasetSource, Downloaded, Registered},
    id::{DatasetId, ModelId},
    model::{Model, ModelStatus},
};
use utoipa::ToSchema;

/// Text: one of `path`, `text` and `hub`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddDataset {
    /// A `.txt`, `.jsonl`, `.jsonl.gz`, `.csv`, `.parquet` or `.arrow` file, or a directory of such files, which is read in
    /// the order of their names: an absolute path on the daemon's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "/srv/books")]
    pub path: Option<String>,
    /// The text itself, which the daemon keeps: one document. Its source is `Custom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A repository of the Hugging Face hub, from which it is fetched. `HF_ENDPOINT` and `HF_TOKEN` of the daemon's
    /// environment count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<DataFromHub>,
    /// For a path: `Local`, or `Custom` for text that you made yourself; else `Local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^(Local|Custom)$")]
    pub source: Option<DatasetSource>,
    /// The model whose tokenizer reads it: an id, or a name that only one model has.
    pub tokenizer_model: String,
    /// What people call it; else the name of the file or directory, or the repository's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For all but text files: the column that holds the text; else `text`.
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
        check_description(command.description.as_deref())?;
        let tokenizer_model_id = self.tokenizer_model(&command.tokenizer_model).await?;
        let registered = |default_name: String, source, hub| Registered {
            name: command.name.clone().unwrap_or(default_name),
            source,
            description: command.description.clone(),
            text_column: command
                .text_column
                .clone()
                .unwrap_or_else(|| "text".to_owned()),
            tokenizer_model_id,
            context_length: command.context_length.unwrap_or(DEFAULT_CONTEXT_LENGTH),
            hub,
        };
        let mut kept = None;
        let register = match (&command.path, &command.text, &command.hub) {
            (Some(path), None, None) => {
                let path = path.clone();
                let files = tokio::task::spawn_blocking(move || source::examine(&path))
                    .await
                    .map_err(|_| CommandError::ShuttingDown)??;
                let source = command.source.unwrap_or(DatasetSource::Local);
                if source == DatasetSource::HuggingFace {
                    return Err(CommandError::Invalid {
                        field: "source",
                        problem: "what comes from the hub is named with hub, not with path"
                            .to_owned(),
                    });
                }
                DatasetCommand::RegisterLocal {
                    registered: registered(files.default_name(), source, None),
                    files: Downloaded {
                        file_path: files.path,
                        size_bytes: files.size_bytes,
                        fetched: None,
                    },
                }
            }
            (None, Some(text), None) => {
                let Some(directory) = &self.datasets else {
                    return Err(CommandError::Invalid {
                        field: "text",
                        problem:
                            "this interface keeps no texts; put it into a file and give its path"
                                .to_owned(),
                    });
                };
                let raw = directory.join(id.as_str()).join("raw");
                kept = Some(raw.clone());
                let text = text.clone();
                let files = tokio::task::spawn_blocking(move || keep_text(&raw, &text))
                    .await
                    .map_err(|_| CommandError::ShuttingDown)??;
                DatasetCommand::RegisterLocal {
                    registered: registered("text".to_owned(), DatasetSource::Custom, None),
                    files,
                }
            }
            (None, None, Some(hub)) => {
                let hub = hub.checked()?;
                let name = hub.at.repository.clone();
                let source = DatasetSource::HuggingFace;
                DatasetCommand::RegisterHub(registered(name, source, Some(hub)))
            }
            _ => {
                return Err(CommandError::Invalid {
                    field: "path",
                    problem: "give one of path, text and hub".to_owned(),
                });
            }
        };
        let executed = self
            .execute::<Dataset>(id.as_str(), register, caller, ROUTE, Some(&content))
            .await;
        if let (Some(raw), Err(error)) = (kept, &executed)
            && !matches!(error.kind(), ErrorKind::Internal | ErrorKind::Unavailable)
            && self
                .log()
                .load::<Dataset>(id.as_str())
                .await
                .is_ok_and(|loaded| loaded.version == 0)
        {
            let _ = tokio::task::spawn_blocking(move || discard_text(&raw)).await;
        }
        executed
    }

    /// The id of a model whose tokenizer can be expected to be there.
    pub(super) async fn tokenizer_model(&self, given: &str) -> Result<ModelId, CommandError> {
        let (id, model) = self.resolve::<Model>(given, false).await?;
        if model.status() == ModelStatus::Error {
            return Err(CommandError::InError { what: "model", id });
        }
        Ok(ModelId::new(id)?)
    }
}

fn check_description(description: Option<&str>) -> Result<(), CommandError> {
    let too_much = |text: &str| text.chars().count() > 10_000 || text.contains('\0');
    if description.is_some_and(too_much) {
        return Err(CommandError::Invalid {
            field: "description",
            problem: "it must be at most 10000 characters, none of them NUL".to_owned(),
        });
    }
    Ok(())
}
