//! Changing the forward pass at its hooks, going on token by token with a cache, reading directions through the logit lens.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{ops::ControlFlow, path::Path};
use tch::{Device, Kind, TchError, Tensor};
use trainmaster_trainer::language_model::{HookPoint, KvCache, LanguageModel, LoadOptions, Site};

const SITES: [Site; 4] = [
    Site::AttentionOutput,
    Site::MlpInput,
    Site::MlpOutput,
    Site::Residual,
];

fn tiny(layers: Option<usize>) -> LanguageModel {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tiny-llama");
    // Tiny products are slower on several threads, and tests run side by side.
    tch::set_num_threads(1);
    let options = LoadOptions {
        device: Device::Cpu,
        kind: Kind::Float,
        layers,
    };
    LanguageModel::load(&path, options, &mut |_, _| ControlFlow::Continue(())).unwrap()
}

fn tokens(batch: i64, length: i64) -> Tensor {
    let ids: Vec<i64> = (0..batch * length).map(|at| at * 131 % 512).collect();
    Tensor::from_slice(&ids).view([batch, length])
}

fn relative_error(ours: &Tensor, exact: &Tensor) -> f64 {
    assert_eq!(ours.size(), exact.size());
    f64::try_from((ours - exact).norm() / exact.norm()).unwrap()
}

fn keep(_: HookPoint, _: &Tensor) -> Result<Option<Tensor>, TchError> {
    Ok(None)
}

#[test]
fn replacing_every_activation_by_itself_changes_nothing() {
    let model = tiny(None);
    let tokens = tokens(2, 9);
    let mut seen = Vec::new();
    let same = model
        .logits_with(&tokens, &mut |point, activation| {
            seen.push(point);
            Ok(Some(activation.copy()))
        })
        .unwrap();
    assert_eq!(same, model.logits(&tokens).unwrap());
    let expected: Vec<_> = (0..4)
        .flat_map(|layer| SITES.map(|site| HookPoint { layer, site }))
        .collect();
    assert_eq!(seen, expected);
    assert!(seen.is_sorted());
}

#[test]
fn what_an_intervention_sees_is_what_activations_returns() {
    let model = tiny(None);
    let tokens = tokens(2, 9);
    let hooks: Vec<_> = SITES.map(|site| HookPoint { layer: 2, site }).into();
    let mut seen = Vec::new();
    let _logits = model
        .logits_with(&tokens, &mut |point, activation| {
            if point.layer == 2 {
                seen.push(activation.shallow_clone());
            }
            Ok(None)
        })
        .unwrap();
    assert_eq!(model.activations(&tokens, &hooks).unwrap(), seen);
}

/// What replaces an activation is what later layers compute with: the residual stream is the sum of what was put there.
#[test]
fn replacements_reach_the_residual_stream_and_the_logits() {
    let model = tiny(None);
    let tokens = tokens(1, 7);
    let plain = model.logits(&tokens).unwrap();
    for site in SITES {
        let at = HookPoint { layer: 1, site };
        let mut residuals = Vec::new();
        let changed = model
            .logits_with(&tokens, &mut |point, activation| {
                if point.site == Site::Residual {
                    residuals.push(activation.shallow_clone());
                }
                Ok((point == at).then(|| activation.zeros_like()))
            })
            .unwrap();
        assert!(
            relative_error(&changed, &plain) > 1e-2,
            "{site:?} was zeroed in vain"
        );
        let hooks = [0, 1].map(|layer| HookPoint {
            layer,
            site: Site::Residual,
        });
        let before = model.activations(&tokens, &hooks).unwrap();
        assert_eq!(
            residuals[0], before[0],
            "{site:?} of layer 1 reached layer 0"
        );
        if site == Site::MlpOutput {
            let attention = HookPoint {
                layer: 1,
                site: Site::AttentionOutput,
            };
            let attention = model.activations(&tokens, &[attention]).unwrap().remove(0);
            assert_eq!(residuals[1], &before[0] + &attention);
        }
    }
}

#[test]
fn a_replacement_of_another_shape_is_an_error() {
    let error = tiny(None)
        .logits_with(&tokens(1, 3), &mut |_, activation| {
            Ok(Some(activation.select(0, 0)))
        })
        .unwrap_err();
    assert!(error.to_string().contains("cannot be replaced"), "{error}");
}

