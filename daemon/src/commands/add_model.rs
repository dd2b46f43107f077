//! A language model of this machine becomes known.

use super::{
    Accepted, Caller, CommandError, Commands,
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

/// A language model whose files are on this machine.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddModel {
    /// A GGUF file, or a Hugging Face directory (`config.json`, safetensors, `tokenizer.json`): an absolute path on the
    /// daemon's machine.
    #[schema(example = "/srv/models/smollm2-135m-instruct-q4_1.gguf")]
    pub path: String,
    /// What people call it; else the name of the file or directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its family; else what its files say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "llama")]
    pub architecture: Option<String>,
    /// How its weights are held; else what its files say.
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
        let path = command.path.clone();
        let (files, format) = tokio::task::spawn_blocking(move || {
            let files = source::examine(&path)?;
            let format = ModelFormat::read(&files)?;
            Ok::<_, CommandError>((files, format))
        })
        .await
        .map_err(|_| CommandError::ShuttingDown)??;
        let architecture = match command.architecture {
            Some(given) => given,
            None => format.architecture.ok_or_else(|| CommandError::Invalid {
                field: "architecture",
                problem: "the model's files do not say it; give it, for example \"llama\""
                    .to_owned(),
            })?,
        };
        let quantization = match command.quantization {
            Some(given) => given,
            None => format.quantization.ok_or_else(|| CommandError::Invalid {
                field: "quantization",
                problem: format!(
                    "the model's files hold their weights as {}, which is none of FP32, FP16, INT8, Q8 and Q4; give \
                     the nearest of these, if the trainer can read them",
                    format.weights
                ),
            })?,
        };
        let register = ModelCommand::RegisterLocal {
            registered: Registered {
                name: command.name.unwrap_or_else(|| files.default_name()),
                architecture,
                quantization,
            },
            files: Downloaded {
                file_path: files.path,
                disk_size_bytes: files.size_bytes,
            },
        };
        self.execute::<Model>(id.as_str(), register, caller, ROUTE, Some(&content))
            .await
    }
}
