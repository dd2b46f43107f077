//! The header of a NIfTI file, version 1 (348 bytes; <https://nifti.nimh.nih.gov/nifti-1>) or 2 (540 bytes), of either byte order.

use super::dtype::Dtype;
use crate::segmentation::error::SegmentationError;
use std::io::Read;
use std::path::Path;

/// Bytes between a header and what it describes that are skipped at most: extensions are text.
const MOST_EXTENSION: u64 = 64 << 20;

/// Where a version of the format keeps what.
struct Layout {
    size: usize,
    dim: usize,
    dim_size: usize,
    datatype: usize,
    bitpix: usize,
    vox_offset: usize,
    slope: usize,
    inter: usize,
    cal_max: usize,
    /// Bytes of a float.
    float: usize,
}

const VERSION_1: Layout = Layout {
    size: 348,
    dim: 40,
    dim_size: 2,
    datatype: 70,
    bitpix: 72,
    vox_offset: 108,
    slope: 112,
    inter: 116,
    cal_max: 124,
    float: 4,
};

const VERSION_2: Layout = Layout {
    size: 540,
    dim: 16,
    dim_size: 8,
    datatype: 12,
    bitpix: 14,
    vox_offset: 168,
    slope: 176,
    inter: 184,
    cal_max: 192,
    float: 8,
};

/// What a header says, and the header itself.
#[derive(Clone, Debug)]
pub struct Header {
    bytes: Vec<u8>,
    /// The byte order of header and numbers.
    pub big_endian: bool,
    /// Length of the first axis, which is the fastest.
    pub width: u64,
    /// Of the second.
    pub height: u64,
    /// Of the third.
    pub slices: u64,
    /// How numbers are stored.
    pub dtype: Dtype,
    /// Where they begin in the file.
    pub offset: u64,
    /// What stored numbers are multiplied with, and what is added then; none: they are what they are.
    pub scaling: Option<(f64, f64)>,
}

impl Header {
    /// Reads a header, and what lies between it and the numbers.
    ///
    /// # Errors
    /// [`SegmentationError`] that says what is not read.
    pub fn read(path: &Path, from: &mut dyn Read) -> Result<Self, SegmentationError> {
        let failed = |error| SegmentationError::of_file(path, error);
        let no_nifti =
            || SegmentationError::damaged(path, "it does not begin as a NIfTI file does");
        let mut bytes = vec![0; 348];
        from.read_exact(&mut bytes).map_err(failed)?;
        let size = bytes.first_chunk().copied().unwrap_or_default();
        let (layout, big_endian) = match (i32::from_le_bytes(size), i32::from_be_bytes(size)) {
            (348, _) => (VERSION_1, false),
            (_, 348) => (VERSION_1, true),
            (540, _) => (VERSION_2, false),
            (_, 540) => (VERSION_2, true),
            _ => return Err(no_nifti()),
        };
        bytes.resize(layout.size, 0);
        from.read_exact(&mut bytes[348..]).map_err(failed)?;
        let magic = if layout.size == 348 {
            &bytes[344..347]
        } else {
            &bytes[4..7]
        };
        match magic {
            b"n+1" | b"n+2" => {}
            b"ni1" | b"ni2" => {
                return Err(SegmentationError::unsupported(
                    path,
                    "keeps its numbers in another file: convert it to one .nii or .nii.gz",
                ));
            }
            _ => return Err(no_nifti()),
        }
        let header = Self::parse(path, bytes, &layout, big_endian)?;
        let between = header.offset - layout.size as u64;
        let skipped =
            std::io::copy(&mut from.take(between), &mut std::io::sink()).map_err(failed)?;
        if skipped < between {
            return Err(SegmentationError::damaged(path, "it ends in its header"));
        }
        Ok(header)
    }

