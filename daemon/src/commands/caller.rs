//! Who asks, and how a repeated request is recognised.

use super::CommandError;
use sha2::{Digest, Sha256};
use trainmaster_domain::{Metadata, RecordedEvent};
use ulid::Ulid;

/// Who asks. All of it is handed in: no clock, no randomness.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `http` or `cli`.
    pub actor: String,
    /// Everything that the request sets in motion shares this.
    pub request_id: String,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
    /// Fresh: names what is new in this request, unless it has an idempotency key.
    pub unique: Ulid,
    /// The client's name for the request.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// A client's name for a request: repeated under the same name, a request is done once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// Text that cannot be an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an idempotency key must be 1 to 255 visible ASCII characters; a fresh ULID or UUID is a good one"
)]
pub struct InvalidIdempotencyKey;

impl std::str::FromStr for IdempotencyKey {
    type Err = InvalidIdempotencyKey;
    fn from_str(text: &str) -> Result<Self, InvalidIdempotencyKey> {
        if (1..=255).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidIdempotencyKey)
        }
    }
}

impl Caller {
    /// What names a new dataset, model or training: the same for a repeated request.
    pub(super) fn identity(&self, route: &str) -> String {
        let ulid = match &self.idempotency_key {
            None => self.unique,
            Some(key) => {
                let digest = Sha256::digest(scoped(route, key));
                let mut bytes = [0; 16];
                bytes.copy_from_slice(&digest[..16]);
                Ulid::from_bytes(bytes)
            }
        };
        ulid.to_string().to_ascii_lowercase()
    }

    /// What is recorded with the events. `content` is a digest of what was asked for.
    pub(super) fn metadata(&self, route: &str, content: Option<&str>) -> Metadata {
        Metadata {
            command_id: match &self.idempotency_key {
                // Two routes do not share a key's meaning.
                Some(key) => format!("key:{:x}", Sha256::digest(scoped(route, key))),
                None => self.unique.to_string().to_ascii_lowercase(),
            },
            correlation_id: self.request_id.clone(),
            causation_id: content.map(|digest| format!("request:{digest}")),
            actor: self.actor.clone(),
            traceparent: self.traceparent.clone(),
        }
    }

    /// A repeated request must ask for what the first one did.
    pub(super) fn same_content(
        &self,
        content: Option<&str>,
        events: &[RecordedEvent],
    ) -> Result<(), CommandError> {
        let expected = content.map(|digest| format!("request:{digest}"));
        if events
            .iter()
            .all(|recorded| recorded.metadata.causation_id == expected)
        {
            Ok(())
        } else {
            Err(CommandError::IdempotencyKeyReused)
        }
    }
}

fn scoped(route: &str, key: &IdempotencyKey) -> Vec<u8> {
    [route.as_bytes(), b"\n", key.0.as_bytes()].concat()
}

/// A digest of what is asked for, so that a key that comes with something else is noticed.
pub(super) fn digest(command: &impl serde::Serialize) -> Result<String, CommandError> {
    let json = serde_json::to_vec(command).map_err(CommandError::Unrepresentable)?;
    Ok(format!("{:x}", Sha256::digest(json)))
}
