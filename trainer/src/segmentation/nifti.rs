//! Volumes as NIfTI files (`.nii`, `.nii.gz`), read slice by slice along the third axis. Memory: one slice.

mod dtype;
mod header;

pub use dtype::Dtype;
pub use header::Header;

use super::error::SegmentationError;
use super::image::{Extent, check_extent};
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// A volume that is being read.
pub struct NiftiReader {
    path: PathBuf,
    from: Box<dyn Read>,
    /// What the file says of itself.
    pub header: Header,
    /// Whether the file is compressed.
    pub compressed: bool,
    extent: Extent,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for NiftiReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NiftiReader")
            .field("path", &self.path)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

impl NiftiReader {
    /// Opens a volume and reads its header.
    ///
    /// # Errors
    /// [`SegmentationError`] that says what is not read.
    pub fn open(path: &Path) -> Result<Self, SegmentationError> {
        let failed = |error| SegmentationError::of_file(path, error);
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut file = BufReader::with_capacity(1 << 16, file);
        let compressed = file.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
        let mut from: Box<dyn Read> = if compressed {
            Box::new(MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        let header = Header::read(path, &mut *from)?;
        let extent = check_extent(path, header.width, header.height, header.slices, 1)?;
        let bytes = extent.pixels() * header.dtype.size();
        let whole = (bytes as u64).saturating_mul(extent.slices as u64);
        if !compressed && length < header.offset.saturating_add(whole) {
            let reason = format!(
                "its header promises {} bytes, it has {length}",
                header.offset.saturating_add(whole)
            );
            return Err(SegmentationError::damaged(path, reason));
        }
        Ok(Self {
            path: path.to_owned(),
            from,
            header,
            compressed,
            extent,
            bytes: vec![0; bytes],
        })
    }

    /// Its measures.
    #[must_use]
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// The next slice, row by row.
    ///
    /// # Errors
    /// [`SegmentationError`] where the file ends.
    pub fn read_slice(&mut self, into: &mut [f32]) -> Result<(), SegmentationError> {
        self.from
            .read_exact(&mut self.bytes)
            .map_err(|error| SegmentationError::of_file(&self.path, error))?;
        let Header {
            dtype,
            big_endian,
            scaling,
            ..
        } = self.header;
        for (number, bytes) in into.iter_mut().zip(self.bytes.chunks_exact(dtype.size())) {
            let stored = dtype.read(bytes, big_endian);
            *number = match scaling {
                Some((slope, inter)) => stored * slope + inter,
                None => stored,
            } as f32;
        }
        Ok(())
    }
}
