//! No sequence of commands brings a dataset or a model into an illegal state.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "samples/events.rs"]
mod sample_events;

use proptest::prelude::*;
use sample_events::{at, model_id};
use trainmaster_domain::{
    Aggregate, Lease,
    attempt::{Claim, Loss, LossReason, Report, RetryPolicy},
    dataset::{self, Dataset, DatasetCommand, DatasetSource, DatasetStatus},
    hub::{HubData, HubRepository},
    id::ModelId,
    model::{self, Model, ModelCommand, ModelStatus, Quantization},
    run::journal::{
        DatasetIngested, DatasetTokenized, Downloaded, Failure, FailureClass, JournalRecord,
        ModelInspected, ModelQuantized, Progress, Record,
    },
};

/// What both aggregates are asked, in one vocabulary.
#[derive(Clone, Debug)]
enum Asked {
    Register,
    RegisterHub,
    Tokenize(bool),
    Claim(i64),
    Report {
        lease: u64,
        seq: u64,
        record: Box<Record>,
    },
    Lose(u64),
    Retry,
}

fn any_asked() -> impl Strategy<Value = Asked> {
    prop_oneof![
        1 => Just(Asked::Register),
        1 => Just(Asked::RegisterHub),
        1 => any::<bool>().prop_map(Asked::Tokenize),
        4 => (0..20i64).prop_map(Asked::Claim),
        8 => (0..6u64, 0..12u64, any_record()).prop_map(|(lease, seq, record)| Asked::Report { lease, seq, record: Box::new(record) }),
        2 => (0..6u64).prop_map(Asked::Lose),
        2 => Just(Asked::Retry),
    ]
}

fn any_record() -> impl Strategy<Value = Record> {
    prop_oneof![
        (-10.0..200.0f64).prop_map(|percent| Record::Progress(Progress {
            stage: "ingesting".into(),
            percent
        })),
        Just(Record::DatasetIngested(DatasetIngested {
            num_samples: 18,
            size_bytes: 100,
            content_sha256: None,
        })),
        Just(Record::Downloaded(Downloaded {
            path: "/d".into(),
            size_bytes: 100,
            commit: "c0".into(),
        })),
        Just(Record::DatasetTokenized(DatasetTokenized {
            tokenized_path: "/t".into(),
            num_tokens: 5,
            vocab_size: 7,
            avg_sequence_length: 2.5,
            num_sequences: 1,
            sha256: "00".repeat(32),
        })),
        Just(Record::ModelInspected(ModelInspected {
            params_count: 1,
            memory_required_bytes: 4,
            disk_size_bytes: 4,
            architecture_config: serde_json::json!({}),
            ..ModelInspected::default()
        })),
        Just(Record::ModelInspected(ModelInspected {
            converts_to: Some(Quantization::Q4),
            ..ModelInspected::default()
        })),
        Just(Record::ModelQuantized(ModelQuantized {
            quantized_path: "/q".into(),
            disk_size_bytes: 4,
            memory_required_bytes: 4,
            loss: None,
        })),
        any::<bool>().prop_map(|workload| Record::Failed(Failure {
            class: if workload {
                FailureClass::Workload
            } else {
                FailureClass::Infrastructure
            },
            code: "internal".into(),
            message: "It broke.".into(),
        })),
    ]
}

fn policy() -> RetryPolicy {
    RetryPolicy {
        max_crashes: 2,
        backoff_initial_ms: 1_000,
        backoff_max_ms: 4_000,
    }
}

fn claim(second: i64) -> Claim {
    Claim {
        worker_id: "w".into(),
        host: "h".into(),
        device: "cpu".into(),
        now: at(second),
    }
}

fn loss(lease: u64) -> Loss {
    Loss {
        lease: Lease(lease),
        reason: LossReason::Exited,
        message: "It exited.".into(),
        now: at(0),
        policy: policy(),
    }
}

fn report(lease: u64, seq: u64, record: Record) -> Box<Report> {
    Box::new(Report {
        line: JournalRecord {
            lease: Lease(lease),
            seq,
            at: at(0),
            record,
        },
        now: at(0),
        policy: policy(),
    })
}

fn hub() -> HubRepository {
    HubRepository {
        repository: "owner/name".into(),
        revision: "main".into(),
    }
}

