//! A language model becomes known: of this machine, or of the Hugging Face hub.

use super::{
    Accepted, Caller, CommandError, Commands, FromHub,
    caller::digest,
    source::{self, ModelFormat},
    text,
};
use serde::{Deserialize, Serialize};
use trainmaster_domain::{
    id::ModelId,
    model::{Downloaded, Model, ModelCommand, Quantization, Registered},
};
use utoipa::ToSchema;

/// A language model: either `path` or `hub`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddModel {
    /// A GGUF file, or a Hugging Face directory (`config.json`, safetensors, `tokenizer.json`): an absolute path on the
    /// daemon's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "/srv/models/smollm2-135m-instruct-q4_1.gguf")]
    pub path: Option<String>,
    /// A repository of the Hugging Face hub, from which it is fetched. `HF_ENDPOINT` and `HF_TOKEN` of the daemon's
    /// environment count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<FromHub>,
    /// What people call it; else the name of the file or directory, or the repository's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its family; else what its files say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "llama")]
    pub architecture: Option<String>,
    /// How its weights are to be held; else as they come. What is held otherwise is converted, and the loss that this
    /// costs is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^(FP32|FP16|INT8|Q8|Q4)$", example = "Q4")]
    pub quantization: Option<Quantization>,
}

const ROUTE: &str = "models";

impl Commands {
    /// Registers a model.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn add_model(
        &self,
        command: AddModel,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        let content = digest(&command)?;
        let id = ModelId::mint(&caller.identity(ROUTE))?;
        if let Some(before) = self
            .registered_before::<Model>(id.as_str(), caller, ROUTE, &content)
            .await?
        {
            return Ok(before);
        }
        text::line("name", command.name.as_deref())?;
        text::line("architecture", command.architecture.as_deref())?;
        let register = match (command.path.clone(), &command.hub) {
            (Some(path), None) => local(command, path).await?,
            (None, Some(hub)) => {
                let hub = hub.checked()?;
                ModelCommand::RegisterHub(Registered {
                    name: command.name.unwrap_or_else(|| hub.repository.clone()),
                    architecture: command.architecture,
                    quantization: command.quantization,
                    hub: Some(hub),
                })
            }
            _ => {
                return Err(CommandError::Invalid {
                    field: "path",
                    problem: "give either path or hub".to_owned(),
                });
            }
        };
        self.execute::<Model>(id.as_str(), register, caller, ROUTE, Some(&content))
            .await
    }
}

async fn local(command: AddModel, path: String) -> Result<ModelCommand, CommandError> {
    let (files, format) = tokio::task::spawn_blocking(move || {
        let files = source::examine(&path)?;
        let format = ModelFormat::read(&files)?;
        Ok::<_, CommandError>((files, format))
    })
    .await
    .map_err(|_| CommandError::ShuttingDown)??;
    if command.architecture.is_none() && format.architecture.is_none() {
        return Err(CommandError::Invalid {
            field: "architecture",
            problem: "the model's files do not say it; give it, for example \"llama\"".to_owned(),
        });
    }
    if command.quantization.is_none() && format.quantization.is_none() {
        return Err(CommandError::Invalid {
            field: "quantization",
            problem: format!(
                "the model's files hold their weights as {}, which is none of FP32, FP16, INT8, Q8 and Q4; say which of \
                 these they are to be converted to",
                format.weights
            ),
        });
    }
    Ok(ModelCommand::RegisterLocal {
        registered: Registered {
            name: command.name.unwrap_or_else(|| files.default_name()),
            architecture: command.architecture,
            quantization: command.quantization,
            hub: None,
        },
        files: Downloaded {
            file_path: files.path,
            disk_size_bytes: files.size_bytes,
            architecture: format.architecture,
            quantization: format.quantization,
            fetched: None,
        },
    })
}
