//! Weights held as small integers, and how they become numbers again.

use super::LanguageModelError;
use safetensors::Dtype;
use tch::{Kind, TchError, Tensor};
use trainmaster_domain::model::Quantization;

/// Weights that share a scale, in the schemes with blocks.
pub(super) const BLOCK: i64 = 32;

/// Numbers that are dequantised at once, in f32: small enough to stay in a processor's cache.
const AT_ONCE: i64 = 1 << 18;

/// How weights are held as integers. Rows are outputs of the product, and blocks lie within a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `w = q · s`, |q| ≤ 127, an f32 scale s a row.
    Int8,
    /// `w = q · s`, |q| ≤ 127, an f16 scale a block of 32: GGUF's Q8_0.
    Q8,
    /// `w = q · s + m`, 0 ≤ q ≤ 15, an f16 scale and an f16 minimum a block of 32: GGUF's Q4_1. A byte holds weight i of a
    /// block (low bits) and weight i + 16 (high bits).
    Q4,
}

impl Scheme {
    /// The scheme of a quantisation, if it has integers.
    pub(super) fn of(quantization: Quantization) -> Option<Self> {
        match quantization {
            Quantization::Fp32 | Quantization::Fp16 => None,
            Quantization::Int8 => Some(Self::Int8),
            Quantization::Q8 => Some(Self::Q8),
            Quantization::Q4 => Some(Self::Q4),
        }
    }

    /// Whether rows of `inputs` weights fill whole blocks.
    pub(super) fn fits(self, inputs: i64) -> bool {
        self == Self::Int8 || inputs % BLOCK == 0
    }

    /// The tensors that a weight of `[outputs, inputs]` is held in: the end of their names, kind and shape.
    pub(super) fn parts(self, outputs: i64, inputs: i64) -> Vec<(&'static str, Kind, Vec<i64>)> {
        let blocks = vec![outputs, inputs / BLOCK];
        match self {
            Self::Int8 => vec![
                ("int8", Kind::Int8, vec![outputs, inputs]),
                ("scale", Kind::Float, vec![outputs]),
            ],
            Self::Q8 => vec![
                ("q8", Kind::Int8, vec![outputs, inputs]),
                ("scale", Kind::Half, blocks),
            ],
            Self::Q4 => vec![
                ("q4", Kind::Uint8, vec![outputs, inputs / 2]),
                ("scale", Kind::Half, blocks.clone()),
                ("minimum", Kind::Half, blocks),
            ],
        }
    }

    /// Bytes of a weight of `[outputs, inputs]`.
    pub(super) fn bytes(self, outputs: i64, inputs: i64) -> i64 {
        let parts = self.parts(outputs, inputs);
        parts
            .iter()
            .map(|(_, kind, shape)| shape.iter().product::<i64>() * kind.elt_size_in_bytes() as i64)
            .sum()
    }
}

/// The name of a kind in a safetensors file.
pub(super) fn dtype(kind: Kind) -> Option<Dtype> {
    match kind {
        Kind::Float => Some(Dtype::F32),
        Kind::Half => Some(Dtype::F16),
        Kind::Int8 => Some(Dtype::I8),
        Kind::Uint8 => Some(Dtype::U8),
        _ => None,
    }
}

/// A weight `[outputs, inputs]`, held as integers.
#[derive(Debug)]
pub(super) struct QuantizedWeight {
    pub(super) scheme: Scheme,
    /// As [`Scheme::parts`] has them.
    pub(super) parts: Vec<Tensor>,
    pub(super) outputs: i64,
    pub(super) inputs: i64,
}

impl QuantizedWeight {
    /// The nearest that `scheme` can hold to `weight` (`[outputs, inputs]`, f32, `inputs` fitting). Takes some three times the
    /// weight's memory.
    pub(super) fn of(scheme: Scheme, weight: &Tensor) -> Result<Self, LanguageModelError> {
        let torch = LanguageModelError::torch("quantise a weight");
        let (outputs, inputs) = weight.size2().map_err(&torch)?;
        let parts = match scheme {
            Scheme::Int8 => by_scale(weight, Kind::Float),
            Scheme::Q8 => weight
                .f_view([outputs, inputs / BLOCK, BLOCK])
                .and_then(|blocks| by_scale(&blocks, Kind::Half)),
            Scheme::Q4 => weight
                .f_view([outputs, inputs / BLOCK, BLOCK])
                .and_then(|blocks| by_scale_and_minimum(&blocks)),
        }
        .and_then(|parts| {
            let shapes = scheme.parts(outputs, inputs);
            parts
                .iter()
                .zip(shapes)
                .map(|(part, (_, _, shape))| part.f_reshape(shape))
                .collect()
        })
        .map_err(&torch)?;
        Ok(Self {
            scheme,
            parts,
            outputs,
            inputs,
        })
    }

    /// The same with `change` (of rows only) made to each of its tensors.
    pub(super) fn with_rows(
        &self,
        change: impl Fn(&Tensor) -> Result<Tensor, TchError>,
    ) -> Result<Self, TchError> {
        Ok(Self {
            scheme: self.scheme,
            parts: self.parts.iter().map(change).collect::<Result<_, _>>()?,
            outputs: self.outputs,
            inputs: self.inputs,
        })
    }

