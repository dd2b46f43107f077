//! `log verify`: whether the log is as it was written.

use super::{client::Client, failure::Failure, format, output::Output, progress_bar::LongWork};
use hyper::Method;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

#[derive(Deserialize, Serialize)]
struct Verified {
    events: i64,
    streams: i64,
    heads: i64,
    settled_commands: i64,
}

pub(super) async fn verify(client: &Client, output: Output) -> Result<ExitCode, Failure> {
    let mut work = LongWork::new("verifying", output);
    let verified = client
        .long_running(&Method::GET, "/v1/log/verify", |sign| work.show(sign))
        .await;
    work.end();
    let verified: Verified = verified?;
    if output.is_json() {
        output.json(&verified)?;
    } else {
        output.line(format!(
            "the log is as it was written: {} events of {} streams, {} notes of how far they had got, {} settled commands",
            format::whole(verified.events),
            format::whole(verified.streams),
            format::whole(verified.heads),
            format::whole(verified.settled_commands)
        ));
    }
    Ok(ExitCode::SUCCESS)
}
