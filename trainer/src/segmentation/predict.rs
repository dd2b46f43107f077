//! Segmenting an image file into a file of classes beside which nothing is lost: a NIfTI volume keeps its geometry, a PNG becomes a grey PNG.

use super::error::SegmentationError;
use super::image::{ImageReader, Role};
use super::model::Config;
use super::overlap::Overlap;
use super::png_file::write_labels;
use super::slices::Slice;
use super::unet::UNet;
use super::volume::{LabelReader, normalise, survey};
use super::windows::likeliest;
use flate2::{Compression, write::GzEncoder};
use serde::Serialize;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What was found in an image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The image.
    pub image: String,
    /// The file of classes.
    pub output: String,
    /// Pixels of a row.
    pub width: usize,
    /// Rows of a slice.
    pub height: usize,
    /// Slices.
    pub slices: usize,
    /// Pixels of each class, the background first.
    pub pixels: Vec<u64>,
    /// The same as parts of all.
    pub fractions: Vec<f64>,
    /// The probability of the class that was found, on average over all pixels.
    pub mean_confidence: f64,
    /// Dice coefficient of each class but the background, where there are labels; none for a class that is in neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dice: Option<Vec<Option<f64>>>,
    /// The mean of those that there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_dice: Option<f64>,
}

/// Where the classes of an image go: named as the image, compressed if the image is.
#[must_use]
pub fn output_of(image: &Path, output_dir: &Path) -> PathBuf {
    output_dir.join(image.file_name().unwrap_or_default())
}

/// Segments an image. The file is written beside, synced and renamed. Memory: a slice, and what [`super::windows`] says. Nothing where
/// `tick`, which hears the fraction that is done, breaks.
///
/// # Errors
/// [`SegmentationError`]: the image or its labels cannot be read, do not fit the network, or the file cannot be written.
pub fn predict(
    network: &UNet,
    config: &Config,
    image: &Path,
    labels: Option<&Path>,
    output: &Path,
    tick: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Option<Prediction>, SegmentationError> {
    let mut heard = |_: usize, _, _: &[f32]| match tick(0.0) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(SegmentationError::Interrupted),
    };
    let (extent, brightness) = match survey(image, &mut heard) {
        Err(SegmentationError::Interrupted) => return Ok(None),
        other => other?,
    };
    let shape = network.shape();
    if extent.channels as i64 != shape.channels {
        return Err(SegmentationError::Misfit {
            what: format!(
                "{} has {} channels, and the model was trained on {}: give it images like those",
                image.display(),
                extent.channels,
                shape.channels
            ),
        });
    }
    let classes = shape.classes as usize;
    let mut reader = ImageReader::open(image, Role::Image)?;
    let mut labels = labels
        .map(|labels| LabelReader::open(labels, image, extent))
        .transpose()?;
    let mut sink = Sink::create(&reader, output)?;
    let mut overlap = Overlap::new(classes);
    let mut pixels = vec![0_u64; classes];
    let mut confidence = 0.0;
    let windows = config.windows(true);
    for z in 0..extent.slices {
        let mut slice = Slice {
            width: extent.width,
            height: extent.height,
            channels: extent.channels,
            image: vec![0.0; extent.pixels() * extent.channels],
            labels: vec![0; extent.pixels()],
        };
        reader.read_slice(&mut slice.image)?;
        normalise(&mut slice.image, extent, &brightness);
        if let Some(labels) = &mut labels {
            labels.read_slice(&mut slice.labels, shape.classes as u32)?;
        }
        let done = z as f64 / extent.slices as f64;
        let Some(found) = windows.probabilities(network, &slice, &mut || tick(done))? else {
            return Ok(None);
        };
        let found = likeliest(&found)?;
        for (class, labelled) in found.classes.iter().zip(&slice.labels) {
            if let Some(count) = pixels.get_mut(usize::from(*class)) {
                *count += 1;
            }
            overlap.push(usize::from(*labelled), usize::from(*class));
        }
        confidence += found.confidence / extent.slices as f64;
        sink.write(&found.classes)?;
    }
    sink.finish()?;
    let all = (extent.pixels() * extent.slices) as f64;
    Ok(Some(Prediction {
        image: image.to_string_lossy().into_owned(),
        output: output.to_string_lossy().into_owned(),
        width: extent.width,
        height: extent.height,
        slices: extent.slices,
        fractions: pixels.iter().map(|count| *count as f64 / all).collect(),
        pixels,
        mean_confidence: confidence,
        dice: labels.as_ref().map(|_| overlap.dice()),
        mean_dice: labels.and_then(|_| overlap.mean_dice()),
    }))
}

enum Form {
    Png { width: u32, height: u32 },
    Plain,
    Compressed(Box<GzEncoder<Vec<u8>>>),
}

/// A file of classes that is being written. What is not finished is removed.
struct Sink {
    beside: PathBuf,
    output: PathBuf,
    to: BufWriter<File>,
    form: Form,
    finished: bool,
}

impl Sink {
    fn create(reader: &ImageReader, output: &Path) -> Result<Self, SegmentationError> {
        let mut name = std::ffi::OsString::from(".");
        name.push(output.file_name().unwrap_or_default());
        name.push(format!(".{}.partial", std::process::id()));
        let beside = output.with_file_name(name);
        let file = File::create(&beside).map_err(|error| of_output(&beside, error))?;
        let extent = reader.extent();
        let form = match reader {
            ImageReader::Png(_) => Form::Png {
                width: extent.width as u32,
                height: extent.height as u32,
            },
            ImageReader::Nifti(nifti) if nifti.compressed => {
                Form::Compressed(Box::new(GzEncoder::new(vec![], Compression::default())))
            }
            ImageReader::Nifti(_) => Form::Plain,
        };
        let mut sink = Self {
            beside,
            output: output.to_owned(),
            to: BufWriter::new(file),
            form,
            finished: false,
        };
        if let ImageReader::Nifti(nifti) = reader {
            sink.write(&nifti.header.of_labels())?;
        }
        Ok(sink)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SegmentationError> {
        let written = match &mut self.form {
            Form::Png { width, height } => write_labels(&mut self.to, *width, *height, bytes),
            Form::Plain => self.to.write_all(bytes),
            Form::Compressed(encoder) => encoder.write_all(bytes).and_then(|()| {
                self.to.write_all(encoder.get_ref())?;
                encoder.get_mut().clear();
                Ok(())
            }),
        };
        written.map_err(|error| of_output(&self.beside, error))
    }

    fn finish(mut self) -> Result<(), SegmentationError> {
        let mut finish = || -> std::io::Result<()> {
            if let Form::Compressed(encoder) = &mut self.form {
                encoder.try_finish()?;
                self.to.write_all(encoder.get_ref())?;
            }
            self.to.flush()?;
            self.to.get_ref().sync_all()?;
            fs::rename(&self.beside, &self.output)?;
            crate::run::durable::sync_directory(self.output.parent().unwrap_or(Path::new(".")))
        };
        let done = finish();
        self.finished = done.is_ok();
        done.map_err(|error| of_output(&self.output, error))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// What cannot be written is not damaged.
fn of_output(path: &Path, source: std::io::Error) -> SegmentationError {
    SegmentationError::File {
        path: path.to_owned(),
        source,
    }
}
