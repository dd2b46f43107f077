//! The slices that a training reads again and again, in a file that has no name: whatever ends the process, it is gone.
//!
//! Every image is read once when a training begins, checked, and written there slice by slice: its channels as f32, then its classes as
//! bytes. In memory are a few hundred bytes for each file and one slice at a time; the rest is the operating system's cache of the file.

use super::error::SegmentationError;
use super::image::Extent;
use super::listing::Pair;
use super::volume::{Brightness, LabelReader, MOST_CHANNELS, normalise, survey};
use crate::run::durable::hash_file;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Classes where the settings do not say: as many as a byte of labels can tell apart, to find the largest.
const ANY_CLASS: u32 = 255;

/// Where a file's slices are.
#[derive(Clone, Debug)]
struct Place {
    extent: Extent,
    brightness: [Brightness; MOST_CHANNELS],
    /// Of its first slice, in bytes.
    offset: u64,
}

/// A slice as it is trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Numbers of a pixel.
    pub channels: usize,
    /// Channel by channel, each row by row; with mean 0 and deviation 1 over the image that the slice is of.
    pub image: Vec<f32>,
    /// The class of each pixel.
    pub labels: Vec<u8>,
}

/// All slices of all files.
#[derive(Debug)]
pub struct Slices {
    file: File,
    places: Vec<Place>,
    /// Numbers of a pixel.
    pub channels: usize,
    /// The largest class that there is, and one.
    pub classes: u32,
    /// Lower-case hex SHA-256 of `<sha256 of file>  <file name>\n`, of each image and its labels in turn: what the training is of.
    pub sha256: String,
}

impl Slices {
    /// Reads every file. `scratch` is the directory whose disk is used; `tick` hears the percentage.
    ///
    /// # Errors
    /// [`SegmentationError`] of the first file that is not as it should be; [`SegmentationError::Interrupted`] where `tick` breaks.
    pub fn read(
        pairs: &[Pair],
        classes: Option<u32>,
        scratch: &Path,
        tick: &mut dyn FnMut(f64) -> ControlFlow<()>,
    ) -> Result<Self, SegmentationError> {
        let path = scratch.join(format!(".slices.{}", std::process::id()));
        let refused = |error| SegmentationError::of_file(&path, error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(refused)?;
        fs::remove_file(&path).map_err(refused)?;
        let mut writer = Writer {
            path: &path,
            to: BufWriter::with_capacity(1 << 20, file),
            offset: 0,
            largest: 0,
        };
        let mut places: Vec<Place> = Vec::with_capacity(pairs.len());
        let mut listing = Sha256::new();
        let mut channels = 0;
        for (n, pair) in pairs.iter().enumerate() {
            let mut heard = |done: f64| match tick(100.0 * (n as f64 + done) / pairs.len() as f64) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(SegmentationError::Interrupted),
            };
            heard(0.0)?;
            for path in [&pair.image, &pair.labels] {
                let hashed = hash_file(path);
                let (_, hash) = hashed.map_err(|error| SegmentationError::of_file(path, error))?;
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                listing.update(format!("{hash}  {name}\n"));
            }
            let place = writer.add(pair, classes.unwrap_or(ANY_CLASS), &mut heard)?;
            if n == 0 {
                channels = place.extent.channels;
            } else if place.extent.channels != channels {
                return Err(SegmentationError::Misfit {
                    what: format!(
                        "{} has {} channels and {} has {channels}: make all grey, or all colour",
                        pair.image.display(),
                        place.extent.channels,
                        pairs[0].image.display()
                    ),
                });
            }
            places.push(place);
        }
        let largest = writer.largest;
        if largest == 0 {
            return Err(SegmentationError::Empty {
                what: "no label is other than 0, the background: label the images with classes from 1 on".into(),
            });
        }
        let file = writer
            .to
            .into_inner()
            .map_err(|error| SegmentationError::of_file(&path, error.into_error()))?;
        Ok(Self {
            file,
            places,
            channels,
            classes: classes.unwrap_or(u32::from(largest) + 1),
            sha256: format!("{:x}", listing.finalize()),
        })
    }

    /// Slices of a file.
    #[must_use]
    pub fn count(&self, file: usize) -> usize {
        self.places.get(file).map_or(0, |place| place.extent.slices)
    }

    /// Slice number `z` of a file.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn slice(&self, file: usize, z: usize) -> Result<Slice, SegmentationError> {
        let Some(place) = self
            .places
            .get(file)
            .filter(|place| z < place.extent.slices)
        else {
            return Err(SegmentationError::Misfit {
                what: format!("there is no slice {z} of image {file}"),
            });
        };
        let extent = place.extent;
        let (pixels, bytes) = (extent.pixels(), bytes_of(extent));
        let mut raw = vec![0; bytes];
        self.file
            .read_exact_at(&mut raw, place.offset + (z * bytes) as u64)
            .map_err(|error| SegmentationError::of_file(Path::new("the file of slices"), error))?;
        let labels = raw.split_off(bytes - pixels);
        let numbers = raw.chunks_exact(4);
        let mut image: Vec<f32> = numbers
            .map(|bytes| f32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect();
        normalise(&mut image, extent, &place.brightness);
        Ok(Slice {
            width: extent.width,
            height: extent.height,
            channels: extent.channels,
            image,
            labels,
        })
    }
}

fn bytes_of(extent: Extent) -> usize {
    extent.pixels() * (4 * extent.channels + 1)
}

struct Writer<'a> {
    path: &'a Path,
    to: BufWriter<File>,
    offset: u64,
    largest: u8,
}

impl Writer<'_> {
    fn add(
        &mut self,
        pair: &Pair,
        classes: u32,
        heard: &mut dyn FnMut(f64) -> Result<(), SegmentationError>,
    ) -> Result<Place, SegmentationError> {
        let offset = self.offset;
        let mut labels = None;
        let mut of_slice = vec![];
        let (extent, brightness) = survey(&pair.image, &mut |z, extent, slice| {
            let reader = match &mut labels {
                Some(reader) => reader,
                none => none.insert(LabelReader::open(&pair.labels, &pair.image, extent)?),
            };
            of_slice.resize(extent.pixels(), 0);
            reader.read_slice(&mut of_slice, classes)?;
            self.largest = of_slice.iter().copied().fold(self.largest, u8::max);
            let write = |to: &mut BufWriter<File>| {
                for value in slice {
                    to.write_all(&value.to_ne_bytes())?;
                }
                to.write_all(&of_slice)
            };
            write(&mut self.to).map_err(|error| SegmentationError::of_file(self.path, error))?;
            self.offset += bytes_of(extent) as u64;
            heard((z + 1) as f64 / extent.slices as f64)
        })?;
        Ok(Place {
            extent,
            brightness,
            offset,
        })
    }
}
