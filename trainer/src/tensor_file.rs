//! Safetensors files, written durably and read with every shape checked.

use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, TchError, Tensor};

/// Why a file of tensors could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TensorFileError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a whole safetensors file.
    #[error("{path} is not a whole safetensors file: {reason}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor is absent, or of another shape than it must be.
    #[error("{path} must hold {name:?} as {expected:?}; it holds {found}")]
    Shape {
        /// Which file.
        path: PathBuf,
        /// Which tensor.
        name: String,
        /// Its shape.
        expected: Vec<i64>,
        /// What there is.
        found: String,
    },
    /// libtorch failed.
    #[error("libtorch failed: {0}")]
    Libtorch(#[from] TchError),
}

const KINDS: [(Kind, Dtype); 5] = [
    (Kind::Float, Dtype::F32),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Half, Dtype::F16),
    (Kind::Double, Dtype::F64),
    (Kind::Int64, Dtype::I64),
];

/// Writes tensors to a new file and syncs it.
///
/// # Errors
/// [`TensorFileError::File`], and libtorch's when a tensor cannot be copied to the CPU.
pub fn write_tensors(path: &Path, tensors: &[(&str, &Tensor)]) -> Result<(), TensorFileError> {
    let mut parts = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let tensor = tensor.f_to_device(Device::Cpu)?.f_contiguous()?;
        let kind = tensor.f_kind()?;
        let dtype = KINDS
            .iter()
            .find(|(known, _)| *known == kind)
            .map(|(_, dtype)| *dtype)
            .ok_or_else(|| TchError::Kind(format!("{name}: {kind:?} cannot be written")))?;
        let mut bytes = vec![0; tensor.numel() * kind.elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        let shape: Vec<usize> = tensor.size().iter().map(|size| *size as usize).collect();
        parts.push((*name, dtype, shape, bytes));
    }
    let refused = |source| TensorFileError::File {
        path: path.to_owned(),
        source,
    };
    let views: Result<Vec<_>, SafeTensorError> = parts
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((*name, TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect();
    views
        .and_then(|views| safetensors::serialize_to_file(views, None, path))
        .map_err(|error| match error {
            SafeTensorError::IoError(source) => refused(source),
            other => refused(std::io::Error::other(other.to_string())),
        })?;
    std::fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(refused)
}

/// A file of tensors in memory.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl TensorFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`TensorFileError::File`] and [`TensorFileError::Damaged`].
    pub fn open(path: &Path) -> Result<Self, TensorFileError> {
        let bytes = std::fs::read(path).map_err(|source| TensorFileError::File {
            path: path.to_owned(),
            source,
        })?;
        SafeTensors::deserialize(&bytes).map_err(|error| TensorFileError::Damaged {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            path: path.to_owned(),
            bytes,
        })
    }

    /// Whether there is a tensor of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        SafeTensors::deserialize(&self.bytes).is_ok_and(|file| file.tensor(name).is_ok())
    }

    /// A tensor on the CPU, which must have this shape (−1: any size).
    ///
    /// # Errors
    /// [`TensorFileError::Shape`].
    pub fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, TensorFileError> {
        let wrong = |found: String| TensorFileError::Shape {
            path: self.path.clone(),
            name: name.to_owned(),
            expected: shape.to_vec(),
            found,
        };
        let file = SafeTensors::deserialize(&self.bytes).map_err(|e| wrong(e.to_string()))?;
        let view = file.tensor(name).map_err(|_| wrong("nothing".into()))?;
        let found: Vec<i64> = view.shape().iter().map(|size| *size as i64).collect();
        let fits = found.len() == shape.len()
            && found
                .iter()
                .zip(shape)
                .all(|(found, expected)| *expected == -1 || found == expected);
        if !fits {
            return Err(wrong(format!("{found:?}")));
        }
        let kind = KINDS
            .iter()
            .find(|(_, dtype)| *dtype == view.dtype())
            .map(|(kind, _)| *kind)
            .ok_or_else(|| wrong(format!("{:?}", view.dtype())))?;
        Ok(Tensor::f_from_data_size(view.data(), &found, kind)?)
    }
}
