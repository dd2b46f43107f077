//! Signed heads: what a log that was truncated or set back cannot tell by itself.

use crate::{
    fixture::{claim, empty_log_alone, metadata, progress, register},
    restore::dump_into,
    verify::tamper,
};
use std::{path::Path, time::Duration};
use trainmaster::log::{
    Head, HeadExport, HeadFault, HeadKey, Log, Verified, VerifyError, VerifyOptions,
};
use trainmaster_domain::dataset::Dataset;

async fn add(log: &Log, id: &str) {
    for (n, command) in [register(), claim(), progress(1)].into_iter().enumerate() {
        log.execute::<Dataset>(id, command, metadata(format!("{id} {n}")))
            .await
            .unwrap();
    }
}

fn key(directory: &Path) -> HeadKey {
    HeadKey::load_or_make(&directory.join("head.key")).unwrap()
}

async fn verify(log: &Log, head: &Head) -> Result<Verified, VerifyError> {
    let options = VerifyOptions {
        head: Some(head.clone()),
        ..VerifyOptions::default()
    };
    log.verify_with(options, &tokio::sync::watch::Sender::default())
        .await
}

async fn fault(log: &Log, head: &Head) -> HeadFault {
    let noted = match log.still_notes(head).await {
        Err(VerifyError::Head(fault)) => fault,
        other => panic!("the notes were not compared: {other:?}"),
    };
    match verify(log, head).await {
        Err(VerifyError::Head(fault)) => {
            assert_eq!(fault, noted, "the notes tell what the events tell");
            fault
        }
        other => panic!("the head was not missed: {other:?}"),
    }
}

#[tokio::test]
async fn a_log_that_goes_on_contains_its_earlier_heads() {
    let (_cluster, log) = empty_log_alone().await;
    let directory = tempfile::tempdir().unwrap();
    let key = key(directory.path());
    let mut heads = vec![log.sign_head(&key).await.unwrap()];
    for id in ["ds_1", "ds_10", "ds_2"] {
        add(&log, id).await;
        heads.push(log.sign_head(&key).await.unwrap());
        // A stream that goes on after the head.
        log.execute::<Dataset>(
            "ds_1",
            progress(heads.len() as u64),
            metadata(format!("more {id}")),
        )
        .await
        .unwrap();
    }
    let of: Vec<(u64, u64)> = heads
        .iter()
        .map(|head| (head.streams, head.events))
        .collect();
    assert_eq!(of, [(0, 0), (1, 4), (2, 9), (3, 14)]);
    for head in &heads {
        let verified = verify(&log, head).await.unwrap();
        assert_eq!(verified.contains_head, Some(head.position));
        log.still_notes(head).await.unwrap();
        assert_eq!(head.to_string().parse::<Head>().as_ref(), Ok(head));
    }
}

#[tokio::test]
async fn a_database_that_was_set_back_is_found_by_a_head_alone() {
    let (cluster, log) = empty_log_alone().await;
    let directory = tempfile::tempdir().unwrap();
    let key = key(directory.path());
    add(&log, "ds_1").await;
    log.note_heads().await.unwrap();
    let earlier = cluster.database().await;
    dump_into(&cluster, &log, &earlier).await;
    add(&log, "ds_2").await;
    let head = log.sign_head(&key).await.unwrap();
    verify(&log, &head).await.unwrap();

    let log = Log::new(earlier.pool().await);
    assert_eq!(log.verify().await.unwrap().events, 4);
    assert!(matches!(
        fault(&log, &head).await,
        HeadFault::Truncated {
            events: 4,
            expected: 8,
            ..
        }
    ));
    // Other things happen after it was set back: the log is as long as it was.
    for id in ["ds_3", "ds_4"] {
        add(&log, id).await;
    }
    log.note_heads().await.unwrap();
    assert_eq!(log.verify().await.unwrap().events, 12);
    fault(&log, &head).await;
}

#[tokio::test]
async fn an_end_that_was_removed_with_the_notes_of_it_is_found_by_a_head_alone() {
    let (_cluster, log) = empty_log_alone().await;
    let directory = tempfile::tempdir().unwrap();
    for id in ["ds_1", "ds_2"] {
        add(&log, id).await;
    }
    let head = log.sign_head(&key(directory.path())).await.unwrap();
    tamper(
        &log,
        "ALTER TABLE log.heads DISABLE TRIGGER ALL; DELETE FROM log.heads WHERE stream_id = 'ds_2'; \
         DELETE FROM log.events WHERE stream_id = 'ds_2'",
    )
    .await;
    assert_eq!(log.verify().await.unwrap().events, 4);
    assert!(matches!(
        fault(&log, &head).await,
        HeadFault::Truncated {
            events: 4,
            expected: 8,
            ..
        }
    ));
}

#[tokio::test]
async fn a_last_event_that_was_forged_with_the_note_of_it_is_found_by_a_head_alone() {
    let (_cluster, log) = empty_log_alone().await;
    let directory = tempfile::tempdir().unwrap();
    add(&log, "ds_2").await;
    let head = log.sign_head(&key(directory.path())).await.unwrap();
    let forge = crate::verify::forge(4);
    tamper(
        &log,
        &format!(
            "{forge}; ALTER TABLE log.heads DISABLE TRIGGER ALL; UPDATE log.heads SET hash = e.hash FROM log.events AS e \
             WHERE (e.category, e.stream_id, e.version) = (heads.category, heads.stream_id, heads.version)"
        ),
    )
    .await;
    log.verify().await.unwrap();
    assert!(matches!(
        fault(&log, &head).await,
        HeadFault::Differs {
            events: 4,
            expected: 4,
            ..
        }
    ));
}

#[tokio::test]
async fn heads_are_exported_while_there_is_something_new_and_only_the_newest_stay() {
    let (_cluster, log) = empty_log_alone().await;
    let directory = tempfile::tempdir().unwrap();
    let export = HeadExport {
        directory: directory.path().join("heads"),
        key: directory.path().join("head.key"),
        interval: Duration::from_secs(3600),
        keep: 2,
    };
    let mut written = vec![];
    for id in ["ds_1", "ds_2", "ds_3"] {
        add(&log, id).await;
        written.push(export.export(&log).await.unwrap().unwrap());
        assert_eq!(export.export(&log).await.unwrap(), None);
    }
    let mut there: Vec<_> = std::fs::read_dir(&export.directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    there.sort();
    assert_eq!(there, written[1..]);
    let head: Head = std::fs::read_to_string(&there[1]).unwrap().parse().unwrap();
    assert_eq!((head.streams, head.events), (3, 12));
    head.must_be_of(&key(directory.path()).public_key())
        .unwrap();
    verify(&log, &head).await.unwrap();
}
