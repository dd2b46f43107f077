//! Pictures as PNG files: grey or colour, of 1 to 16 bits. Memory: the picture.

use super::error::SegmentationError;
use super::image::{Extent, Role, check_extent};
use png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Transformations};
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What the decoder may allocate beside the picture.
const MOST_BYTES: usize = 64 << 20;

/// A picture that is being read.
pub struct PngReader {
    path: PathBuf,
    reader: png::Reader<BufReader<File>>,
    extent: Extent,
}

impl std::fmt::Debug for PngReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PngReader")
            .field("path", &self.path)
            .field("extent", &self.extent)
            .finish_non_exhaustive()
    }
}

fn of_png(path: &Path, error: DecodingError) -> SegmentationError {
    match error {
        DecodingError::IoError(error) => SegmentationError::of_file(path, error),
        other => SegmentationError::damaged(path, other.to_string()),
    }
}

impl PngReader {
    /// Opens a picture and reads its header.
    ///
    /// # Errors
    /// [`SegmentationError`] that says what is not read.
    pub fn open(path: &Path, role: Role) -> Result<Self, SegmentationError> {
        let file = File::open(path).map_err(|error| SegmentationError::of_file(path, error))?;
        let limits = Limits { bytes: MOST_BYTES };
        let mut decoder = Decoder::new_with_limits(BufReader::new(file), limits);
        decoder.set_transformations(match role {
            Role::Image => Transformations::EXPAND,
            Role::Labels => Transformations::IDENTITY,
        });
        let reader = decoder.read_info().map_err(|error| of_png(path, error))?;
        let (width, height) = reader.info().size();
        let channels = match (role, reader.output_color_type().0) {
            (Role::Labels, ColorType::Grayscale | ColorType::Indexed) => 1,
            (Role::Labels, _) => {
                return Err(SegmentationError::unsupported(
                    path,
                    "has colours, and labels are classes: convert it to grey (or a palette) whose values are 0, 1, 2, …",
                ));
            }
            (Role::Image, ColorType::Grayscale | ColorType::GrayscaleAlpha) => 1,
            (Role::Image, _) => 3,
        };
        Ok(Self {
            extent: check_extent(path, u64::from(width), u64::from(height), 1, channels)?,
            path: path.to_owned(),
            reader,
        })
    }

    /// Its measures.
    #[must_use]
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// The picture: all values of a channel, then those of the next.
    ///
    /// # Errors
    /// [`SegmentationError`] where it is not whole.
    pub fn read_slice(&mut self, into: &mut [f32]) -> Result<(), SegmentationError> {
        let (color, depth) = self.reader.output_color_type();
        let size = self.reader.output_buffer_size().ok_or_else(|| {
            SegmentationError::damaged(&self.path, "it says that it is larger than any memory")
        })?;
        let mut bytes = vec![0; size];
        self.reader
            .next_frame(&mut bytes)
            .map_err(|error| of_png(&self.path, error))?;
        let Extent {
            width,
            height,
            channels,
            ..
        } = self.extent;
        let samples = color.samples();
        let row_bytes = size / height.max(1);
        for y in 0..height {
            let row = bytes.get(y * row_bytes..).unwrap_or_default();
            for x in 0..width {
                for channel in 0..channels {
                    into[(channel * height + y) * width + x] =
                        sample(row, x * samples + channel, depth);
                }
            }
        }
        Ok(())
    }
}

/// Sample number `at` of a row.
fn sample(row: &[u8], at: usize, depth: BitDepth) -> f32 {
    let byte = |at: usize| row.get(at).copied().unwrap_or_default();
    let bits = |per: usize| {
        let shift = 8 - per * (at % (8 / per) + 1);
        f32::from((byte(at * per / 8) >> shift) & ((1u16 << per) - 1) as u8)
    };
    match depth {
        BitDepth::One => bits(1),
        BitDepth::Two => bits(2),
        BitDepth::Four => bits(4),
        BitDepth::Eight => f32::from(byte(at)),
        BitDepth::Sixteen => f32::from(u16::from_be_bytes([byte(2 * at), byte(2 * at + 1)])),
    }
}

/// Writes classes as grey of 8 bits, whose value is the class.
///
/// # Errors
/// What the operating system says.
pub fn write_labels(
    to: &mut dyn Write,
    width: u32,
    height: u32,
    labels: &[u8],
) -> std::io::Result<()> {
    let mut encoder = png::Encoder::new(BufWriter::new(to), width, height);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::Eight);
    let refused = |error: png::EncodingError| match error {
        png::EncodingError::IoError(error) => error,
        other => std::io::Error::other(other.to_string()),
    };
    let mut writer = encoder.write_header().map_err(refused)?;
    writer.write_image_data(labels).map_err(refused)?;
    writer.finish().map_err(refused)
}
