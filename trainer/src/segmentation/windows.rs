//! A whole slice, segmented in windows as large as what the network was trained on: what it normalises by is then what it knows.
//!
//! Windows overlap by half or not more than they must; where several say something of a pixel, their probabilities are averaged,
//! the middle of a window weighing most (a Gaussian of an eighth of its width, as nnU-Net has it). Memory: 4 bytes for each class and pixel of
//! the slice, and what the network needs for a few windows at once.

use super::slices::Slice;
use super::unet::UNet;
use std::ops::ControlFlow;
use tch::{Kind, TchError, Tensor};

/// The weight of a window's edge is not less than this part of its middle's.
const LEAST_WEIGHT: f64 = 1e-3;

/// How windows are laid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Height and width of one.
    pub size: usize,
    /// How many go through the network at once.
    pub at_once: usize,
    /// Whether neighbours overlap by half.
    pub overlapping: bool,
}

impl Windows {
    /// The probability of each class at each pixel: f32 [classes, height, width], on the CPU. Nothing where `tick`, asked before every few windows,
    /// breaks.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn probabilities(
        &self,
        network: &UNet,
        slice: &Slice,
        tick: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Option<Tensor>, TchError> {
        let _no_grad = tch::no_grad_guard();
        let (height, width) = (slice.height as i64, slice.width as i64);
        let image = Tensor::f_from_slice(&slice.image)?.f_view([
            1,
            slice.channels as i64,
            height,
            width,
        ])?;
        let size = self.size as i64;
        // What is smaller than a window lies in its middle, as in training.
        let (missing_y, missing_x) = ((size - height).max(0), (size - width).max(0));
        let (top, left) = (missing_y / 2, missing_x / 2);
        let padded = image.f_constant_pad_nd([left, missing_x - left, top, missing_y - top])?;
        let (rows, columns) = (height + missing_y, width + missing_x);
        let classes = network.shape().classes;
        let weight = weight(self.size)?;
        let options = (Kind::Float, tch::Device::Cpu);
        let sum = Tensor::f_zeros([classes, rows, columns], options)?;
        let weights = Tensor::f_zeros([rows, columns], options)?;
        let places: Vec<(i64, i64)> = self
            .starts(rows)
            .flat_map(|y| self.starts(columns).map(move |x| (y, x)))
            .collect();
        let square = |of: &Tensor, y, x| {
            let dims = of.dim() as i64;
            of.f_narrow(dims - 2, y, size)?.f_narrow(dims - 1, x, size)
        };
        for places in places.chunks(self.at_once.max(1)) {
            if tick().is_break() {
                return Ok(None);
            }
            let windows: Result<Vec<Tensor>, TchError> = places
                .iter()
                .map(|(y, x)| square(&padded, *y, *x))
                .collect();
            let windows = Tensor::f_cat(&windows?, 0)?.f_to_device(network.device())?;
            let found = network.forward(&windows)?.f_softmax(1, Kind::Float)?;
            let found = found.f_to_device(tch::Device::Cpu)?;
            for (n, (y, x)) in places.iter().enumerate() {
                let weighted = found.f_get(n as i64)?.f_mul(&weight)?;
                let _ = square(&sum, *y, *x)?.f_add_(&weighted)?;
                let _ = square(&weights, *y, *x)?.f_add_(&weight)?;
            }
        }
        let mean = sum.f_div(&weights)?;
        mean.f_narrow(1, top, height)?
            .f_narrow(2, left, width)
            .map(Some)
    }

    /// Where windows begin along an axis that is no shorter than one.
    fn starts(&self, length: i64) -> impl Iterator<Item = i64> + use<> {
        let size = self.size as i64;
        let stride = if self.overlapping { size / 2 } else { size };
        let room = length - size;
        let count = (room + stride - 1) / stride.max(1) + 1;
        (0..count).map(move |n| {
            if count == 1 {
                0
            } else {
                n * room / (count - 1)
            }
        })
    }
}

/// How much the pixels of a window weigh: f32 [size, size].
fn weight(size: usize) -> Result<Tensor, TchError> {
    let middle = size as f64 / 2.0;
    let deviation = size as f64 / 8.0;
    let along: Vec<f32> = (0..size)
        .map(|at| {
            let off = (at as f64 + 0.5 - middle) / deviation;
            (-0.5 * off * off).exp() as f32
        })
        .collect();
    let along = Tensor::f_from_slice(&along)?;
    along.f_outer(&along)?.f_clamp_min(LEAST_WEIGHT)
}

/// What was found in a slice.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The likeliest class of each pixel, row by row.
    pub classes: Vec<u8>,
    /// Its probability, on average.
    pub confidence: f64,
}

/// The likeliest class of each pixel, of probabilities (f32 [classes, height, width]).
///
/// # Errors
/// What libtorch says.
pub fn likeliest(probabilities: &Tensor) -> Result<Found, TchError> {
    let (largest, class) = probabilities.f_max_dim(0, false)?;
    let class = class.f_to_kind(Kind::Uint8)?.f_contiguous()?;
    let mut classes = vec![0; class.numel()];
    class.f_copy_data(&mut classes, class.numel())?;
    Ok(Found {
        classes,
        confidence: largest.f_mean(Kind::Double)?.f_double_value(&[])?,
    })
}