    /// The rows of several weights of one scheme and equal inputs, one after the other.
    pub(super) fn joined(weights: &[Self]) -> Result<Option<Self>, TchError> {
        let Some(first) = weights.first() else {
            return Ok(None);
        };
        let parts = (0..first.parts.len())
            .map(|index| {
                let parts: Vec<_> = weights.iter().map(|weight| &weight.parts[index]).collect();
                Tensor::f_cat(&parts, 0)
            })
            .collect::<Result<_, _>>()?;
        Ok(Some(Self {
            scheme: first.scheme,
            parts,
            outputs: weights.iter().map(|weight| weight.outputs).sum(),
            inputs: first.inputs,
        }))
    }

    /// The numbers it stands for, written to the beginning of `buffer` (of one dimension, in whatever kind; computed in f32
    /// and rounded once): `[outputs, inputs]`, a view of it.
    pub(super) fn dequantised_in(&self, buffer: &Tensor) -> Result<Tensor, TchError> {
        let (outputs, inputs) = (self.outputs, self.inputs);
        let weight = buffer
            .f_narrow(0, 0, outputs * inputs)?
            .f_view([outputs, inputs])?;
        let at_once = (AT_ONCE / inputs).clamp(1, outputs);
        let in_place = buffer.kind() == Kind::Float;
        let mut row = 0;
        while row < outputs {
            let count = at_once.min(outputs - row);
            let mut rows = weight.f_narrow(0, row, count)?;
            if in_place {
                self.write_rows(row, &rows)?;
            } else {
                let exact = rows.f_empty_like()?.f_to_kind(Kind::Float)?;
                self.write_rows(row, &exact)?;
                rows.f_copy_(&exact)?;
            }
            row += count;
        }
        Ok(weight)
    }

    /// Writes rows from `first` on to `rows` (`[count, inputs]`, f32).
    fn write_rows(&self, first: i64, rows: &Tensor) -> Result<(), TchError> {
        let (count, inputs) = rows.size2()?;
        let part = |index: usize| self.parts[index].f_narrow(0, first, count);
        let scale = part(1)?.f_to_kind(Kind::Float)?;
        match self.scheme {
            Scheme::Int8 => {
                let mut rows = rows.shallow_clone();
                rows.f_copy_(&part(0)?)?;
                let _ = rows.f_mul_(&scale.f_unsqueeze(-1)?)?;
            }
            Scheme::Q8 => {
                let shape = [count, inputs / BLOCK, BLOCK];
                let mut rows = rows.f_view(shape)?;
                rows.f_copy_(&part(0)?.f_view(shape)?)?;
                let _ = rows.f_mul_(&scale.f_unsqueeze(-1)?)?;
            }
            Scheme::Q4 => {
                let blocks = inputs / BLOCK;
                let pairs = part(0)?.f_view([count, blocks, BLOCK / 2])?;
                let mut rows = rows.f_view([count, blocks, 2, BLOCK / 2])?;
                rows.f_select(2, 0)?.f_copy_(&pairs.f_bitwise_and(15)?)?;
                rows.f_select(2, 1)?
                    .f_copy_(&pairs.f_bitwise_right_shift_tensor_scalar(4)?)?;
                let of_block = [count, blocks, 1, 1];
                let minimum = part(2)?.f_to_kind(Kind::Float)?.f_view(of_block)?;
                let _ = rows.f_mul_(&scale.f_view(of_block)?)?.f_add_(&minimum)?;
            }
        }
        Ok(())
    }
}

/// Integers and scales of groups along the last dimension; scales as they are stored, so that integers fit what is read back.
fn by_scale(groups: &Tensor, stored: Kind) -> Result<Vec<Tensor>, TchError> {
    let scale = groups
        .f_abs()?
        .f_amax([-1].as_slice(), true)?
        .f_div_scalar(127.0)?
        .f_to_kind(stored)?;
    let integers = groups
        .f_div(&divisor(&scale)?)?
        .f_round_()?
        .f_clamp_(-127.0, 127.0)?
        .f_to_kind(Kind::Int8)?;
    Ok(vec![integers, scale])
}

fn by_scale_and_minimum(blocks: &Tensor) -> Result<Vec<Tensor>, TchError> {
    let least = blocks.f_amin([-1].as_slice(), true)?;
    let scale = blocks
        .f_amax([-1].as_slice(), true)?
        .f_sub(&least)?
        .f_div_scalar(15.0)?
        .f_to_kind(Kind::Half)?;
    let minimum = least.f_to_kind(Kind::Half)?;
    let integers = blocks
        .f_sub(&minimum.f_to_kind(Kind::Float)?)?
        .f_div_(&divisor(&scale)?)?
        .f_round_()?
        .f_clamp_(0.0, 15.0)?
        .f_to_kind(Kind::Uint8)?
        .f_unflatten(-1, [2, BLOCK / 2])?;
    let high = integers.f_select(-2, 1)?.f_mul_scalar(16)?;
    let bytes = integers.f_select(-2, 0)?.f_add(&high)?;
    Ok(vec![bytes, scale, minimum])
}

/// Scales to divide by: where one is 0, so is every weight of its group.
fn divisor(scale: &Tensor) -> Result<Tensor, TchError> {
    let scale = scale.f_to_kind(Kind::Float)?;
    let is_zero = scale.f_eq(0.0)?;
    scale.f_masked_fill(&is_zero, 1.0)
}
