//! A safetensors file whose weights are read one at a time.

use super::{
    LanguageModelError,
    rows::{Stored, plain},
};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};
use tch::{Device, Kind, Tensor};

/// The longest header that the format allows.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// A safetensors file, its header read.
pub(super) struct SafetensorsFile {
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
    file: File,
    /// The first byte after the header.
    data_offset: u64,
}

impl SafetensorsFile {
    /// Reads the header, and checks that every weight lies within the file.
    pub(super) fn open(path: &Path) -> Result<Self, LanguageModelError> {
        let missing = |source| LanguageModelError::FileMissing {
            path: path.to_owned(),
            source,
        };
        let malformed = |detail: String| LanguageModelError::FileMalformed {
            path: path.to_owned(),
            detail,
        };
        let truncated = |detail: String| LanguageModelError::FileTruncated {
            path: path.to_owned(),
            detail,
        };
        let mut file = File::open(path).map_err(missing)?;
        let file_bytes = file.metadata().map_err(missing)?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length)
            .map_err(|_| truncated(format!("it has {file_bytes} bytes")))?;
        let header_bytes = u64::from_le_bytes(length);
        if header_bytes > MAX_HEADER_BYTES {
            return Err(malformed(format!(
                "its header would have {header_bytes} bytes: not a safetensors file"
            )));
        }
        if header_bytes > file_bytes - 8 {
            return Err(truncated(format!(
                "its header has {header_bytes} bytes, the file {file_bytes}"
            )));
        }
        let mut header = vec![0; header_bytes as usize];
        file.read_exact(&mut header)
            .map_err(|error| truncated(error.to_string()))?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| malformed(error.to_string()))?;
        let data_offset = 8 + header_bytes;
        let end = data_offset.saturating_add(metadata.data_len() as u64);
        if end > file_bytes {
            return Err(truncated(format!(
                "its weights end at byte {end}, the file at byte {file_bytes}"
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            metadata,
            data_offset,
        })
    }

    /// What the header says of a weight: its shape and its kind, if it is one that can be read.
    pub(super) fn find(&self, name: &str) -> Option<(Vec<i64>, Option<Kind>)> {
        let info = self.metadata.info(name)?;
        Some((dims(info), kind_of(info.dtype)))
    }

    /// The weight `name` of `shape` as `kind` on `device`.
    pub(super) fn weight(
        &self,
        name: &str,
        shape: &[i64],
        kind: Kind,
        device: Device,
    ) -> Result<Tensor, LanguageModelError> {
        let info = self
            .metadata
            .info(name)
            .ok_or_else(|| LanguageModelError::WeightMissing {
                path: self.path.clone(),
                tensor: name.to_owned(),
            })?;
        let stored_kind = kind_of(info.dtype).ok_or_else(|| LanguageModelError::Unsupported {
            path: self.path.clone(),
            detail: format!(
                "the weight {name} is stored as {:?}; F32, F16 and BF16 can be read",
                info.dtype
            ),
        })?;
        let (start, end) = info.data_offsets;
        let stored = Stored {
            file: &self.file,
            path: &self.path,
            offset: self.data_offset + start as u64,
            bytes: (end - start) as u64,
        };
        stored.read(shape, kind, device, |bytes, shape| {
            plain(bytes, shape, stored_kind)
        })
    }
}

fn dims(info: &TensorInfo) -> Vec<i64> {
    info.shape
        .iter()
        .map(|&size| i64::try_from(size).unwrap_or(i64::MAX))
        .collect()
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::Float),
        Dtype::F16 => Some(Kind::Half),
        Dtype::BF16 => Some(Kind::BFloat16),
        Dtype::I8 => Some(Kind::Int8),
        Dtype::U8 => Some(Kind::Uint8),
        _ => None,
    }
}