    fn parse(
        path: &Path,
        bytes: Vec<u8>,
        layout: &Layout,
        big_endian: bool,
    ) -> Result<Self, SegmentationError> {
        let at = |at: usize, dtype: Dtype| dtype.read(&bytes[at..at + dtype.size()], big_endian);
        let float = if layout.float == 4 {
            Dtype::F32
        } else {
            Dtype::F64
        };
        let integer = if layout.dim_size == 2 {
            Dtype::I16
        } else {
            Dtype::I64
        };
        let dim = |n: usize| at(layout.dim + n * layout.dim_size, integer);
        let axes = dim(0);
        if !(1.0..=7.0).contains(&axes) {
            return Err(SegmentationError::damaged(
                path,
                format!("it has {axes} axes"),
            ));
        }
        let lengths: Vec<f64> = (1..=axes as usize).map(dim).collect();
        if let Some(length) = lengths
            .iter()
            .find(|length| !(1.0..=1e15).contains(*length))
        {
            return Err(SegmentationError::damaged(
                path,
                format!("an axis has the length {length}"),
            ));
        }
        if lengths.iter().skip(3).any(|length| *length > 1.0) {
            return Err(SegmentationError::unsupported(
                path,
                format!(
                    "has the shape {lengths:?}: give each volume of three axes a file of its own"
                ),
            ));
        }
        let length = |n: usize| lengths.get(n).map_or(1, |length| *length as u64);
        let dtype = Dtype::of(at(layout.datatype, Dtype::I16) as i16).map_err(|what| {
            SegmentationError::unsupported(
                path,
                format!(
                    "holds {what}: convert it to integers of 8 to 64 bits or floats of 32 or 64"
                ),
            )
        })?;
        let offset = at(
            layout.vox_offset,
            if layout.float == 4 {
                Dtype::F32
            } else {
                Dtype::I64
            },
        );
        let least = layout.size as f64;
        if !(least..=least + MOST_EXTENSION as f64).contains(&offset) {
            return Err(SegmentationError::damaged(
                path,
                format!("its numbers begin at {offset}"),
            ));
        }
        let (slope, inter) = (at(layout.slope, float), at(layout.inter, float));
        let scaled = slope.is_finite() && slope != 0.0 && inter.is_finite();
        Ok(Self {
            big_endian,
            width: length(0),
            height: length(1),
            slices: length(2),
            dtype,
            offset: offset as u64,
            scaling: scaled
                .then_some((slope, inter))
                .filter(|scaling| *scaling != (1.0, 0.0)),
            bytes,
        })
    }

    /// The header of a file of labels with the same geometry: one byte a voxel, not scaled, without extensions. The voxels follow.
    #[must_use]
    pub fn of_labels(&self) -> Vec<u8> {
        let layout = if self.bytes.len() == VERSION_1.size {
            VERSION_1
        } else {
            VERSION_2
        };
        let mut bytes = self.bytes.clone();
        let big = self.big_endian;
        let mut put = |at: usize, little: &[u8]| {
            let place = &mut bytes[at..at + little.len()];
            place.copy_from_slice(little);
            if big {
                place.reverse();
            }
        };
        // Four bytes after the header say that there are no extensions.
        let offset = layout.size + 4;
        put(layout.datatype, &2i16.to_le_bytes());
        put(layout.bitpix, &8i16.to_le_bytes());
        if layout.float == 4 {
            put(layout.vox_offset, &(offset as f32).to_le_bytes());
            put(layout.slope, &1f32.to_le_bytes());
            put(layout.inter, &0f32.to_le_bytes());
        } else {
            put(layout.vox_offset, &(offset as i64).to_le_bytes());
            put(layout.slope, &1f64.to_le_bytes());
            put(layout.inter, &0f64.to_le_bytes());
        }
        // The range to display is not that of the image: cal_max and cal_min stand side by side.
        bytes[layout.cal_max..layout.cal_max + 2 * layout.float].fill(0);
        bytes.extend([0; 4]);
        bytes
    }
}
