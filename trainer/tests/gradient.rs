//! The closed-form gradients against libtorch's autograd on the formula as the papers write it.

#![allow(clippy::unwrap_used)]

use tch::{Device, Kind, Tensor};
use trainmaster_trainer::autoencoder::{
    gradient::{Activation, Asked, Gradient},
    parameters::Parameters,
    random::Random,
};

const B: i64 = 32;
const D: i64 = 8;
const N: i64 = 24;

fn random(shape: &[i64], purpose: &str, scale: f64) -> Tensor {
    let mut random = Random::new(7, purpose, 0);
    let count: i64 = shape.iter().product();
    let numbers: Vec<f32> = (0..count)
        .map(|_| (random.normal() * scale) as f32)
        .collect();
    Tensor::from_slice(&numbers).view(shape)
}

fn parameters() -> Parameters {
    let mut parameters = Parameters::zeros(D, N, Device::Cpu).unwrap();
    parameters.encoder.copy_(&random(&[N, D], "encoder", 0.4));
    parameters
        .encoder_bias
        .copy_(&random(&[N], "encoder bias", 0.2));
    parameters.decoder.copy_(&random(&[N, D], "decoder", 0.3));
    parameters
        .decoder_bias
        .copy_(&random(&[D], "decoder bias", 0.3));
    parameters
}

struct Reference {
    loss: Tensor,
    leaves: Vec<Tensor>,
}

/// The loss with autograd watching: [encoder, encoder bias, decoder, decoder bias].
fn reference(x: &Tensor, activation: Activation, l1: f64, dead: Option<&[i64]>) -> Reference {
    let p = parameters();
    let leaf = |t: &Tensor| t.copy().set_requires_grad(true);
    let leaves = vec![
        leaf(&p.encoder),
        leaf(&p.encoder_bias),
        leaf(&p.decoder),
        leaf(&p.decoder_bias),
    ];
    let (enc, b_enc, dec, b_dec) = (&leaves[0], &leaves[1], &leaves[2], &leaves[3]);
    let pre = (x - b_dec).matmul(&enc.tr()) + b_enc;
    let latents = match activation {
        Activation::Relu => pre.relu(),
        Activation::TopK(k) => {
            let (values, members) = pre.topk(k, 1, true, false);
            pre.zeros_like().scatter(1, &members, &values.relu())
        }
    };
    let output = latents.matmul(dec) + b_dec;
    let squares = (&output - x).square();
    let mut loss = squares
        .sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
        .mean(Kind::Float);
    let norms = dec.norm_scalaropt_dim(2.0, [1i64].as_slice(), false);
    loss += l1 * (&latents * norms).sum(Kind::Float) / B as f64;
    if let Some(dead) = dead {
        let dead = Tensor::from_slice(dead);
        let residual = (x - &output).detach();
        let ghost = pre
            .index_select(1, &dead)
            .exp()
            .matmul(&dec.index_select(0, &dead));
        let norm = |t: &Tensor| t.norm_scalaropt_dim(2.0, [1i64].as_slice(), true).detach();
        let ghost = &ghost * (norm(&residual) / (norm(&ghost) * 2.0 + 1e-6));
        let each = (ghost - residual).square();
        let scale = (squares / (&each + 1e-6)).detach();
        loss += (each * scale).mean(Kind::Float);
    }
    loss.backward();
    Reference { loss, leaves }
}

fn check(activation: Activation, l1: f64, dead: Option<&[i64]>, kind: Kind, tolerance: f64) {
    let x = random(&[B, D], "activations", 1.0);
    let expected = reference(&x, activation, l1, dead);
    let p = parameters();
    let mut gradient = Gradient::new(&p, activation, B, kind).unwrap();
    let mask = dead.map(|dead| {
        Tensor::zeros([N], (Kind::Bool, Device::Cpu)).index_fill(0, &Tensor::from_slice(dead), 1)
    });
    // Twice, because buffers are reused.
    for _ in 0..2 {
        let asked = Asked {
            sparsity_coefficient: l1,
            dead: mask.as_ref(),
            count_active: true,
        };
        let outcome = gradient.compute(&p, &x, asked).unwrap();
        let loss = expected.loss.double_value(&[]);
        assert!(
            (outcome.loss() - loss).abs() <= tolerance * loss.abs(),
            "loss {} is not {loss}",
            outcome.loss()
        );
        let g = &gradient.gradients;
        for (name, ours, leaf) in [
            ("encoder", &g.encoder, &expected.leaves[0]),
            ("encoder bias", &g.encoder_bias, &expected.leaves[1]),
            ("decoder", &g.decoder, &expected.leaves[2]),
            ("decoder bias", &g.decoder_bias, &expected.leaves[3]),
        ] {
            let theirs = leaf.grad();
            let difference = (ours - &theirs).norm().double_value(&[]);
            let size = theirs.norm().double_value(&[]);
            assert!(size > 0.0, "{name} has a gradient");
            assert!(
                difference <= tolerance * size,
                "{name}: off by {difference} of {size}"
            );
        }
    }
}

#[test]
fn relu_with_l1_has_the_gradient_of_its_formula() {
    check(Activation::Relu, 0.3, None, Kind::Float, 1e-5);
}

#[test]
fn relu_without_l1_has_the_gradient_of_its_formula() {
    check(Activation::Relu, 0.0, None, Kind::Float, 1e-5);
}

#[test]
fn topk_has_the_gradient_of_its_formula() {
    check(Activation::TopK(5), 0.0, None, Kind::Float, 1e-5);
}

#[test]
fn ghost_gradients_reach_exactly_the_dead_latents() {
    check(Activation::Relu, 0.3, Some(&[1, 4, 20]), Kind::Float, 1e-5);
    check(Activation::TopK(5), 0.0, Some(&[0, 23]), Kind::Float, 1e-5);
}

#[test]
fn bf16_products_stay_within_their_rounding() {
    check(Activation::Relu, 0.3, None, Kind::BFloat16, 4e-2);
}

#[test]
fn the_latents_that_fired_are_known() {
    let x = random(&[B, D], "activations", 1.0);
    let p = parameters();
    let latents = ((&x - &p.decoder_bias).matmul(&p.encoder.tr()) + &p.encoder_bias).relu();
    let mut gradient = Gradient::new(&p, Activation::Relu, B, Kind::Float).unwrap();
    let asked = Asked {
        count_active: true,
        ..Asked::default()
    };
    let outcome = gradient.compute(&p, &x, asked).unwrap();
    let expected = latents.amax([0i64].as_slice(), false).gt(0.0);
    assert!(outcome.fired.equal(&expected));
    assert_eq!(
        outcome.active,
        Some(latents.count_nonzero(None::<i64>).int64_value(&[]))
    );
}
