//! Evaluations of the real program against numbers computed from its files.

#![allow(clippy::unwrap_used)]

#[path = "run/directory.rs"]
#[allow(dead_code, reason = "each test binary uses a part")]
mod directory;

use directory::{RunDirectory, dataset, hyperparameters, model, train};
use std::ops::ControlFlow;
use std::path::Path;
use tch::{Device, Kind, Tensor};
use trainmaster_domain::hyperparameters::{Hook, Hyperparameters, Precision};
use trainmaster_domain::run::journal::{EvaluatedSite, Record};
use trainmaster_domain::run::spec::Work;
use trainmaster_trainer::autoencoder::{Autoencoder, checkpoint};
use trainmaster_trainer::dataset::TokenizedDataset;
use trainmaster_trainer::language_model::{HookPoint, LanguageModel, LoadOptions, Site};

const STEPS: u32 = 60;

fn short() -> Hyperparameters {
    Hyperparameters {
        training_steps: STEPS,
        checkpoint_interval: 25,
        layer: Some(1),
        precision: Precision::F32,
        evaluation_tokens: Some(100),
        ..hyperparameters()
    }
}

fn trained(encoder_type: &str, hyperparameters: Hyperparameters) -> RunDirectory {
    let run = RunDirectory::new();
    let Work::Train(mut work) = train(hyperparameters) else {
        unreachable!()
    };
    work.encoder_type = encoder_type.into();
    run.spec(1, Work::Train(work));
    assert_eq!(run.wait(run.start(1)), Some(0));
    assert!(
        matches!(run.last(1), Record::Completed(_)),
        "{:?}",
        run.last(1)
    );
    run
}

fn evaluations(run: &RunDirectory) -> Vec<(u64, EvaluatedSite)> {
    let mut found = Vec::new();
    for line in run.journal() {
        if let Record::Evaluated(mut evaluated) = line.record {
            assert_eq!(evaluated.sites.len(), 1);
            found.push((evaluated.step, evaluated.sites.remove(0)));
        }
    }
    found
}

fn sum(of: &Tensor) -> f64 {
    of.to_kind(Kind::Double).sum(Kind::Double).double_value(&[])
}

/// Mean −log p of each next token that is text, one position after the other.
fn cross_entropy(logits: &Tensor, tokens: &Tensor, is_text: &Tensor) -> f64 {
    let probabilities = logits.to_kind(Kind::Double).log_softmax(-1, Kind::Double);
    let (sequences, length) = tokens.size2().unwrap();
    let (mut total, mut count) = (0.0, 0);
    for sequence in 0..sequences {
        for at in 1..length {
            if is_text.int64_value(&[sequence, at]) != 0 {
                let token = tokens.int64_value(&[sequence, at]);
                total -= probabilities.double_value(&[sequence, at - 1, token]);
                count += 1;
            }
        }
    }
    total / f64::from(count)
}

/// What an evaluation at the end of a run must have found.
fn expected(run: &RunDirectory, input: Site, output: Site) -> EvaluatedSite {
    let Record::Completed(finished) = run.last(1) else {
        unreachable!()
    };
    let autoencoder = Autoencoder::load(Path::new(&finished.path), Device::Cpu).unwrap();
    let latest = run.latest_checkpoint().unwrap();
    let state = checkpoint::read_state(Path::new(&latest.path)).unwrap();
    let options = LoadOptions {
        device: Device::Cpu,
        kind: Kind::Float,
        layers: None,
    };
    let model = LanguageModel::load(Path::new(&model()), options, &mut |_, _| {
        ControlFlow::Continue(())
    })
    .unwrap();
    let dataset = TokenizedDataset::open(Path::new(&dataset())).unwrap();
    // 100 tokens are four sequences of 32.
    let last = dataset.num_sequences();
    let batch = dataset
        .batch(&[last - 4, last - 3, last - 2, last - 1])
        .unwrap();
    let points = [input, output].map(|site| HookPoint { layer: 1, site });
    let read = model.activations(&batch.tokens, &points).unwrap();
    let norms = |of: &Tensor| of.norm_scalaropt_dim(2.0, [2i64].as_slice(), false);
    let mut own = batch
        .is_text
        .logical_and(&norms(&read[0]).le(state.normalization.largest_norm));
    if let Some(target) = state.target_normalization {
        own = own.logical_and(&norms(&read[1]).le(target.largest_norm));
    }
    let own = own.unsqueeze(2);
    let width = read[0].size()[2];
    let flat = |of: &Tensor| of.masked_select(&own).view([-1, width]);
    let (x, y) = (flat(&read[0]), flat(&read[1]));
    let latents = autoencoder.encode(&x).unwrap();
    let reconstruction = autoencoder.decode(&latents, &x).unwrap();
    let tokens = x.size()[0];

    let y64 = y.to_kind(Kind::Double);
    let centred = &y64 - y64.mean_dim([0i64].as_slice(), true, Kind::Double);
    let error = &y64 - reconstruction.to_kind(Kind::Double);
    let fired = latents
        .gt(0.0)
        .sum_dim_intlist([0i64].as_slice(), false, Kind::Double);
    let loss = |replacement: Option<&Tensor>| {
        let logits = model
            .logits_with(&batch.tokens, &mut |point, activation| {
                Ok(match replacement {
                    Some(new) if point == points[1] => Some(activation.masked_scatter(&own, new)),
                    _ => None,
                })
            })
            .unwrap();
        cross_entropy(&logits, &batch.tokens, &batch.is_text)
    };
    let (clean, spliced, ablated) = (
        loss(None),
        loss(Some(&reconstruction)),
        loss(Some(&y.zeros_like())),
    );
    EvaluatedSite {
        layer: 1,
        hook: Hook::Residual,
        explained_variance: 1.0 - sum(&error.square()) / sum(&centred.square()),
        active_latents: sum(&fired) / tokens as f64,
        dead_latents: sum(&fired.eq(0.0)) as u64,
        dense_latents: sum(&fired.gt(tokens as f64 / 10.0)) as u64,
        ce_clean: clean,
        ce_spliced: Some(spliced),
        ce_ablated: ablated,
        ce_score: Some((ablated - spliced) / (ablated - clean)),
        tokens: tokens as u64,
    }
}

