//! What is known of an image before it is trained on, or segmented: its measures, and how bright it is.

use super::error::SegmentationError;
use super::image::{Extent, ImageReader, Role};
use std::path::Path;

/// The most channels of an image: a PNG's colours.
pub const MOST_CHANNELS: usize = 3;

/// Mean and standard deviation of a channel, over all slices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Brightness {
    /// The mean.
    pub mean: f64,
    /// The standard deviation; 1 where all pixels are equal.
    pub deviation: f64,
}

/// Collects mean and variance as they come (Welford 1962), in f64.
#[derive(Clone, Copy, Debug, Default)]
struct Collected {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Collected {
    fn push(&mut self, value: f64) {
        self.count += 1.0;
        let off = value - self.mean;
        self.mean += off / self.count;
        self.squares += off * (value - self.mean);
    }

    fn brightness(&self) -> Brightness {
        let deviation = (self.squares / self.count.max(1.0)).sqrt();
        Brightness {
            mean: self.mean,
            deviation: if deviation > 0.0 { deviation } else { 1.0 },
        }
    }
}

/// Hears of each slice: its number, the measures of the image, and its values.
pub type Each<'a> = dyn FnMut(usize, Extent, &[f32]) -> Result<(), SegmentationError> + 'a;

/// Reads a whole image once, slice by slice, and hands out each: memory is one slice.
///
/// # Errors
/// [`SegmentationError`], also of a pixel that is no finite number.
pub fn survey(
    path: &Path,
    each: &mut Each<'_>,
) -> Result<(Extent, [Brightness; MOST_CHANNELS]), SegmentationError> {
    let mut reader = ImageReader::open(path, Role::Image)?;
    let extent = reader.extent();
    let pixels = extent.pixels();
    let mut slice = vec![0.0; pixels * extent.channels];
    let mut collected = [Collected::default(); MOST_CHANNELS];
    for z in 0..extent.slices {
        reader.read_slice(&mut slice)?;
        if let Some(at) = slice.iter().position(|value| !value.is_finite()) {
            return Err(SegmentationError::Pixel {
                path: path.to_owned(),
                value: slice[at].to_string(),
                place: place(extent, z, at % pixels),
                advice: "replace it with a number in what wrote the image (outside of what was measured, 0)".into(),
            });
        }
        for (channel, collected) in slice.chunks_exact(pixels).zip(&mut collected) {
            channel
                .iter()
                .for_each(|value| collected.push(f64::from(*value)));
        }
        each(z, extent, &slice)?;
    }
    Ok((extent, collected.map(|channel| channel.brightness())))
}

/// Brings each channel of a slice to mean 0 and deviation 1 of its image.
pub fn normalise(slice: &mut [f32], extent: Extent, brightness: &[Brightness; MOST_CHANNELS]) {
    for (channel, brightness) in slice.chunks_exact_mut(extent.pixels()).zip(brightness) {
        for value in channel {
            *value = ((f64::from(*value) - brightness.mean) / brightness.deviation) as f32;
        }
    }
}

/// Labels that are being read, as classes.
#[derive(Debug)]
pub struct LabelReader {
    path: std::path::PathBuf,
    reader: ImageReader,
    slice: Vec<f32>,
    next: usize,
}

impl LabelReader {
    /// Opens the labels of an image of these measures.
    ///
    /// # Errors
    /// [`SegmentationError`], also where the measures are others.
    pub fn open(path: &Path, image: &Path, of: Extent) -> Result<Self, SegmentationError> {
        let reader = ImageReader::open(path, Role::Labels)?;
        let own = reader.extent();
        if (own.width, own.height, own.slices) != (of.width, of.height, of.slices) {
            let size = |of: Extent| format!("{} by {} by {}", of.width, of.height, of.slices);
            return Err(SegmentationError::Misfit {
                what: format!(
                    "{} is {} and its labels {} are {}: make them on the same grid",
                    image.display(),
                    size(of),
                    path.display(),
                    size(own)
                ),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            slice: vec![0.0; own.pixels()],
            reader,
            next: 0,
        })
    }

    /// The classes of the next slice, all below `classes`.
    ///
    /// # Errors
    /// [`SegmentationError`], also of a value that is no class.
    pub fn read_slice(&mut self, into: &mut [u8], classes: u32) -> Result<(), SegmentationError> {
        self.reader.read_slice(&mut self.slice)?;
        for (at, (class, value)) in into.iter_mut().zip(&self.slice).enumerate() {
            if value.fract() != 0.0 || !(0.0..f64::from(classes)).contains(&f64::from(*value)) {
                return Err(SegmentationError::Pixel {
                    path: self.path.clone(),
                    value: value.to_string(),
                    place: place(self.reader.extent(), self.next, at),
                    advice: format!(
                        "labels are classes, whole numbers from 0 (background) to {}: number them so, or raise classes",
                        classes - 1
                    ),
                });
            }
            *class = *value as u8;
        }
        self.next += 1;
        Ok(())
    }
}

fn place(extent: Extent, z: usize, at: usize) -> String {
    let (x, y) = (at % extent.width, at / extent.width);
    if extent.slices == 1 {
        format!("column {x}, row {y}")
    } else {
        format!("voxel ({x}, {y}, {z})")
    }
}
