//! What a step sees of a slice: a square of it, turned, scaled, mirrored and changed in brightness at random.
//!
//! Which ways, how often and how much follows nnU-Net (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z). All of it is drawn from the
//! randomness that is handed in, so a sample is a function of seed and number.

use super::slices::Slice;
use crate::random::Random;
use std::f64::consts::PI;

/// The label of a pixel that lies outside of the slice: it counts in no loss.
pub const OUTSIDE: i64 = -1;

/// How often a square is put around a pixel that is not background, where there is one.
const ABOUT_FOREGROUND: f64 = 1.0 / 3.0;

/// How a square is cut and changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augmentation {
    /// The middle of the square in the slice, in pixels from its upper left corner.
    pub centre: (f64, f64),
    /// By what it is turned, in radians.
    pub angle: f64,
    /// Pixels of the slice to a pixel of the square.
    pub scale: f64,
    /// Whether it is mirrored left to right, and top to bottom.
    pub mirrored: (bool, bool),
    /// Standard deviation of the noise that is added.
    pub noise: f64,
    /// What all values are multiplied with.
    pub brightness: f64,
    /// What the distance from the mean is multiplied with.
    pub contrast: f64,
    /// The power that values between the smallest and the largest are raised to.
    pub gamma: f64,
}

/// A square of a slice.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// Channel by channel, each row by row.
    pub image: Vec<f32>,
    /// The class of each pixel, or [`OUTSIDE`].
    pub labels: Vec<i64>,
}

impl Augmentation {
    /// The middle of a slice, as it is.
    #[must_use]
    pub fn none(slice: &Slice) -> Self {
        Self {
            centre: ((slice.width / 2) as f64, (slice.height / 2) as f64),
            angle: 0.0,
            scale: 1.0,
            mirrored: (false, false),
            noise: 0.0,
            brightness: 1.0,
            contrast: 1.0,
            gamma: 1.0,
        }
    }

    /// Where the square is, and, if `augment`, what becomes of it.
    #[must_use]
    pub fn draw(random: &mut Random, slice: &Slice, size: usize, augment: bool) -> Self {
        let mut drawn = Self::none(slice);
        drawn.centre = centre(random, slice, size);
        if !augment {
            return drawn;
        }
        let mut sometimes = |often: f64, from: f64, to: f64, otherwise: f64| {
            // Both are always drawn, so that one does not move what follows.
            let (whether, where_to) = (random.uniform(), random.uniform());
            if whether < often {
                from + (to - from) * where_to
            } else {
                otherwise
            }
        };
        drawn.angle = sometimes(0.2, -PI, PI, 0.0);
        drawn.scale = sometimes(0.2, 0.7, 1.4, 1.0);
        drawn.noise = sometimes(0.1, 0.0, 0.1, 0.0).sqrt();
        drawn.brightness = sometimes(0.15, 0.75, 1.25, 1.0);
        drawn.contrast = sometimes(0.15, 0.75, 1.25, 1.0);
        drawn.gamma = sometimes(0.3, 0.7, 1.5, 1.0);
        drawn.mirrored = (random.uniform() < 0.5, random.uniform() < 0.5);
        drawn
    }

    /// The square of so many pixels a side. The image is interpolated linearly and is 0, the mean, outside of the slice; of labels, the nearest
    /// is taken.
    #[must_use]
    pub fn cut(&self, random: &mut Random, slice: &Slice, size: usize) -> Patch {
        let pixels = size * size;
        let mut image = vec![0.0; pixels * slice.channels];
        let mut labels = vec![OUTSIDE; pixels];
        let (sin, cos) = self.angle.sin_cos();
        let middle = size as f64 / 2.0;
        for row in 0..size {
            for column in 0..size {
                let mut from_middle = (column as f64 + 0.5 - middle, row as f64 + 0.5 - middle);
                if self.mirrored.0 {
                    from_middle.0 = -from_middle.0;
                }
                if self.mirrored.1 {
                    from_middle.1 = -from_middle.1;
                }
                // In pixels, whose middles are whole numbers.
                let x =
                    self.centre.0 + self.scale * (cos * from_middle.0 - sin * from_middle.1) - 0.5;
                let y =
                    self.centre.1 + self.scale * (sin * from_middle.0 + cos * from_middle.1) - 0.5;
                let at = row * size + column;
                if let Some(nearest) = index(slice, x.round(), y.round()) {
                    labels[at] = i64::from(slice.labels[nearest]);
                    interpolate(slice, (x, y), &mut |channel, value| {
                        image[channel * pixels + at] = value;
                    });
                }
            }
        }
        for channel in image.chunks_exact_mut(pixels) {
            self.change(random, channel);
        }
        Patch { image, labels }
    }

