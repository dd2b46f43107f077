//! Reads a stored weight a few rows at a time, so that loading needs little more memory than the weights themselves.

use super::LanguageModelError;
use std::{fs::File, os::unix::fs::FileExt, path::Path};
use tch::{Device, Kind, Tensor};

/// Bytes of a file that are in memory at once while a weight is read.
const CHUNK_BYTES: u64 = 8 << 20;

/// Where a weight lies in a file.
pub(crate) struct Stored<'a> {
    /// The file.
    pub file: &'a File,
    /// Its path, for messages.
    pub path: &'a Path,
    /// The weight's first byte.
    pub offset: u64,
    /// Bytes of all its rows.
    pub bytes: u64,
}

impl Stored<'_> {
    /// The weight of `shape` as `kind` on `device`; `decode` makes a tensor of some of its rows, given their bytes and shape.
    pub(crate) fn read(
        &self,
        shape: &[i64],
        kind: Kind,
        device: Device,
        decode: impl Fn(&[u8], &[i64]) -> Result<Tensor, LanguageModelError>,
    ) -> Result<Tensor, LanguageModelError> {
        let torch = LanguageModelError::torch("hold a weight in memory");
        // A vector is read at once: its blocks may not divide into numbers.
        let [rows, width @ ..] = shape else {
            return self.read_whole(shape, kind, device, &decode);
        };
        if width.is_empty() {
            return self.read_whole(shape, kind, device, &decode);
        }
        let rows = *rows;
        let row_bytes = self.bytes / rows.max(1) as u64;
        let at_once = (CHUNK_BYTES / row_bytes.max(1)).clamp(1, rows.max(1) as u64) as i64;
        let weight = Tensor::f_empty(shape, (kind, device)).map_err(&torch)?;
        let mut row = 0;
        while row < rows {
            let count = at_once.min(rows - row);
            let part = [&[count], width].concat();
            let decoded = self.read_part(
                row as u64 * row_bytes,
                count as u64 * row_bytes,
                &part,
                &decode,
            )?;
            weight
                .f_narrow(0, row, count)
                .and_then(|mut destination| destination.f_copy_(&decoded))
                .map_err(&torch)?;
            row += count;
        }
        Ok(weight)
    }

    fn read_whole(
        &self,
        shape: &[i64],
        kind: Kind,
        device: Device,
        decode: &impl Fn(&[u8], &[i64]) -> Result<Tensor, LanguageModelError>,
    ) -> Result<Tensor, LanguageModelError> {
        self.read_part(0, self.bytes, shape, decode)?
            .f_to_device(device)
            .and_then(|weight| weight.f_to_kind(kind))
            .map_err(LanguageModelError::torch("hold a weight in memory"))
    }

    fn read_part(
        &self,
        from: u64,
        bytes: u64,
        shape: &[i64],
        decode: &impl Fn(&[u8], &[i64]) -> Result<Tensor, LanguageModelError>,
    ) -> Result<Tensor, LanguageModelError> {
        let mut buffer = vec![0; bytes as usize];
        self.file
            .read_exact_at(&mut buffer, self.offset + from)
            .map_err(|error| LanguageModelError::FileTruncated {
                path: self.path.to_owned(),
                detail: format!(
                    "{bytes} bytes of weights at byte {}: {error}",
                    self.offset + from
                ),
            })?;
        decode(&buffer, shape)
    }
}

/// A tensor of plain numbers from their little-endian bytes.
pub(crate) fn plain(bytes: &[u8], shape: &[i64], kind: Kind) -> Result<Tensor, LanguageModelError> {
    let needed = shape.iter().product::<i64>() as usize * kind.elt_size_in_bytes();
    if bytes.len() != needed {
        return Err(LanguageModelError::Torch {
            doing: "hold a weight in memory",
            detail: format!(
                "{} bytes cannot be a tensor of shape {shape:?}",
                bytes.len()
            ),
        });
    }
    Tensor::f_from_data_size(bytes, shape, kind)
        .map_err(LanguageModelError::torch("hold a weight in memory"))
}
