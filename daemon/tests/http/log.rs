//! The log's head and its verification, over HTTP and on the command line.

use crate::{client, fixture::Interface};
use serde_json::Value;

#[tokio::test]
async fn a_head_that_was_kept_is_found_in_the_log_and_in_no_other() {
    let state = tempfile::tempdir().unwrap();
    let interface = Interface::new().await;
    interface.training().await;
    let served = client::serve(&interface).await;
    let file = state.path().join("kept");
    let file = file.to_str().unwrap();
    let head = served.run(&["log", "head", "--out", file]).await;
    assert_eq!(head.code, 0, "{head:?}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), head.stdout);
    let shown: Value = served.run(&["log", "head", "--json"]).await.json();
    let key = shown["public_key"].as_str().unwrap();

    let verify = |more: &[&str]| {
        let all: Vec<String> = [&["log", "verify", "--head", file], more]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect();
        all
    };
    let run = async |served: &client::Served, arguments: Vec<String>| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        served.run(&arguments).await
    };
    let verified = run(&served, verify(&["--public-key", key])).await;
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(
        verified
            .stdout
            .contains("it contains all that the head speaks of"),
        "{verified:?}"
    );
    let untrusted = run(&served, verify(&["--public-key", &"0".repeat(64)])).await;
    assert!(
        untrusted.stderr.contains("head_not_trusted"),
        "{untrusted:?}"
    );

    // Another log.
    let other = Interface::new().await;
    let served = client::serve(&other).await;
    let truncated = run(&served, verify(&[])).await;
    assert_eq!(truncated.code, 1, "{truncated:?}");
    assert!(truncated.stderr.contains("log_truncated"), "{truncated:?}");

    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, text.replace("streams=", "streams=1")).unwrap();
    let altered = run(&served, verify(&[])).await;
    assert_eq!(altered.code, 2, "{altered:?}");
    assert!(altered.stderr.contains("invalid_head"), "{altered:?}");
}