#[test]
fn evaluations_are_what_the_files_of_the_run_say() {
    for (encoder_type, hook, input, output) in [
        ("sparse", Hook::Residual, Site::Residual, Site::Residual),
        (
            "sparse",
            Hook::Attention,
            Site::AttentionOutput,
            Site::AttentionOutput,
        ),
        ("transcoder", Hook::Mlp, Site::MlpInput, Site::MlpOutput),
        ("skip", Hook::Mlp, Site::MlpInput, Site::MlpOutput),
    ] {
        let run = trained(encoder_type, Hyperparameters { hook, ..short() });
        let found = evaluations(&run);
        let steps: Vec<u64> = found.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [25, 50, u64::from(STEPS)]);
        let found = &found[2].1;
        let expected = EvaluatedSite {
            hook,
            ..expected(&run, input, output)
        };
        let close = |name: &str, found: f64, expected: f64| {
            assert!(
                (found - expected).abs() < 1e-4 * (1.0 + expected.abs()),
                "{encoder_type}: {name} is {found}, not {expected}"
            );
        };
        close(
            "explained variance",
            found.explained_variance,
            expected.explained_variance,
        );
        close("L0", found.active_latents, expected.active_latents);
        close("clean", found.ce_clean, expected.ce_clean);
        close(
            "spliced",
            found.ce_spliced.unwrap(),
            expected.ce_spliced.unwrap(),
        );
        close("ablated", found.ce_ablated, expected.ce_ablated);
        // A difference of losses that are nearly the same decides about the score.
        let lost = (expected.ce_ablated - expected.ce_clean).abs();
        assert!(lost > 1e-3, "{lost}");
        let off = (found.ce_score.unwrap() - expected.ce_score.unwrap()).abs();
        assert!(off < 1e-4 / lost + 1e-4, "{found:?} {expected:?}");
        assert_eq!(
            (found.layer, found.hook, found.tokens),
            (1, hook, expected.tokens)
        );
        assert!(found.dead_latents.abs_diff(expected.dead_latents) <= 1);
        assert!(found.dense_latents.abs_diff(expected.dense_latents) <= 1);
    }
}

#[test]
fn evaluating_changes_nothing_and_is_the_same_each_time() {
    let often = trained(
        "sparse",
        Hyperparameters {
            checkpoint_interval: 5,
            ..short()
        },
    );
    let once = trained(
        "sparse",
        Hyperparameters {
            checkpoint_interval: STEPS,
            ..short()
        },
    );
    let hash = |run: &RunDirectory| run.hash(&run.path().join("result"));
    assert_eq!(hash(&often), hash(&once));
    let (often, once) = (evaluations(&often), evaluations(&once));
    assert_eq!((often.len(), once.len()), (12, 1));
    assert_eq!(often.last(), once.last());
}

#[test]
fn what_is_held_out_is_not_trained_on_and_nothing_is_where_nothing_is_asked_for() {
    let none = trained(
        "sparse",
        Hyperparameters {
            evaluation_tokens: Some(0),
            ..short()
        },
    );
    assert!(evaluations(&none).is_empty());
    let some = trained("sparse", short());
    let hash = |run: &RunDirectory| run.hash(&run.path().join("result"));
    assert_ne!(hash(&none), hash(&some));
    // However many are asked for, no more than a tenth is held out.
    let most = trained(
        "sparse",
        Hyperparameters {
            evaluation_tokens: Some(u32::MAX),
            ..short()
        },
    );
    let latest = most.latest_checkpoint().unwrap();
    let state = checkpoint::read_state(Path::new(&latest.path)).unwrap();
    let sequences = TokenizedDataset::open(Path::new(&dataset()))
        .unwrap()
        .num_sequences();
    assert_eq!(state.held_out_sequences, sequences / 10);
}
