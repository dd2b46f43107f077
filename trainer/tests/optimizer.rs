//! The optimizers against the formulas of PyTorch's documentation, written out in f64.

#![allow(clippy::unwrap_used)]

use tch::{Device, Kind, Tensor};
use trainmaster_domain::hyperparameters::{Hyperparameters, Optimizer as Which};
use trainmaster_trainer::optimizer::{Optimizer, Rule};
use trainmaster_trainer::random::Random;

/// Numbers in the vector.
const COUNT: usize = 31;

struct Reference {
    weights: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Reference {
    fn step(&mut self, h: &Hyperparameters, gradient: &[f64], rate: f64, t: i32) {
        for (i, gradient) in gradient.iter().enumerate() {
            let (w, m, v) = (
                &mut self.weights[i],
                &mut self.first[i],
                &mut self.second[i],
            );
            let mut g = *gradient;
            match h.optimizer {
                Which::AdamW => *w -= rate * h.weight_decay * *w,
                Which::Adam | Which::Sgd => g += h.weight_decay * *w,
            }
            if h.optimizer == Which::Sgd {
                *m = h.beta1 * *m + g;
                *w -= rate * *m;
            } else {
                *m = h.beta1 * *m + (1.0 - h.beta1) * g;
                *v = h.beta2 * *v + (1.0 - h.beta2) * g * g;
                let m_hat = *m / (1.0 - h.beta1.powi(t));
                let v_hat = *v / (1.0 - h.beta2.powi(t));
                *w -= rate * m_hat / (v_hat.sqrt() + 1e-8);
            }
        }
    }
}

fn check(which: Which, weight_decay: f64) {
    let h = Hyperparameters {
        optimizer: which,
        weight_decay,
        beta1: 0.8,
        beta2: 0.95,
        ..Hyperparameters::default()
    };
    let mut random = Random::new(3, "weights", 0);
    let mut numbers = |scale: f64| -> Vec<f64> {
        (0..COUNT)
            .map(|_| f64::from((random.normal() * scale) as f32))
            .collect()
    };
    let weights = numbers(1.0);
    let mut reference = Reference {
        weights: weights.clone(),
        first: vec![0.0; COUNT],
        second: vec![0.0; COUNT],
    };
    let parameters = Tensor::from_slice(&weights).to_kind(Kind::Float);
    let mut optimizer = Optimizer::new(Rule::from(&h), &parameters).unwrap();
    for t in 1..=20 {
        let gradient = numbers(0.1);
        let rate = 0.01 * f64::from(21 - t);
        let gradients = Tensor::from_slice(&gradient).to_kind(Kind::Float);
        optimizer
            .step(&parameters, &gradients, rate, t as u64)
            .unwrap();
        reference.step(&h, &gradient, rate, t);
        let ours: Vec<f64> = Vec::try_from(&parameters.to_kind(Kind::Double)).unwrap();
        for (ours, theirs) in ours.iter().zip(&reference.weights) {
            assert!(
                (ours - theirs).abs() < 1e-5,
                "{ours} is not {theirs} at step {t}"
            );
        }
    }
    assert_ne!(reference.weights, weights);
}

#[test]
fn adamw_is_what_its_paper_says() {
    check(Which::AdamW, 0.0);
    check(Which::AdamW, 0.1);
}

#[test]
fn adam_takes_weight_decay_into_the_gradient() {
    check(Which::Adam, 0.1);
}

#[test]
fn sgd_has_momentum() {
    check(Which::Sgd, 0.0);
    check(Which::Sgd, 0.1);
}

#[test]
fn a_learning_rate_of_nothing_changes_nothing() {
    let parameters = Tensor::zeros([COUNT as i64], (Kind::Float, Device::Cpu));
    let gradients = Tensor::ones_like(&parameters);
    let rule = Rule::from(&Hyperparameters::default());
    let mut optimizer = Optimizer::new(rule, &parameters).unwrap();
    optimizer.step(&parameters, &gradients, 0.0, 1).unwrap();
    assert_eq!(parameters.abs().sum(Kind::Float).double_value(&[]), 0.0);
}
