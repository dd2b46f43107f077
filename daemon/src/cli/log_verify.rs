//! `log verify`: whether the log is as it was written.

use super::{client::Client, failure::Failure, format, output::Output};
use hyper::Method;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

#[derive(Deserialize, Serialize)]
struct Verified {
    events: i64,
    streams: i64,
}

pub(super) async fn verify(client: &Client, output: Output) -> Result<ExitCode, Failure> {
    let verified: Verified = client
        .long_running(&Method::GET, "/v1/log/verify", |seconds| {
            output.remark(format!("verifying: {seconds:.0}s"));
        })
        .await?;
    if output.is_json() {
        output.json(&verified)?;
    } else {
        output.line(format!(
            "the log is as it was written: {} events of {} streams",
            format::whole(verified.events),
            format::whole(verified.streams)
        ));
    }
    Ok(ExitCode::SUCCESS)
}
