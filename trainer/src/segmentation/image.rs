//! An image file, slice by slice: a PNG is one slice, a NIfTI volume as many as its third axis is long.

use super::error::SegmentationError;
use super::nifti::NiftiReader;
use super::png_file::PngReader;
use std::path::Path;

/// The most pixels of a slice.
pub const MOST_PIXELS: u64 = 1 << 24;

/// The most slices of a volume.
pub const MOST_SLICES: u64 = 1 << 20;

/// The measures of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Pixels of a row.
    pub width: usize,
    /// Rows of a slice.
    pub height: usize,
    /// Slices.
    pub slices: usize,
    /// Numbers of a pixel.
    pub channels: usize,
}

impl Extent {
    /// Pixels of a slice.
    #[must_use]
    pub fn pixels(&self) -> usize {
        self.width * self.height
    }
}

/// Refuses what is larger than memory is meant to be.
pub(super) fn check_extent(
    path: &Path,
    width: u64,
    height: u64,
    slices: u64,
    channels: u64,
) -> Result<Extent, SegmentationError> {
    let most = "16,777,216 pixels in each of at most 1,048,576 slices: cut it into parts";
    if width.saturating_mul(height) > MOST_PIXELS || slices > MOST_SLICES {
        return Err(SegmentationError::unsupported(
            path,
            format!("is {width} by {height} by {slices}, and an image has at most {most}"),
        ));
    }
    Ok(Extent {
        width: width as usize,
        height: height as usize,
        slices: slices as usize,
        channels: channels as usize,
    })
}

/// What a file is by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.nii` or `.nii.gz`.
    Nifti,
    /// `.png`.
    Png,
}

/// The name of a file without the ending of its format; nothing for one of no format that is read.
#[must_use]
pub fn stem(path: &Path) -> Option<(String, Format)> {
    let name = path.file_name()?.to_str()?;
    let lower = name.to_ascii_lowercase();
    [
        (".nii.gz", Format::Nifti),
        (".nii", Format::Nifti),
        (".png", Format::Png),
    ]
    .into_iter()
    .find(|(ending, _)| lower.ends_with(ending) && lower.len() > ending.len())
    .map(|(ending, format)| (name[..name.len() - ending.len()].to_owned(), format))
}

/// Whether numbers are looked at as brightness or as classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Brightness: colours are channels, and what is transparent is seen as if it were not.
    Image,
    /// Classes: of a palette, the index is the class.
    Labels,
}

/// An image that is being read.
#[derive(Debug)]
pub enum ImageReader {
    /// A volume.
    Nifti(NiftiReader),
    /// A picture.
    Png(Box<PngReader>),
}

impl ImageReader {
    /// Opens an image and reads its header.
    ///
    /// # Errors
    /// [`SegmentationError`] that says what is not read.
    pub fn open(path: &Path, role: Role) -> Result<Self, SegmentationError> {
        match stem(path) {
            Some((_, Format::Nifti)) => Ok(Self::Nifti(NiftiReader::open(path)?)),
            Some((_, Format::Png)) => Ok(Self::Png(Box::new(PngReader::open(path, role)?))),
            None => Err(SegmentationError::unsupported(
                path,
                "is no .nii, .nii.gz or .png: convert it to one of these",
            )),
        }
    }

    /// Its measures.
    #[must_use]
    pub fn extent(&self) -> Extent {
        match self {
            Self::Nifti(reader) => reader.extent(),
            Self::Png(reader) => reader.extent(),
        }
    }

    /// The next slice, channel by channel, each row by row.
    ///
    /// # Errors
    /// [`SegmentationError`] where the file ends.
    pub fn read_slice(&mut self, into: &mut [f32]) -> Result<(), SegmentationError> {
        match self {
            Self::Nifti(reader) => reader.read_slice(into),
            Self::Png(reader) => reader.read_slice(into),
        }
    }
}
