//! The closed-form gradients against libtorch's autograd on the formula as the papers write it.

#![allow(clippy::unwrap_used)]

mod gradient {
    pub mod reference;
}

use gradient::reference::{B, D_IN, D_OUT, Losses, N, loss, parameters, random};
use tch::{Device, Kind, Tensor};
use trainmaster_domain::training::EncoderType;
use trainmaster_trainer::autoencoder::{
    gradient::{Activation, Arithmetic, Asked, AuxK, Gradient},
    parameters::{Parameters, Shape},
};

const FUNCTIONS: [Activation; 5] = [
    Activation::Relu,
    Activation::TopK(5),
    Activation::BatchTopK(4),
    Activation::JumpRelu,
    Activation::Gated,
];

const ENCODER_TYPES: [EncoderType; 3] = [
    EncoderType::Sparse,
    EncoderType::Transcoder,
    EncoderType::Skip,
];

fn shape(encoder_type: EncoderType, activation: Activation) -> Shape {
    let sparse = encoder_type == EncoderType::Sparse;
    Shape {
        encoder_type,
        activation,
        d_in: D_IN,
        d_out: if sparse { D_IN } else { D_OUT },
        d_sae: N,
    }
}

/// Activations and what is to be made of them.
fn data(shape: Shape) -> (Tensor, Tensor) {
    let x = random(&[B, D_IN], "activations", 1.0);
    if shape.encoder_type == EncoderType::Sparse {
        let y = x.shallow_clone();
        (x, y)
    } else {
        (x, random(&[B, D_OUT], "targets", 1.0))
    }
}

/// Everything that a parameter vector consists of, by name.
fn parts(of: &Parameters) -> Vec<(&'static str, &Tensor)> {
    let mut parts = vec![
        ("encoder", &of.encoder),
        ("encoder bias", &of.encoder_bias),
        ("decoder", &of.decoder),
        ("decoder bias", &of.decoder_bias),
    ];
    parts.extend(of.threshold.as_ref().map(|t| ("threshold", t)));
    parts.extend(of.magnitude.as_ref().map(|m| ("log scale", &m.log_scale)));
    parts.extend(of.magnitude.as_ref().map(|m| ("magnitude bias", &m.bias)));
    parts.extend(of.skip.as_ref().map(|s| ("skip", s)));
    parts
}

struct Case<'a> {
    shape: Shape,
    losses: Losses<'a>,
    arithmetic: Arithmetic,
    kind: Kind,
    tolerance: f64,
}

impl Case<'_> {
    fn of(encoder_type: EncoderType, activation: Activation) -> Self {
        Self {
            shape: shape(encoder_type, activation),
            losses: Losses {
                sparsity_coefficient: if activation.wants_sparsity_loss() {
                    0.3
                } else {
                    0.0
                },
                bandwidth: 0.4,
                ..Losses::default()
            },
            arithmetic: Arithmetic::Dense,
            kind: Kind::Float,
            tolerance: 1e-5,
        }
    }

    fn check(&self) {
        let what = format!("{:?}, {:?}, {:?}", self.shape, self.arithmetic, self.losses);
        let (x, y) = data(self.shape);
        let p = parameters(self.shape);
        let (expected, expected_gradient) = loss(&p, &x, &y, &self.losses);
        let mut gradient = Gradient::new(&p, B, self.kind).unwrap();
        let dead = self.losses.dead.map(|dead| {
            let none = Tensor::zeros([N], (Kind::Bool, Device::Cpu));
            none.index_fill(0, &Tensor::from_slice(dead), 1)
        });
        // Twice, because buffers are reused.
        for _ in 0..2 {
            let asked = Asked {
                sparsity_coefficient: self.losses.sparsity_coefficient,
                dead: dead.as_ref(),
                ghost: self.losses.ghost,
                aux_k: self.losses.aux_k,
                bandwidth: self.losses.bandwidth,
                usual_cut: None,
                count: true,
                arithmetic: self.arithmetic,
            };
            let outcome = gradient.compute(&p, &x, &y, asked).unwrap();
            assert!(
                (outcome.loss() - expected).abs() <= self.tolerance * expected.abs(),
                "{what}: loss {} is not {expected}",
                outcome.loss()
            );
            for ((name, ours), (_, theirs)) in parts(&gradient.gradients)
                .into_iter()
                .zip(parts(&expected_gradient))
            {
                let difference = (ours - theirs).norm().double_value(&[]);
                let size = theirs.norm().double_value(&[]);
                assert!(size > 0.0, "{what}: {name} has a gradient");
                assert!(
                    difference <= self.tolerance * size,
                    "{what}: {name}: off by {difference} of {size}"
                );
            }
        }
    }
}

#[test]
fn every_function_has_the_gradient_of_its_formula_in_every_encoder_type() {
    for encoder_type in ENCODER_TYPES {
        for activation in FUNCTIONS {
            Case::of(encoder_type, activation).check();
        }
    }
}

#[test]
fn touching_active_latents_only_gives_the_same_gradient() {
    for encoder_type in ENCODER_TYPES {
        for activation in [Activation::Relu, Activation::JumpRelu, Activation::Gated] {
            Case {
                arithmetic: Arithmetic::Sparse,
                ..Case::of(encoder_type, activation)
            }
            .check();
        }
    }
}

