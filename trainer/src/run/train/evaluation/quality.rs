//! How well activations are reconstructed, and by how many latents, summed up in f64.

use tch::{Kind, TchError, Tensor};

/// A latent that fires on more than one token in so many is dense.
const DENSE_EVERY: i64 = 10;

/// Sums over tokens.
#[derive(Debug, Default)]
pub(super) struct Quality {
    tokens: u64,
    /// Σ‖y − ŷ‖²
    squared_error: f64,
    /// Σ‖y‖²
    squared: f64,
    /// Σy, f64 [d].
    sum: Option<Tensor>,
    /// i64 [n]: on how many tokens each latent fired.
    fired: Option<Tensor>,
}

/// What latents did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Latents {
    /// Active ones a token.
    pub active: f64,
    /// Those that fired on no token.
    pub dead: u64,
    /// Those that fired on more than one token in ten.
    pub dense: u64,
}

impl Quality {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Takes up activations y and their reconstructions ŷ (f32 [rows, d]) with the latents (f32 [rows, n]) between.
    pub(super) fn add(
        &mut self,
        activations: &Tensor,
        reconstructions: &Tensor,
        latents: &Tensor,
    ) -> Result<(), TchError> {
        let y = activations.f_to_kind(Kind::Double)?;
        let error = y.f_sub(&reconstructions.f_to_kind(Kind::Double)?)?;
        let squares = |of: &Tensor| of.f_square()?.f_sum(Kind::Double)?.f_double_value(&[]);
        let over_rows = |of: &Tensor, kind| of.f_sum_dim_intlist([0i64].as_slice(), false, kind);
        self.tokens += y.size2()?.0 as u64;
        self.squared_error += squares(&error)?;
        self.squared += squares(&y)?;
        accumulate(&mut self.sum, over_rows(&y, Kind::Double)?)?;
        let fired = over_rows(&latents.f_gt(0.0)?, Kind::Int64)?;
        accumulate(&mut self.fired, fired)
    }

    /// Tokens so far.
    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }

    /// `1 − E‖y − ŷ‖² / (E‖y‖² − ‖E y‖²)`; 0 where nothing varies.
    pub(super) fn explained_variance(&self) -> Result<f64, TchError> {
        let count = self.tokens.max(1) as f64;
        let mean_square = match &self.sum {
            Some(sum) => sum
                .f_div_scalar(count)?
                .f_square()?
                .f_sum(Kind::Double)?
                .f_double_value(&[])?,
            None => 0.0,
        };
        let variance = self.squared / count - mean_square;
        Ok(if variance > 0.0 {
            1.0 - self.squared_error / count / variance
        } else {
            0.0
        })
    }

    pub(super) fn latents(&self) -> Result<Latents, TchError> {
        let Some(fired) = &self.fired else {
            return Ok(Latents {
                active: 0.0,
                dead: 0,
                dense: 0,
            });
        };
        let count = |of: Tensor| -> Result<u64, TchError> {
            Ok(of.f_sum(Kind::Int64)?.f_int64_value(&[])? as u64)
        };
        let tokens = self.tokens as i64;
        Ok(Latents {
            active: count(fired.shallow_clone())? as f64 / self.tokens.max(1) as f64,
            dead: count(fired.f_eq(0)?)?,
            dense: count(fired.f_mul_scalar(DENSE_EVERY)?.f_gt(tokens)?)?,
        })
    }
}

fn accumulate(into: &mut Option<Tensor>, what: Tensor) -> Result<(), TchError> {
    match into {
        Some(sum) => {
            let _ = sum.f_add_(&what)?;
        }
        None => *into = Some(what),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_formulas_however_the_tokens_come() {
        let y = Tensor::from_slice(&[1f32, 0.0, 3.0, 2.0, -1.0, 1.0]).view([3, 2]);
        let reconstructed = Tensor::from_slice(&[1f32, 0.5, 2.0, 2.0, -1.0, 1.0]).view([3, 2]);
        let latents =
            Tensor::from_slice(&[1f32, 0.0, 0.0, 2.0, 0.5, 0.0, 1.0, 0.0, 0.0]).view([3, 3]);
        // E‖y − ŷ‖² = 1.25/3; E‖y‖² = 16/3; E y = (1, 1).
        let expected = 1.0 - (1.25 / 3.0) / (16.0 / 3.0 - 2.0);
        for pieces in [vec![3], vec![1, 2], vec![1, 1, 1]] {
            let mut quality = Quality::new();
            let mut at = 0;
            for rows in pieces {
                let piece = |of: &Tensor| of.narrow(0, at, rows);
                quality
                    .add(&piece(&y), &piece(&reconstructed), &piece(&latents))
                    .unwrap();
                at += rows;
            }
            assert!((quality.explained_variance().unwrap() - expected).abs() < 1e-12);
            assert_eq!(quality.tokens(), 3);
            assert_eq!(
                quality.latents().unwrap(),
                Latents {
                    active: 4.0 / 3.0,
                    dead: 1,
                    dense: 2
                }
            );
        }
    }
}
