//! Activations in memory that look like a language model's.

use tch::{Device, Kind, Tensor};
use trainmaster_domain::hyperparameters::Hyperparameters;
use trainmaster_domain::training::EncoderType;
use trainmaster_trainer::autoencoder::parameters::{Parameters, Shape};

pub const WIDTH: i64 = 576;
pub const LATENTS: i64 = 8 * WIDTH;
pub const BATCH: i64 = 4_096;
pub const BATCHES: i64 = 8;

/// Directions that the activations are made of, and how many of them each is a sum of.
const DIRECTIONS: i64 = 2_048;
const SUMMED: i64 = 24;

pub struct Data {
    /// f32 [BATCH · BATCHES, WIDTH].
    pub activations: Tensor,
    /// f32 [WIDTH].
    pub mean: Tensor,
}

impl Data {
    /// Sparse positive sums of random directions with some noise and a mean, scaled to E‖x‖ = √d.
    pub fn new() -> Self {
        let options = (Kind::Float, Device::Cpu);
        let directions = Tensor::randn([DIRECTIONS, WIDTH], options);
        let norms = directions.norm_scalaropt_dim(2.0, [1i64].as_slice(), true);
        let directions = directions / norms;
        let rows = BATCH * BATCHES;
        let members = Tensor::randint(DIRECTIONS, [rows * SUMMED], (Kind::Int64, Device::Cpu));
        let starts =
            Tensor::arange_start_step(0, rows * SUMMED, SUMMED, (Kind::Int64, Device::Cpu));
        let weights = Tensor::rand([rows * SUMMED], options) + 0.5;
        let (sums, ..) = Tensor::embedding_bag(
            &directions,
            &members,
            &starts,
            false,
            0,
            false,
            Some(weights),
            false,
        );
        let noise = Tensor::randn([rows, WIDTH], options) * 0.02;
        let offset = Tensor::randn([1, WIDTH], options) * 0.1;
        let raw = sums + noise + offset;
        let norm = raw
            .norm_scalaropt_dim(2.0, [1i64].as_slice(), false)
            .mean(Kind::Float);
        let activations = raw * ((WIDTH as f64).sqrt() / norm.double_value(&[]));
        let mean = activations.mean_dim([0i64].as_slice(), false, Kind::Float);
        Self { activations, mean }
    }

    /// The batch of a step: they come round again.
    pub fn batch(&self, step: usize) -> anyhow::Result<Tensor> {
        let first = step as i64 % BATCHES * BATCH;
        Ok(self.activations.f_narrow(0, first, BATCH)?)
    }

    /// What a training of them begins with.
    pub fn initial(&self, hyperparameters: &Hyperparameters) -> anyhow::Result<Parameters> {
        let shape = Shape::of(hyperparameters, EncoderType::Sparse, WIDTH, WIDTH);
        Ok(Parameters::initial(
            shape,
            hyperparameters,
            &self.mean,
            &self.mean,
        )?)
    }
}
