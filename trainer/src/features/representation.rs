//! What the studied model itself makes of a stretch of text: its activations, averaged over the stretch, as a short code.

use super::passage::Window;
use crate::random::Random;
use tch::{Kind, TchError, Tensor};

/// Numbers of a code.
pub const CODE: usize = 128;

/// Makes codes: activations are standardised (their scale differs by orders of magnitude between directions), averaged over a
/// window, projected to [`CODE`] random directions (Johnson and Lindenstrauss 1984: angles keep up to about `1 / √CODE`) and
/// rounded to eight bits.
#[derive(Debug)]
pub struct Representation {
    /// `[width]`
    mean: Tensor,
    /// `[width, CODE]`: projection divided by the deviation of each direction.
    projection: Tensor,
}

/// The running sums of a sequence's projected activations.
#[derive(Debug)]
pub struct Sums {
    /// `CODE` numbers for each count of tokens, from 0 to all.
    sums: Vec<f32>,
}

impl Representation {
    /// Standardises as the first activations (f32 `[rows, width]`) ask for.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn new(activations: &Tensor) -> Result<Self, TchError> {
        let _no_grad = tch::no_grad_guard();
        let (rows, width) = activations.size2()?;
        let mean = activations.f_mean_dim(&[0][..], false, Kind::Float)?;
        let centred = activations.f_sub(&mean)?;
        let deviation = (centred
            .f_square()?
            .f_sum_dim_intlist(&[0][..], false, Kind::Float)?
            / rows.max(1) as f64)
            .f_sqrt()?
            .f_add_scalar(1e-6)?;
        let mut random = Random::new(0, "feature codes", 0);
        let numbers: Vec<f32> = (0..width as usize * CODE)
            .map(|_| random.normal() as f32)
            .collect();
        let projection = Tensor::f_from_slice(&numbers)?
            .f_view([width, CODE as i64])?
            .f_to_device(activations.device())?
            .f_div(&deviation.f_unsqueeze(1)?)?;
        Ok(Self { mean, projection })
    }

    /// The running sums over rows of activations (f32 `[rows, width]`) that belong to sequences of these many rows, one after the
    /// other.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn sums(&self, activations: &Tensor, rows: &[usize]) -> Result<Vec<Sums>, TchError> {
        let _no_grad = tch::no_grad_guard();
        let projected = activations
            .f_sub(&self.mean)?
            .f_mm(&self.projection)?
            .f_to_device(tch::Device::Cpu)?
            .f_contiguous()?;
        let mut numbers = vec![0.0_f32; projected.numel()];
        let count = numbers.len();
        projected.f_copy_data(&mut numbers, count)?;
        let mut rest = numbers.as_slice();
        Ok(rows
            .iter()
            .map(|rows| {
                let (here, behind) = rest.split_at(rows * CODE);
                rest = behind;
                Sums::of(here)
            })
            .collect())
    }
}

impl Sums {
    fn of(rows: &[f32]) -> Self {
        let mut sums = vec![0.0; CODE + rows.len()];
        for (at, value) in rows.iter().enumerate() {
            sums[CODE + at] = sums[at] + value;
        }
        Self { sums }
    }

    /// Writes the code of a window around the text's `nth` token.
    pub fn encode(&self, nth: usize, window: Window, code: &mut [i8]) {
        let row = |tokens: usize| &self.sums[tokens * CODE..(tokens + 1) * CODE];
        let first = row(nth - usize::from(window.before));
        let last = row(nth + usize::from(window.after) + 1);
        let sums = || first.iter().zip(last).map(|(first, last)| last - first);
        let largest = sums().fold(f32::MIN_POSITIVE, |largest, sum| largest.max(sum.abs()));
        for (part, sum) in code.iter_mut().zip(sums()) {
            // Only the direction counts.
            *part = (sum / largest * 127.0).round() as i8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_points_where_the_average_of_its_window_does() {
        let activations = Tensor::from_slice(
            &(0..40 * 16)
                .map(|at| ((at * 7919 % 613) as f32 / 100.0).sin() * (1 + at % 16) as f32)
                .collect::<Vec<_>>(),
        )
        .view([40, 16]);
        let representation = Representation::new(&activations).unwrap();
        let sums = representation.sums(&activations, &[10, 30]).unwrap();
        let window = Window {
            position: 0,
            before: 3,
            after: 5,
        };
        let mut code = [0_i8; CODE];
        sums[1].encode(8, window, &mut code);
        // Rows 10 + (8 − 3) to 10 + (8 + 5).
        let average = activations
            .narrow(0, 15, 9)
            .mean_dim(&[0][..], false, Kind::Float);
        let direct = (average - &representation.mean)
            .unsqueeze(0)
            .mm(&representation.projection)
            .view(-1);
        let code = Tensor::from_slice(&code).to_kind(Kind::Float);
        let cosine = direct.dot(&code).double_value(&[])
            / (direct.norm().double_value(&[]) * code.norm().double_value(&[]));
        assert!(cosine > 0.999, "{cosine}");
    }
}
