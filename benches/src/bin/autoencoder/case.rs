//! What is measured.

use crate::data::BATCH;
use tch::Kind;
use trainmaster_domain::hyperparameters::{
    ActivationFunction, Hyperparameters, LrSchedule, Optimizer,
};

pub const LEARNING_RATE: f64 = 0.001;
pub const TOP_K: u32 = 32;
/// SAELens's defaults.
pub const JUMP_THRESHOLD: f64 = 0.01;
pub const JUMP_BANDWIDTH: f64 = 0.05;

pub struct Case {
    pub name: &'static str,
    pub kind: Kind,
    pub function: ActivationFunction,
    /// How many times SAELens's speed it must reach, where that is promised.
    pub promised: Option<f64>,
}

const fn case(
    name: &'static str,
    kind: Kind,
    function: ActivationFunction,
    promised: Option<f64>,
) -> Case {
    Case {
        name,
        kind,
        function,
        promised,
    }
}

use ActivationFunction::{BatchTopK, Gated, JumpRelu, Relu, TopK};
use Kind::{BFloat16, Float};

pub const CASES: [Case; 10] = [
    case("standard, bf16", BFloat16, Relu, Some(2.0)),
    case("standard, f32", Float, Relu, Some(1.2)),
    case("topk 32, bf16", BFloat16, TopK, Some(3.0)),
    case("topk 32, f32", Float, TopK, None),
    case("batchtopk 32, bf16", BFloat16, BatchTopK, None),
    case("batchtopk 32, f32", Float, BatchTopK, None),
    case("jumprelu, bf16", BFloat16, JumpRelu, None),
    case("jumprelu, f32", Float, JumpRelu, None),
    case("gated, bf16", BFloat16, Gated, None),
    case("gated, f32", Float, Gated, None),
];

impl Case {
    /// SAELens's name for the function.
    pub fn architecture(&self) -> &'static str {
        match self.function {
            Relu => "standard",
            TopK => "topk",
            BatchTopK => "batchtopk",
            JumpRelu => "jumprelu",
            Gated => "gated",
        }
    }

    /// λ.
    pub fn sparsity_coefficient(&self) -> f64 {
        match self.function {
            // Of an L0 loss.
            JumpRelu => 0.1,
            _ => 2.0,
        }
    }

    /// Dense products of a step, where latents are dense.
    pub fn products(&self) -> f64 {
        match self.function {
            TopK | BatchTopK => 1.0,
            Relu | JumpRelu => 5.0,
            Gated => 8.0,
        }
    }

    pub fn hyperparameters(&self, steps: usize) -> Hyperparameters {
        let wants_k = matches!(self.function, TopK | BatchTopK);
        Hyperparameters {
            learning_rate: LEARNING_RATE,
            batch_size: BATCH as u32,
            l1_coefficient: self.sparsity_coefficient(),
            training_steps: steps as u32,
            optimizer: Optimizer::Adam,
            lr_schedule: LrSchedule::Constant,
            sparsity_warmup_steps: Some(0),
            activation_function: Some(self.function),
            top_k: wants_k.then_some(TOP_K),
            jump_threshold: Some(JUMP_THRESHOLD),
            jump_bandwidth: Some(JUMP_BANDWIDTH),
            ..Hyperparameters::default()
        }
    }
}