fn to_dataset(asked: Asked) -> DatasetCommand {
    let registered = dataset::Registered {
        name: "books".into(),
        source: DatasetSource::Local,
        description: None,
        text_column: "text".into(),
        tokenizer_model_id: model_id(),
        context_length: 256,
        hub: None,
    };
    match asked {
        Asked::Register => DatasetCommand::RegisterLocal {
            registered,
            files: dataset::Downloaded {
                file_path: "/data".into(),
                size_bytes: 10,
                fetched: None,
            },
        },
        Asked::RegisterHub => DatasetCommand::RegisterHub(dataset::Registered {
            source: DatasetSource::HuggingFace,
            hub: Some(HubData {
                at: hub(),
                split: None,
                subset: None,
            }),
            ..registered
        }),
        Asked::Tokenize(other) => DatasetCommand::Tokenize(if other {
            ModelId::new("m_other").unwrap()
        } else {
            model_id()
        }),
        Asked::Claim(second) => DatasetCommand::Claim(claim(second)),
        Asked::Report { lease, seq, record } => DatasetCommand::Report(report(lease, seq, *record)),
        Asked::Lose(lease) => DatasetCommand::LoseLease(loss(lease)),
        Asked::Retry => DatasetCommand::Retry,
    }
}

fn to_model(asked: Asked) -> ModelCommand {
    let registered = model::Registered {
        name: "tiny".into(),
        architecture: Some("llama".into()),
        quantization: Some(Quantization::Fp32),
        hub: None,
    };
    match asked {
        Asked::Register => ModelCommand::RegisterLocal {
            registered,
            files: model::Downloaded {
                file_path: "/data".into(),
                disk_size_bytes: 10,
                architecture: None,
                quantization: None,
                fetched: None,
            },
        },
        Asked::RegisterHub | Asked::Tokenize(_) => ModelCommand::RegisterHub(model::Registered {
            hub: Some(hub()),
            ..registered
        }),
        Asked::Claim(second) => ModelCommand::Claim(claim(second)),
        Asked::Report { lease, seq, record } => ModelCommand::Report(report(lease, seq, *record)),
        Asked::Lose(lease) => ModelCommand::LoseLease(loss(lease)),
        Asked::Retry => ModelCommand::Retry,
    }
}

/// Decides and applies each command; refusals change nothing; the state is a function of the events.
fn live<A: Aggregate + Clone + PartialEq + std::fmt::Debug>(
    commands: impl Iterator<Item = A::Command>,
    check: impl Fn(&A) -> bool,
) -> A {
    let (mut state, mut history) = (A::default(), Vec::new());
    for command in commands {
        let before = state.clone();
        match state.decide(command) {
            Ok(events) => {
                for event in events {
                    state
                        .evolve(&event)
                        .expect("what was decided is a legal transition");
                    history.push(event);
                }
            }
            Err(_) => assert_eq!(before, state),
        }
        assert!(check(&state), "{state:?}");
    }
    let mut told = A::default();
    for event in &history {
        told.evolve(event).unwrap();
    }
    assert_eq!(told, state);
    state
}

proptest! {
    #[test]
    fn a_dataset_never_reaches_an_illegal_state(asked in prop::collection::vec(any_asked(), 1..80)) {
        live::<Dataset>(asked.into_iter().map(to_dataset), |dataset| {
            let running = matches!(
                dataset.status(),
                DatasetStatus::Downloading | DatasetStatus::Ingesting | DatasetStatus::Tokenizing
            );
            let tokens = dataset.tokenizer().and_then(|model| dataset.tokenized_for(model.as_str()));
            (!dataset.attempts().live || running)
                && (dataset.status() != DatasetStatus::Ready || tokens.is_some())
                && (dataset.files().is_some() || matches!(dataset.status(), DatasetStatus::Absent | DatasetStatus::Downloading | DatasetStatus::Error))
        });
    }

    #[test]
    fn a_model_never_reaches_an_illegal_state(asked in prop::collection::vec(any_asked(), 1..80)) {
        live::<Model>(asked.into_iter().map(to_model), |model| {
            let running = matches!(
                model.status(),
                ModelStatus::Downloading | ModelStatus::Loading | ModelStatus::Quantizing
            );
            (!model.attempts().live || running)
                && (model.status() != ModelStatus::Ready || model.weights_path().is_some())
        });
    }
}