    fn change(&self, random: &mut Random, values: &mut [f32]) {
        if self.noise > 0.0 {
            for value in values.iter_mut() {
                *value += (self.noise * random.normal()) as f32;
            }
        }
        if self.brightness != 1.0 {
            for value in values.iter_mut() {
                *value *= self.brightness as f32;
            }
        }
        if self.contrast != 1.0 {
            let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
            let mean = (sum / values.len() as f64) as f32;
            for value in values.iter_mut() {
                *value = (*value - mean) * self.contrast as f32 + mean;
            }
        }
        if self.gamma != 1.0 {
            let least = values.iter().copied().fold(f32::INFINITY, f32::min);
            let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let range = most - least;
            if range > 0.0 {
                for value in values.iter_mut() {
                    let part = f64::from((*value - least) / range);
                    *value = part.powf(self.gamma) as f32 * range + least;
                }
            }
        }
    }
}

/// Around a pixel that is not background, or anywhere that the square lies in the slice (in its middle, where it is larger).
fn centre(random: &mut Random, slice: &Slice, size: usize) -> (f64, f64) {
    let about = random.uniform() < ABOUT_FOREGROUND;
    let chosen = random.next_u64();
    let (across, down) = (random.uniform(), random.uniform());
    let foreground = slice.labels.iter().filter(|class| **class > 0).count();
    if about && foreground > 0 {
        let nth = ((u128::from(chosen) * foreground as u128) >> 64) as usize;
        let mut places = (0..slice.labels.len()).filter(|at| slice.labels[*at] > 0);
        let at = places.nth(nth).unwrap_or(0);
        // The edge of the pixel, so that nothing is blurred that is not turned.
        return ((at % slice.width) as f64, (at / slice.width) as f64);
    }
    let along = |length: usize, part: f64| match length.checked_sub(size) {
        Some(room) => size as f64 / 2.0 + (part * (room + 1) as f64).floor().min(room as f64),
        None => (length / 2) as f64,
    };
    (along(slice.width, across), along(slice.height, down))
}

fn index(slice: &Slice, x: f64, y: f64) -> Option<usize> {
    let inside = x >= 0.0 && y >= 0.0 && x < slice.width as f64 && y < slice.height as f64;
    inside.then(|| y as usize * slice.width + x as usize)
}

/// The value of every channel between four pixels.
fn interpolate(slice: &Slice, (x, y): (f64, f64), give: &mut dyn FnMut(usize, f32)) {
    let (left, top) = (x.floor(), y.floor());
    let (right_part, lower_part) = (x - left, y - top);
    let corners = [
        (
            index(slice, left, top),
            (1.0 - right_part) * (1.0 - lower_part),
        ),
        (
            index(slice, left + 1.0, top),
            right_part * (1.0 - lower_part),
        ),
        (
            index(slice, left, top + 1.0),
            (1.0 - right_part) * lower_part,
        ),
        (index(slice, left + 1.0, top + 1.0), right_part * lower_part),
    ];
    let pixels = slice.width * slice.height;
    for (channel, values) in slice.image.chunks_exact(pixels).enumerate() {
        let value: f64 = corners
            .iter()
            .filter_map(|(at, weight)| Some(f64::from(values[(*at)?]) * weight))
            .sum();
        give(channel, value as f32);
    }
}