#[test]
fn without_a_sparsity_loss_the_gradient_is_that_of_the_reconstruction() {
    for activation in [Activation::Relu, Activation::JumpRelu, Activation::Gated] {
        for arithmetic in [Arithmetic::Dense, Arithmetic::Sparse] {
            let mut case = Case::of(EncoderType::Sparse, activation);
            case.losses.sparsity_coefficient = 0.0;
            case.arithmetic = arithmetic;
            case.check();
        }
    }
}

#[test]
fn ghost_gradients_reach_exactly_the_dead_latents() {
    for encoder_type in ENCODER_TYPES {
        for activation in FUNCTIONS {
            let mut case = Case::of(encoder_type, activation);
            case.losses.dead = Some(&[1, 4, 20]);
            case.losses.ghost = true;
            case.check();
        }
    }
}

#[test]
fn the_auxiliary_loss_lets_the_strongest_dead_latents_reconstruct_the_residual() {
    for encoder_type in ENCODER_TYPES {
        for activation in FUNCTIONS {
            // Fewer than there are dead, and more: then all of them, and a smaller loss.
            for k in [2, 6] {
                let mut case = Case::of(encoder_type, activation);
                case.losses.dead = Some(&[0, 7, 11, 23]);
                case.losses.aux_k = Some(AuxK {
                    k,
                    coefficient: 0.25,
                });
                case.check();
            }
        }
    }
}

#[test]
fn bf16_products_stay_within_their_rounding() {
    for encoder_type in ENCODER_TYPES {
        for activation in [Activation::Relu, Activation::Gated] {
            for arithmetic in [Arithmetic::Dense, Arithmetic::Sparse] {
                Case {
                    kind: Kind::BFloat16,
                    tolerance: 4e-2,
                    arithmetic,
                    ..Case::of(encoder_type, activation)
                }
                .check();
            }
        }
    }
}

/// Latents that the reference has for a batch.
fn reference_latents(p: &Parameters, x: &Tensor) -> Tensor {
    ((x - &p.decoder_bias).matmul(&p.encoder.tr()) + &p.encoder_bias).relu()
}

#[test]
fn the_latents_that_fired_are_known() {
    for arithmetic in [Arithmetic::Dense, Arithmetic::Sparse] {
        let shape = shape(EncoderType::Sparse, Activation::Relu);
        let (x, y) = data(shape);
        let p = parameters(shape);
        let latents = reference_latents(&p, &x);
        let mut gradient = Gradient::new(&p, B, Kind::Float).unwrap();
        let asked = Asked {
            count: true,
            arithmetic,
            ..Asked::default()
        };
        let outcome = gradient.compute(&p, &x, &y, asked).unwrap();
        let counts = latents
            .gt(0.0)
            .sum_dim_intlist([0i64].as_slice(), false, Kind::Int64);
        assert!(outcome.fired.equal(&counts.gt(0)));
        assert!(outcome.firings.unwrap().equal(&counts));
    }
}

#[test]
fn batch_topk_finds_the_largest_of_the_batch_wherever_it_looks_first() {
    let shape = shape(EncoderType::Sparse, Activation::BatchTopK(4));
    let (x, y) = data(shape);
    let p = parameters(shape);
    let (largest, _) = reference_latents(&p, &x)
        .view([-1])
        .topk(4 * B, 0, true, true);
    let cut = largest.min().double_value(&[]);
    let mut gradient = Gradient::new(&p, B, Kind::Float).unwrap();
    let mut found = Vec::new();
    // Never seen, right, far too low, far too high.
    for usual_cut in [None, Some(cut), Some(cut / 100.0), Some(cut * 100.0)] {
        let asked = Asked {
            usual_cut,
            ..Asked::default()
        };
        let outcome = gradient.compute(&p, &x, &y, asked).unwrap();
        assert!((outcome.cut.unwrap() - cut).abs() < 1e-6);
        let active = outcome.firings.unwrap().sum(Kind::Int64).int64_value(&[]);
        assert_eq!(active, 4 * B);
        found.push(gradient.gradients.flat.copy());
    }
    assert!(found.iter().all(|gradient| gradient.equal(&found[0])));
}

#[test]
fn few_active_latents_are_multiplied_sparsely_and_many_densely_by_themselves() {
    // Rounding tells the two apart.
    for (bias, arithmetic) in [(-3.0, Arithmetic::Sparse), (0.0, Arithmetic::Dense)] {
        let shape = shape(EncoderType::Sparse, Activation::Relu);
        let (x, y) = data(shape);
        let mut p = parameters(shape);
        let _ = p.encoder_bias.fill_(bias);
        let gradient_of = |arithmetic| {
            let mut gradient = Gradient::new(&p, B, Kind::BFloat16).unwrap();
            let asked = Asked {
                arithmetic,
                ..Asked::default()
            };
            gradient.compute(&p, &x, &y, asked).unwrap();
            gradient.gradients.flat
        };
        let by_itself = gradient_of(Arithmetic::Measured);
        assert!(by_itself.equal(&gradient_of(arithmetic)), "{arithmetic:?}");
        let other = match arithmetic {
            Arithmetic::Dense => Arithmetic::Sparse,
            _ => Arithmetic::Dense,
        };
        assert!(!by_itself.equal(&gradient_of(other)));
    }
}

#[test]
fn a_batch_of_another_shape_is_refused() {
    let shape = shape(EncoderType::Skip, Activation::Relu);
    let (x, y) = data(shape);
    let p = parameters(shape);
    let mut gradient = Gradient::new(&p, B, Kind::Float).unwrap();
    for (x, y) in [(&x, &x), (&x.narrow(0, 0, 3), &y)] {
        assert!(gradient.compute(&p, x, y, Asked::default()).is_err());
    }
}
