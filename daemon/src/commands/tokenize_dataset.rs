//! A dataset that is ready is tokenised for another model, too.

use super::{Accepted, Caller, CommandError, Commands, caller::digest};
use serde::{Deserialize, Serialize};
use trainmaster_domain::{
    dataset::{Dataset, DatasetCommand},
    id::DatasetId,
};
use utoipa::ToSchema;

/// For which model.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenizeDataset {
    /// The model whose tokenizer reads it: an id, or a name that only one model has.
    pub tokenizer_model: String,
}

impl Commands {
    /// Has a dataset tokenised for a further model. What there is for others stays. Tokens of another model with the same
    /// tokenizer are used again.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn tokenize_dataset(
        &self,
        id: &str,
        command: TokenizeDataset,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        DatasetId::new(id)?;
        let content = digest(&command)?;
        let model = self.tokenizer_model(&command.tokenizer_model).await?;
        let route = format!("datasets/{id}/tokenize");
        let tokenize = DatasetCommand::Tokenize(model);
        self.execute::<Dataset>(id, tokenize, caller, &route, Some(&content))
            .await
    }
}
