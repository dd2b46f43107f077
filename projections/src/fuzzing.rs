//! Where a fuzzer reaches the reading of artifacts. Compiled by `cargo fuzz` and by this crate's own tests only.

use crate::{
    artifact::Reading,
    mistudio::{feature_activations, features},
};
use chrono::DateTime;
use sha2::{Digest, Sha256};
use std::path::Path;
use trainmaster_domain::run::journal::Artifact;

/// Latents of the training that the artifacts are said to be of.
const LATENTS: i32 = 64;

/// Reads a file as both kinds of artifact, for as many rows as the reader finds. What `bytes` are is what the event says.
pub fn read(path: &Path, bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let Ok(runtime) = runtime else {
        return;
    };
    for rows in [0, 1, 2, 3, 64] {
        let artifact = Artifact {
            path: path.to_string_lossy().into_owned(),
            sha256: format!("{:x}", Sha256::digest(bytes)),
            size_bytes: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            rows,
        };
        runtime.block_on(async {
            all(Reading::begin(
                &artifact,
                features::COLUMNS,
                features::rows::InBlock::new(LATENTS.into()),
            ))
            .await;
            let ids = (0..LATENTS).map(|latent| (latent, latent.into())).collect();
            let encode = feature_activations::rows::Encode::new(
                ids,
                LATENTS.into(),
                1,
                DateTime::UNIX_EPOCH,
            );
            all(Reading::begin(
                &artifact,
                feature_activations::rows::COLUMNS,
                encode,
            ))
            .await;
        });
    }
}

async fn all<T: Send + 'static>(mut reading: Reading<T>) {
    while let Ok(Some(_)) = reading.next().await {}
}

#[cfg(test)]
#[path = "../../fuzz/src/mutate.rs"]
mod mutate;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    fn run(bytes: &[u8]) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(file.path(), bytes);
    }

    #[test]
    fn artifacts_of_the_corpus_and_others_like_them_are_survived() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/artifact");
        assert!(mutate::campaign(&corpus, run) > 10);
    }
}
