//! A U-Net (Ronneberger et al. 2015, arXiv:1505.04597) in two dimensions.
//!
//! Each level has two 3×3 convolutions, each followed by GroupNorm (Wu and He 2018, arXiv:1803.08494: small batches do not
//! trouble it) and a leaky ReLU. Down by maxima of 2×2, up by transposed 2×2 convolutions, beside which the level's own
//! channels are put; a 1×1 convolution makes classes of the uppermost. The weights are views of one flat f32 vector, so that the optimizer
//! passes over it once.

mod layout;

pub use layout::{Layout, Shape, Weight};

use crate::random::Random;
use tch::{Device, Kind, TchError, Tensor};

/// Channels of a level are normalised in so many groups, or as many as divide them.
const GROUPS: i64 = 8;

/// Added to the variance.
const EPSILON: f64 = 1e-5;

/// Slope of a leaky ReLU below 0: libtorch's own.
const SLOPE: f64 = 0.01;

/// The network.
#[derive(Debug)]
pub struct UNet {
    layout: Layout,
    /// f32 [n].
    pub flat: Tensor,
}

impl UNet {
    /// A network that has learnt nothing (He et al. 2015, arXiv:1502.01852), on a device.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn initial(shape: Shape, seed: u64, device: Device) -> Result<Self, TchError> {
        let layout = Layout::of(shape);
        let mut numbers: Vec<f32> = Vec::with_capacity(layout.count() as usize);
        for (n, weight) in layout.weights().iter().enumerate() {
            let count = weight.count() as usize;
            let mut random = Random::new(seed, "weights", n as u64);
            let deviation = match weight.size.as_slice() {
                // Logits are to differ from the first step on, or small nets stay long at one class.
                [_, inputs, 1, 1] => (1.0 / (3 * inputs) as f64).sqrt(),
                // A transposed convolution of stride 2 adds up one product for each channel that it reads.
                [inputs, _, 2, 2] => (1.0 / *inputs as f64).sqrt(),
                [_, inputs, height, width] => {
                    (2.0 / ((1.0 + SLOPE * SLOPE) * (inputs * height * width) as f64)).sqrt()
                }
                _ => {
                    let value = if weight.is_scale() { 1.0 } else { 0.0 };
                    numbers.extend(std::iter::repeat_n(value, count));
                    continue;
                }
            };
            numbers.extend((0..count).map(|_| (deviation * random.normal()) as f32));
        }
        let flat = Tensor::f_from_slice(&numbers)?.f_to_device(device)?;
        Ok(Self { layout, flat })
    }

    /// A network of these weights, f32 [n].
    ///
    /// # Errors
    /// [`TchError`] where there are not as many as it needs.
    pub fn of(shape: Shape, flat: Tensor) -> Result<Self, TchError> {
        let layout = Layout::of(shape);
        if flat.size() != [layout.count()] {
            return Err(TchError::Shape(format!(
                "{:?} weights instead of {}",
                flat.size(),
                layout.count()
            )));
        }
        Ok(Self { layout, flat })
    }

    /// What it reads and writes, and how large it is.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.layout.shape
    }

    /// Its weights by name.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn named(&self) -> Result<Vec<(String, Tensor)>, TchError> {
        let names = self
            .layout
            .weights()
            .iter()
            .map(|weight| weight.name.clone());
        Ok(names.zip(self.views()?).collect())
    }

    /// One operation for all, whose backward pass puts the gradients together.
    fn views(&self) -> Result<Vec<Tensor>, TchError> {
        let weights = self.layout.weights();
        let counts: Vec<i64> = weights.iter().map(Weight::count).collect();
        let parts = self.flat.f_split_with_sizes(counts, 0)?;
        parts
            .iter()
            .zip(weights)
            .map(|(part, weight)| part.f_view(weight.size.as_slice()))
            .collect()
    }

    /// What each pixel of images (f32 [b, channels, height, width], both multiples of 2 to the power of depth) may be, as
    /// logits: f32 [b, classes, height, width].
    ///
    /// # Errors
    /// What libtorch says.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let views = self.views()?;
        let mut weights = views.iter();
        let mut next = || {
            weights
                .next()
                .ok_or_else(|| TchError::Shape("the layout has too few weights".into()))
        };
        let depth = self.layout.shape.depth;
        let mut beside = Vec::with_capacity(depth as usize);
        let mut x = self.level(images, &mut next)?;
        for _ in 0..depth {
            let smaller = x.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)?;
            beside.push(x);
            x = self.level(&smaller, &mut next)?;
        }
        while let Some(own) = beside.pop() {
            let (weight, bias) = (next()?, next()?);
            let up = x.f_conv_transpose2d(weight, Some(bias), [2, 2], [0, 0], [0, 0], 1, [1, 1])?;
            x = self.level(&Tensor::f_cat(&[own, up], 1)?, &mut next)?;
        }
        x.f_conv2d(next()?, Some(next()?), [1, 1], [0, 0], [1, 1], 1)
    }

    fn level<'a>(
        &self,
        x: &Tensor,
        next: &mut dyn FnMut() -> Result<&'a Tensor, TchError>,
    ) -> Result<Tensor, TchError> {
        let first = convolve(x, next)?;
        convolve(&first, next)
    }

    /// Whether all weights are numbers.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn is_finite(&self) -> Result<bool, TchError> {
        let all = self.flat.f_isfinite()?.f_all()?;
        Ok(all.f_int64_value(&[])? != 0)
    }

    /// Where its weights are.
    #[must_use]
    pub fn device(&self) -> Device {
        self.flat.device()
    }

    /// What its weights must be.
    pub const KIND: Kind = Kind::Float;
}

fn convolve<'a>(
    x: &Tensor,
    next: &mut dyn FnMut() -> Result<&'a Tensor, TchError>,
) -> Result<Tensor, TchError> {
    let (weight, scale, shift) = (next()?, next()?, next()?);
    let channels = weight.size()[0];
    let convolved = x.f_conv2d(weight, None::<Tensor>, [1, 1], [1, 1], [1, 1], 1)?;
    let normed =
        convolved.f_group_norm(groups(channels), Some(scale), Some(shift), EPSILON, false)?;
    normed.f_leaky_relu()
}

/// The largest number of groups up to [`GROUPS`] that divides the channels.
fn groups(channels: i64) -> i64 {
    (1..=GROUPS)
        .rev()
        .find(|groups| channels % groups == 0)
        .unwrap_or(1)
}
