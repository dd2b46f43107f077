//! Drawing tokens: which can be drawn, how often, and that a seed decides it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use trainmaster_domain::run::spec::Sampling;
use trainmaster_trainer::generation::Sampler;

/// Probabilities 0.4, 0.3, 0.15, 0.1 and 0.05, not in their order.
fn logits() -> Vec<f32> {
    [0.1_f32, 0.4, 0.05, 0.3, 0.15].map(f32::ln).to_vec()
}

fn plain() -> Sampling {
    Sampling {
        temperature: 1.0,
        ..Sampling::default()
    }
}

/// How often each token is drawn in 20,000 drawings, which is within 0.015 of its probability.
fn frequencies(sampling: &Sampling) -> Vec<f64> {
    let mut sampler = Sampler::new(sampling, &[]);
    let mut drawn = [0_u32; 5];
    for _ in 0..20_000 {
        drawn[sampler.draw(&mut logits()).unwrap() as usize] += 1;
    }
    drawn
        .iter()
        .map(|count| f64::from(*count) / 20_000.0)
        .collect()
}

fn near(found: &[f64], expected: &[f64]) {
    for (found, expected) in found.iter().zip(expected) {
        let impossible = *expected == 0.0 && *found > 0.0;
        assert!(
            (found - expected).abs() < 0.015 && !impossible,
            "{found} instead of {expected}"
        );
    }
}

#[test]
fn every_token_is_drawn_as_often_as_it_is_likely() {
    near(&frequencies(&plain()), &[0.1, 0.4, 0.05, 0.3, 0.15]);
}

#[test]
fn temperature_makes_the_likely_likelier_or_less_so() {
    let at = |temperature: f64| {
        let weights = [0.1_f64, 0.4, 0.05, 0.3, 0.15].map(|p| p.powf(1.0 / temperature));
        let total: f64 = weights.iter().sum();
        let expected = weights.map(|weight| weight / total);
        near(
            &frequencies(&Sampling {
                temperature,
                ..plain()
            }),
            &expected,
        );
    };
    at(0.5);
    at(3.0);
}

#[test]
fn top_k_draws_among_the_likeliest_only() {
    let kept = |top_k: u32| frequencies(&Sampling { top_k, ..plain() });
    near(&kept(2), &[0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0, 0.0]);
    near(&kept(1), &[0.0, 1.0, 0.0, 0.0, 0.0]);
    near(&kept(50), &[0.1, 0.4, 0.05, 0.3, 0.15]);
}

#[test]
fn top_p_draws_among_the_fewest_tokens_that_are_likely_enough_together() {
    let kept = |top_p: f64| frequencies(&Sampling { top_p, ..plain() });
    near(&kept(0.6), &[0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0, 0.0]);
    let of = 0.85;
    near(&kept(0.8), &[0.0, 0.4 / of, 0.0, 0.3 / of, 0.15 / of]);
    near(&kept(0.01), &[0.0, 1.0, 0.0, 0.0, 0.0]);
    // Of what top-k leaves: 4/7 alone are enough for half of it.
    let both = Sampling {
        top_k: 2,
        top_p: 0.5,
        ..plain()
    };
    near(&frequencies(&both), &[0.0, 1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn at_temperature_0_the_first_of_the_likeliest_is_drawn() {
    let greedy = Sampling {
        temperature: 0.0,
        ..plain()
    };
    let mut sampler = Sampler::new(&greedy, &[]);
    assert_eq!(sampler.draw(&mut [1.0, 3.0, 2.0]), Some(1));
    assert_eq!(sampler.draw(&mut [3.0, 1.0, 3.0]), Some(0));
    assert_eq!(sampler.draw(&mut [f32::NEG_INFINITY, -1.0]), Some(1));
}

#[test]
fn what_was_written_is_less_likely_with_a_repetition_penalty() {
    let sampling = Sampling {
        temperature: 0.0,
        repetition_penalty: 2.0,
        ..plain()
    };
    let mut sampler = Sampler::new(&sampling, &[0]);
    let mut logits = [4.0, 3.0, 2.5];
    assert_eq!(sampler.draw(&mut logits), Some(1), "the prompt counts");
    assert_eq!(logits, [2.0, 3.0, 2.5]);
    let mut logits = [-4.0, 3.0, -1.0];
    assert_eq!(sampler.draw(&mut logits), Some(1));
    assert_eq!(
        logits,
        [-8.0, 1.5, -1.0],
        "each once, and none the likelier for it"
    );
}

#[test]
fn a_seed_decides_what_is_drawn() {
    let drawn = |seed: u64| {
        let mut sampler = Sampler::new(&Sampling { seed, ..plain() }, &[]);
        (0..50)
            .map(|_| sampler.draw(&mut logits()).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
}

#[test]
fn logits_that_are_no_numbers_draw_nothing() {
    for sampling in [
        plain(),
        Sampling {
            temperature: 0.0,
            ..plain()
        },
    ] {
        let mut sampler = Sampler::new(&sampling, &[]);
        assert_eq!(sampler.draw(&mut [1.0, f32::NAN]), None);
        assert_eq!(sampler.draw(&mut [1.0, f32::INFINITY]), None);
        assert_eq!(sampler.draw(&mut [f32::NEG_INFINITY; 3]), None);
        assert_eq!(sampler.draw(&mut []), None);
    }
}
