//! How the HTTP interface behaves.

use crate::{archive::ArchiverOptions, retention::Policy, slurm::Clusters};
use sha2::{Digest, Sha256};
use std::{path::PathBuf, time::Duration};

/// How the HTTP interface behaves.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// The longest body of a request.
    pub max_body_bytes: usize,
    /// An answer that takes longer is given up. Streams are answers that have begun in time.
    pub request_timeout: Duration,
    /// The time that a client has for its request's headers, and again for its body.
    pub receive_timeout: Duration,
    /// Requests that are worked on at once; what comes beside them is asked to come again.
    pub max_requests: usize,
    /// Event streams and verifications at once.
    pub max_streams: usize,
    /// Connections at once, of each listener.
    pub max_connections: usize,
    /// An event stream that has nothing to say says at least a comment so often.
    pub heartbeat: Duration,
    /// How long a command's answer waits for the read model to show it, unless the client says otherwise.
    pub wait: Duration,
    /// An event stream looks at the log this often, however quiet it is: another daemon may have appended.
    pub poll: Duration,
    /// Where texts that come in requests are kept, a directory a dataset; none: such requests are refused.
    pub datasets_directory: Option<PathBuf>,
    /// Where predictions are written to, a directory a job, unless a request says otherwise; none: each has to.
    pub predictions_directory: Option<PathBuf>,
    /// The clusters that runs can be placed on.
    pub clusters: Clusters,
    /// The key that signs the log's head; none: it is not signed.
    pub head_key: Option<PathBuf>,
    /// What is kept how long.
    pub retention: Policy,
    /// Where and when segments of the log leave the database; none: they do not.
    pub archive: Option<ArchiverOptions>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            max_body_bytes: 256 * 1024,
            request_timeout: Duration::from_secs(30),
            receive_timeout: Duration::from_secs(10),
            max_requests: 64,
            max_streams: 32,
            max_connections: 256,
            heartbeat: Duration::from_secs(15),
            wait: Duration::from_secs(2),
            poll: Duration::from_secs(2),
            datasets_directory: None,
            predictions_directory: None,
            clusters: Clusters::default(),
            head_key: None,
            retention: Policy::default(),
            archive: None,
        }
    }
}

/// A bearer token, of which only the hash is kept: comparing hashes takes the same time whatever a guess has in common with it.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// The token that is `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether `text` is it.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let difference = self
            .0
            .iter()
            .zip(given)
            .fold(0, |difference, (a, b)| difference | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn a_token_is_itself_only_and_is_never_printed() {
        let token = Token::new("open sesame, please");
        assert!(token.is("open sesame, please"));
        assert!(!token.is("open sesame, pleasf"));
        assert!(!token.is(""));
        assert!(!format!("{token:?}").contains("sesame"));
    }
}
