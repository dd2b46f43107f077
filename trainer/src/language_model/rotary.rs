//! Rotary position embeddings (Su et al. 2021, arXiv:2104.09864) as a product of complex numbers.
//!
//! A head's numbers are taken in pairs (0, 1), (2, 3)…, the paper's own order, in which GGUF files keep them: each pair is a
//! complex number that the position turns, so the whole embedding is one product; where only a part of each head is turned, the
//! other pairs turn by nothing. Hugging Face keeps the first halves of all
//! pairs before the second ones; [`interleaved`] reorders the rows of its query and key weights at loading. Attention scores
//! do not change when queries and keys are reordered alike.

use super::{LanguageModelError, RopeScaling, RotaryConfig};
use tch::{Device, Kind, TchError, Tensor};

/// The frequencies of the rotary embedding.
pub(crate) struct Rotary {
    /// Radians a position: `[head_dim / 2]`, f32, computed as transformers does; 0 for pairs that are not turned.
    frequencies: Tensor,
}

impl Rotary {
    /// The frequencies of a model whose heads are `head_dim` wide.
    pub(crate) fn new(
        config: &RotaryConfig,
        head_dim: i64,
        device: Device,
    ) -> Result<Self, LanguageModelError> {
        Self::of(config, head_dim, device)
            .map_err(LanguageModelError::torch("make the rotary embedding"))
    }

    fn of(config: &RotaryConfig, head_dim: i64, device: Device) -> Result<Self, TchError> {
        let exponents =
            Tensor::f_arange_start_step(0, config.turned, 2, (Kind::Float, Device::Cpu))?
                .f_div_scalar(config.turned as f64)?;
        let unscaled = Tensor::f_pow_scalar(config.theta, &exponents)?.f_reciprocal()?;
        let mut frequencies = Vec::<f32>::try_from(&unscaled)?;
        for (index, frequency) in frequencies.iter_mut().enumerate() {
            *frequency = stretched(*frequency, index, &config.scaling);
        }
        frequencies.resize((head_dim / 2) as usize, 0.0);
        let frequencies = Tensor::f_from_slice(&frequencies)?.f_to_device(device)?;
        Ok(Self { frequencies })
    }

    /// The complex factors of positions `start..start + length`: `[length, 1, head_dim / 2]`.
    pub(crate) fn factors(&self, start: i64, length: i64) -> Result<Tensor, TchError> {
        let positions = Tensor::f_arange_start(
            start,
            start + length,
            (Kind::Float, self.frequencies.device()),
        )?;
        let angles = positions.f_outer(&self.frequencies)?.f_unsqueeze(1)?;
        Tensor::f_polar(&angles.f_ones_like()?, &angles)
    }

    /// Turns `heads` (`[batch, length, heads, head_dim]`) by the factors of their positions.
    pub(crate) fn turn(heads: &Tensor, factors: &Tensor) -> Result<Tensor, TchError> {
        let (batch, length, count, width) = heads.size4()?;
        let pairs = heads
            .f_to_kind(Kind::Float)?
            .f_view([batch, length, count, width / 2, 2])?
            .f_view_as_complex()?;
        pairs
            .f_mul(factors)?
            .f_view_as_real()?
            .f_view([batch, length, count, width])?
            .f_to_kind(heads.kind())
    }
}

/// Rows of a query or key weight (`[heads · head_dim, …]`) with the first `turned` of each head from Hugging Face's half-split
/// order to pairs side by side.
pub(crate) fn interleaved(weight: &Tensor, heads: i64, turned: i64) -> Result<Tensor, TchError> {
    let shape = weight.size();
    let width = shape[0] / heads;
    let by_head = weight.f_view([heads, width, -1])?;
    let pairs = by_head
        .f_narrow(1, 0, turned)?
        .f_reshape([heads, 2, turned / 2, -1])?
        .f_transpose(1, 2)?
        .f_reshape([heads, turned, -1])?;
    let rest = by_head.f_narrow(1, turned, width - turned)?;
    Tensor::f_cat(&[pairs, rest], 1)?.f_reshape(shape.as_slice())
}

/// A frequency after scaling.
fn stretched(frequency: f32, index: usize, scaling: &RopeScaling) -> f32 {
    match scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => (f64::from(frequency) / factor) as f32,
        RopeScaling::Divisors(divisors) => frequency / divisors.get(index).copied().unwrap_or(1.0),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => {
            let unscaled = f64::from(frequency);
            let wavelength = std::f64::consts::TAU / unscaled;
            let stretched = if wavelength < original_max_position_embeddings / high_freq_factor {
                unscaled
            } else if wavelength > original_max_position_embeddings / low_freq_factor {
                unscaled / factor
            } else {
                let between = (original_max_position_embeddings / wavelength - low_freq_factor)
                    / (high_freq_factor - low_freq_factor);
                (1.0 - between) * unscaled / factor + between * unscaled
            };
            stretched as f32
        }
    }
}
