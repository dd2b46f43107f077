//! `log verify`: whether the log is as it was written.

use super::{
    arguments::log::VerifyArguments,
    client::{Client, with_query},
    failure::Failure,
    format,
    output::Output,
    progress_bar::LongWork,
};
use crate::log::Head;
use hyper::Method;
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Read},
    path::Path,
    process::ExitCode,
};

#[derive(Deserialize, Serialize)]
struct Verified {
    events: i64,
    streams: i64,
    heads: i64,
    settled_commands: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifacts: Option<Artifacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contains_head: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Artifacts {
    intact: i64,
    bytes: i64,
    faulty: i64,
    faults: Vec<Fault>,
}

#[derive(Deserialize, Serialize)]
struct Fault {
    category: String,
    stream_id: String,
    version: i64,
    sequence: i64,
    path: String,
    reason: String,
}

pub(super) async fn verify(
    client: &Client,
    arguments: VerifyArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let head = arguments.head.as_deref().map(read_head).transpose()?;
    if let (Some(head), Some(key)) = (&head, &arguments.public_key) {
        head.must_be_of(key)
            .map_err(|error| Failure::failed("head_not_trusted", error.to_string()))?;
    }
    let path = with_query(
        "/v1/log/verify",
        &[
            ("artifacts", Some((!arguments.skip_artifacts).to_string())),
            ("head", head.as_ref().map(Head::to_string)),
        ],
    );
    let mut work = LongWork::new("verifying", output);
    let verified = client
        .long_running(&Method::GET, &path, |sign| work.show(sign))
        .await;
    work.end();
    let verified: Verified = verified?;
    if output.is_json() {
        output.json(&verified)?;
    } else {
        tell(&verified, output);
        if let (Some(head), None) = (&head, &arguments.public_key) {
            output.line(format!(
                "the head was signed by key {}; --public-key says which one must have",
                head.public_key()
            ));
        }
    }
    match verified.artifacts {
        Some(artifacts) if artifacts.faulty > 0 => Err(Failure::failed(
            "artifacts_broken",
            format!(
                "the log is as it was written, but {} of the files that it names are missing or altered; restore them from a backup",
                format::whole(artifacts.faulty)
            ),
        )),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn tell(verified: &Verified, output: Output) {
    output.line(format!(
        "the log is as it was written: {} events of {} streams, {} notes of how far they had got, {} settled commands",
        format::whole(verified.events),
        format::whole(verified.streams),
        format::whole(verified.heads),
        format::whole(verified.settled_commands)
    ));
    if let Some(position) = &verified.contains_head {
        output.line(format!(
            "it contains all that the head speaks of, up to {position}"
        ));
    }
    let Some(artifacts) = &verified.artifacts else {
        return;
    };
    output.line(format!(
        "{} files and directories that events name are as they were ({})",
        format::whole(artifacts.intact),
        format::bytes(artifacts.bytes)
    ));
    for fault in &artifacts.faults {
        output.line(format!(
            "version {} of {} {} (sequence {}) names {}: {}",
            fault.version,
            fault.category,
            fault.stream_id,
            fault.sequence,
            fault.path,
            fault.reason
        ));
    }
}

/// A head from a file, or from standard input. Its signature is checked here, too: the daemon might be the one that is not to be trusted.
fn read_head(path: &Path) -> Result<Head, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().take(10_000).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(10_000).read_to_string(&mut text))
    };
    read.map_err(|error| {
        Failure::usage(
            "head_unreadable",
            format!("the head {} cannot be read: {error}", path.display()),
        )
    })?;
    text.parse()
        .map_err(|error: crate::log::InvalidHead| Failure::usage("invalid_head", error.to_string()))
}