#[test]
fn token_by_token_with_a_cache_computes_what_one_pass_computes() {
    let model = tiny(None);
    let (batch, length) = (3, 150);
    let tokens = tokens(batch, length);
    let whole = model.logits(&tokens).unwrap();
    // A prompt, pieces of it, and single tokens; 64 and 65 lie around a block of attention.
    for pieces in [
        vec![150],
        vec![1; 150],
        vec![64, 65, 1, 20],
        vec![7, 1, 70, 72],
    ] {
        let mut cache = KvCache::new(&model, batch, length).unwrap();
        for new in pieces {
            let start = cache.length();
            let logits = model
                .next_logits(&tokens.narrow(1, start, new), &mut cache, &mut keep)
                .unwrap();
            assert_eq!(cache.length(), start + new);
            let error = relative_error(&logits, &whole.select(1, cache.length() - 1));
            assert!(error < 1e-5, "{new} tokens at {start}: {error:e}");
        }
    }
}

#[test]
fn interventions_act_the_same_with_a_cache() {
    let model = tiny(None);
    let tokens = tokens(2, 12);
    let steering = Tensor::randn([64], (Kind::Float, Device::Cpu));
    let mut steer = |point: HookPoint, activation: &Tensor| {
        let here = point
            == HookPoint {
                layer: 1,
                site: Site::Residual,
            };
        Ok(here.then(|| activation + &steering))
    };
    let whole = model.logits_with(&tokens, &mut steer).unwrap();
    assert!(relative_error(&whole, &model.logits(&tokens).unwrap()) > 1e-2);
    let mut cache = KvCache::new(&model, 2, 12).unwrap();
    for (start, new) in [(0, 5), (5, 1), (6, 6)] {
        let logits = model
            .next_logits(&tokens.narrow(1, start, new), &mut cache, &mut steer)
            .unwrap();
        assert!(relative_error(&logits, &whole.select(1, start + new - 1)) < 1e-5);
    }
}

#[test]
fn a_cache_is_bounded_and_can_be_used_again() {
    let model = tiny(None);
    let tokens = tokens(1, 6);
    let mut cache = KvCache::new(&model, 1, 4).unwrap();
    let error = model
        .next_logits(&tokens, &mut cache, &mut keep)
        .unwrap_err();
    assert_eq!(error.code(), "sequence_too_long");
    assert_eq!((cache.length(), cache.capacity()), (0, 4));
    let first = model
        .next_logits(&tokens.narrow(1, 0, 4), &mut cache, &mut keep)
        .unwrap();
    let failed = model.next_logits(&tokens.narrow(1, 4, 1), &mut cache, &mut keep);
    assert_eq!(failed.unwrap_err().code(), "sequence_too_long");
    cache.clear();
    let failed = model.next_logits(&tokens.narrow(1, 0, 4), &mut cache, &mut |_, _| {
        Err(TchError::Torch("no".to_owned()))
    });
    assert!(failed.is_err() && cache.length() == 0);
    let again = model
        .next_logits(&tokens.narrow(1, 0, 4), &mut cache, &mut keep)
        .unwrap();
    assert_eq!(first, again);
}

#[test]
fn a_direction_promotes_what_adding_much_of_it_promotes() {
    let model = tiny(None);
    let directions = Tensor::randn([3, 64], (Kind::Float, Device::Cpu));
    let promoted = model.promoted(&directions).unwrap();
    assert_eq!(promoted.size(), [3, 512]);
    let last = HookPoint {
        layer: 3,
        site: Site::Residual,
    };
    for row in 0..3 {
        // Where the residual stream is this direction alone, logits are what it promotes over its root mean square.
        let direction = directions.get(row);
        let logits = model
            .logits_with(&tokens(1, 2), &mut |point, activation| {
                Ok((point == last).then(|| (&direction * 1e4).expand_as(activation)))
            })
            .unwrap();
        let expected = promoted.get(row) / direction.square().mean(Kind::Float).sqrt();
        assert!(relative_error(&logits.select(1, 1).get(0), &expected) < 1e-4);
    }
    let unembedding = model.unembedding().unwrap();
    assert_eq!(unembedding.size(), [512, 64]);
    assert_eq!(
        tiny(Some(2)).promoted(&directions).unwrap_err().code(),
        "no_such_layer"
    );
}