#[test]
fn a_dataset_that_failed_goes_on_from_the_stage_that_failed() {
    let ingested = Record::DatasetIngested(DatasetIngested {
        num_samples: 18,
        size_bytes: 100,
        content_sha256: Some("ab".repeat(32)),
    });
    let asked = [
        Asked::Register,
        Asked::Claim(0),
        Asked::Report {
            lease: 1,
            seq: 2,
            record: Box::new(ingested),
        },
        Asked::Lose(1),
    ];
    let dataset = live::<Dataset>(asked.into_iter().map(to_dataset), |_| true);
    assert_eq!(dataset.status(), DatasetStatus::Tokenizing);
    assert!(dataset.waits());
}

fn tokenized(path: &str) -> Record {
    Record::DatasetTokenized(DatasetTokenized {
        tokenized_path: path.into(),
        num_tokens: 5,
        vocab_size: 7,
        avg_sequence_length: 2.5,
        num_sequences: 1,
        sha256: "00".repeat(32),
    })
}

fn said(lease: u64, seq: u64, record: Record) -> Asked {
    let record = Box::new(record);
    Asked::Report { lease, seq, record }
}

#[test]
fn a_dataset_is_tokenised_for_another_model_and_keeps_what_it_has() {
    let asked = [
        Asked::Register,
        Asked::Claim(0),
        said(1, 2, Record::DatasetIngested(DatasetIngested::default())),
        said(1, 3, tokenized("/one")),
        Asked::Tokenize(false),
        Asked::Tokenize(true),
        Asked::Claim(1),
        said(2, 2, Record::DatasetIngested(DatasetIngested::default())),
    ];
    let on_the_way = live::<Dataset>(asked.clone().into_iter().map(to_dataset), |_| true);
    assert_eq!(on_the_way.status(), DatasetStatus::Tokenizing);
    assert_eq!(on_the_way.tokenized_for(model_id().as_str()), Some("/one"));
    assert_eq!(on_the_way.tokenized_for("m_other"), None);
    let asked = asked.into_iter().chain([said(2, 3, tokenized("/two"))]);
    let ready = live::<Dataset>(asked.map(to_dataset), |_| true);
    assert_eq!(ready.status(), DatasetStatus::Ready);
    assert_eq!(ready.tokenized_for(model_id().as_str()), Some("/one"));
    assert_eq!(ready.tokenized_for("m_other"), Some("/two"));
    assert_eq!(
        ready.decide(DatasetCommand::Tokenize(model_id())),
        Ok(vec![])
    );
}

#[test]
fn a_model_from_the_hub_is_fetched_looked_at_and_converted_by_one_run_and_a_killed_one_goes_on() {
    let fetched = Record::Downloaded(Downloaded {
        path: "/state/models/m_smol/raw".into(),
        size_bytes: 100,
        commit: "c0ffee".into(),
    });
    let inspected = || {
        Record::ModelInspected(ModelInspected {
            converts_to: Some(Quantization::Q8),
            ..ModelInspected::default()
        })
    };
    let asked = [
        Asked::RegisterHub,
        Asked::Claim(0),
        said(1, 2, fetched),
        Asked::Lose(1),
        Asked::Claim(9),
        said(2, 2, inspected()),
        Asked::Lose(2),
        Asked::Claim(18),
        said(3, 2, inspected()),
    ];
    let model = live::<Model>(asked.clone().into_iter().map(to_model), |_| true);
    assert_eq!(model.status(), ModelStatus::Quantizing);
    assert_eq!(model.weights_path(), Some("/state/models/m_smol/raw"));
    let quantized = Record::ModelQuantized(ModelQuantized {
        quantized_path: "/state/models/m_smol/quantized".into(),
        disk_size_bytes: 4,
        memory_required_bytes: 4,
        loss: None,
    });
    let asked = asked.into_iter().chain([said(3, 3, quantized)]);
    let model = live::<Model>(asked.map(to_model), |_| true);
    assert_eq!(model.status(), ModelStatus::Ready);
    assert_eq!(model.weights_path(), Some("/state/models/m_smol/quantized"));
}
