//! The losses with autograd watching, written as the papers write them.

use tch::{Device, Kind, Tensor};
use trainmaster_trainer::autoencoder::{
    gradient::{Activation, AuxK},
    parameters::{Parameters, Shape},
};
use trainmaster_trainer::random::Random;

pub const B: i64 = 32;
pub const D_IN: i64 = 8;
pub const D_OUT: i64 = 6;
pub const N: i64 = 24;

/// Which losses there are beside the reconstruction's.
#[derive(Clone, Debug, Default)]
pub struct Losses<'a> {
    pub sparsity_coefficient: f64,
    pub dead: Option<&'a [i64]>,
    pub ghost: bool,
    pub aux_k: Option<AuxK>,
    pub bandwidth: f64,
}

/// Normally distributed numbers that are the same every time.
pub fn random(shape: &[i64], purpose: &str, scale: f64) -> Tensor {
    let mut random = Random::new(7, purpose, 0);
    let count: i64 = shape.iter().product();
    let numbers: Vec<f32> = (0..count)
        .map(|_| (random.normal() * scale) as f32)
        .collect();
    Tensor::from_slice(&numbers).view(shape)
}

pub fn parameters(shape: Shape) -> Parameters {
    let mut p = Parameters::zeros(shape, Device::Cpu).unwrap();
    let fill = |into: &mut Tensor, name: &str, scale: f64| {
        into.copy_(&random(&into.size(), name, scale));
    };
    fill(&mut p.encoder, "encoder", 0.4);
    fill(&mut p.encoder_bias, "encoder bias", 0.2);
    fill(&mut p.decoder, "decoder", 0.3);
    fill(&mut p.decoder_bias, "decoder bias", 0.3);
    if let Some(threshold) = &mut p.threshold {
        fill(threshold, "threshold", 0.3);
        let _ = threshold.abs_();
    }
    if let Some(magnitude) = &mut p.magnitude {
        fill(&mut magnitude.log_scale, "log scale", 0.3);
        fill(&mut magnitude.bias, "magnitude bias", 0.2);
    }
    if let Some(skip) = &mut p.skip {
        fill(skip, "skip", 0.2);
    }
    p
}

/// A step function with the gradient of the rectangle kernel: the value is H(h − θ), the gradient that of a ramp of width ε.
fn estimated_step(distance: &Tensor, bandwidth: f64) -> Tensor {
    let ramp = (distance / bandwidth).clamp(-0.5, 0.5);
    let step = distance.gt(0.0).to_kind(Kind::Float);
    &ramp - ramp.detach() + step
}

fn sum_rows(of: &Tensor) -> Tensor {
    of.sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
}

/// The loss of a batch and its gradient.
pub fn loss(p: &Parameters, x: &Tensor, y: &Tensor, losses: &Losses) -> (f64, Parameters) {
    let leaf = p.flat.copy().set_requires_grad(true);
    let q = Parameters::of(leaf.shallow_clone(), p.shape).unwrap();
    let read = if p.shape.centres_input() {
        x - &q.decoder_bias
    } else {
        x.shallow_clone()
    };
    let product = read.matmul(&q.encoder.tr());
    let pre = &product + &q.encoder_bias;
    let offset = match &q.skip {
        Some(skip) => &q.decoder_bias + x.matmul(&skip.tr()),
        None => q.decoder_bias.shallow_clone(),
    };
    let norms = q.decoder.norm_scalaropt_dim(2.0, [1i64].as_slice(), false);
    let weight = losses.sparsity_coefficient;
    let l1 = |latents: &Tensor| weight * sum_rows(&(latents * &norms)).mean(Kind::Float);
    let nothing = || Tensor::from(0f32);
    let (latents, sparsity) = match p.shape.activation {
        Activation::Relu => {
            let latents = pre.relu();
            let sparsity = l1(&latents);
            (latents, sparsity)
        }
        Activation::TopK(k) => {
            let (values, members) = pre.topk(k, 1, true, false);
            let latents = pre.zeros_like().scatter(1, &members, &values.relu());
            (latents, nothing())
        }
        Activation::BatchTopK(k) => {
            let flat = pre.view([-1]);
            let (values, members) = flat.topk(k * B, 0, true, false);
            let latents = flat.zeros_like().scatter(0, &members, &values.relu());
            (latents.view([B, N]), nothing())
        }
        Activation::JumpRelu => {
            // The estimators' definitions: H(h − θ) in the loss, where only θ gets a gradient; h·H(h − θ) in the latents, where h gets H
            // and θ the estimator's −θ/ε·K.
            let theta = q.threshold.as_ref().unwrap();
            let step = estimated_step(&(pre.detach() - theta), losses.bandwidth);
            let sparsity = weight * sum_rows(&step).mean(Kind::Float);
            let open = pre.gt_tensor(theta).to_kind(Kind::Float);
            let to_threshold = (&step - step.detach()) * theta.detach();
            (&pre * open + to_threshold, sparsity)
        }
        Activation::Gated => {
            let magnitude = q.magnitude.as_ref().unwrap();
            let size = (&product * magnitude.log_scale.exp() + &magnitude.bias).relu();
            let gate = pre.relu();
            let auxiliary = gate.matmul(&q.decoder) + &offset - y;
            let sparsity = l1(&gate) + sum_rows(&auxiliary.square()).mean(Kind::Float);
            (size * pre.gt(0.0).to_kind(Kind::Float), sparsity)
        }
    };
    let output = latents.matmul(&q.decoder) + &offset;
    let squares = (&output - y).square();
    let mut loss = sum_rows(&squares).mean(Kind::Float) + sparsity;
    if let Some(dead) = losses.dead {
        let dead = Tensor::from_slice(dead);
        let residual = (y - &output).detach();
        let pre = pre.index_select(1, &dead);
        let decoder = q.decoder.index_select(0, &dead);
        if losses.ghost {
            let ghost = pre.exp().matmul(&decoder);
            let norm = |t: &Tensor| t.norm_scalaropt_dim(2.0, [1i64].as_slice(), true).detach();
            let ghost = &ghost * (norm(&residual) / (norm(&ghost) * 2.0 + 1e-6));
            let each = (ghost - &residual).square();
            let scale = (squares / (&each + 1e-6)).detach();
            loss += (each * scale).mean(Kind::Float);
        }
        if let Some(aux_k) = losses.aux_k {
            let count = dead.numel() as i64;
            let (values, members) = pre.topk(aux_k.k.min(count), 1, true, false);
            let latents = pre.zeros_like().scatter(1, &members, &values);
            let error = sum_rows(&(latents.matmul(&decoder) - residual).square());
            let scale = aux_k.coefficient * (count as f64 / aux_k.k as f64).min(1.0);
            loss += scale * error.mean(Kind::Float);
        }
    }
    loss.backward();
    let gradient = Parameters::of(leaf.grad(), p.shape).unwrap();
    (loss.double_value(&[]), gradient)
}
