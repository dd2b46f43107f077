//! Activations that trainings keep on disk for one another.
//!
//! A directory has an entry for each stream of activations (a model, a text, a place, a precision), named after the hash of what identifies
//! it. An entry is filled by one training as it reads, and used by any number once it is whole; the others compute meanwhile. All entries
//! together stay within a bound: before one is made, those that were used least recently and that nobody uses are removed, and where that does
//! not make room enough, nothing is kept. Nothing here fails a training: what cannot be kept is computed.

mod admission;
mod entry;

use super::remark::remark;
use admission::admit;
use entry::Entry;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tch::{Device, Kind, TchError, Tensor};
use trainmaster_domain::run::spec;

/// What an entry is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Passes over the dataset.
    pub passes: u64,
    /// Bytes that are set aside for a pass.
    pub bytes_per_pass: u64,
}

impl Extent {
    fn bytes(&self) -> u64 {
        self.passes.saturating_mul(self.bytes_per_pass)
    }
}

/// The kept activations of the streams of a training.
#[derive(Debug)]
pub(super) struct ActivationCache {
    entries: Vec<Option<Entry>>,
}

impl ActivationCache {
    /// Nothing is kept.
    pub(super) fn none() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// Opens or makes an entry for each of the streams that `keys` identify.
    pub(super) fn open(cache: &spec::ActivationCache, keys: &[Value], extent: Extent) -> Self {
        let entries = keys.iter().map(|key| {
            admit(Path::new(&cache.directory), cache.most_bytes, key, extent)
                .inspect_err(|error| remark(format_args!("activations are not kept: {error}")))
                .ok()
                .flatten()
        });
        Self {
            entries: entries.collect(),
        }
    }

    /// Whether every activation of every stream is there.
    pub(super) fn is_complete(&self) -> bool {
        !self.entries.is_empty()
            && self
                .entries
                .iter()
                .all(|entry| entry.as_ref().is_some_and(Entry::is_complete))
    }

    /// The `rows` activations of a pass, if they are there: [rows, width].
    ///
    /// # Errors
    /// What libtorch says.
    pub(super) fn read(
        &self,
        stream: usize,
        pass: u64,
        rows: i64,
        (kind, width, device): (Kind, i64, Device),
    ) -> Result<Option<Tensor>, TchError> {
        let entry = self.entries.get(stream).and_then(Option::as_ref);
        let bytes = rows as usize * width as usize * kind.elt_size_in_bytes();
        match entry.and_then(|entry| entry.pass(pass, bytes)) {
            Some(bytes) => {
                let rows = Tensor::f_from_data_size(bytes, &[rows, width], kind)?;
                Ok(Some(rows.f_to_device(device)?))
            }
            None => Ok(None),
        }
    }

    /// Keeps the activations of a pass, if they are for this training to keep.
    pub(super) fn keep(&mut self, stream: usize, pass: u64, rows: &Tensor) {
        let Some(Some(entry)) = self.entries.get_mut(stream) else {
            return;
        };
        if !entry.wants(pass) {
            return;
        }
        let bytes = || -> Result<Vec<u8>, TchError> {
            let rows = rows.f_to_device(Device::Cpu)?.f_contiguous()?;
            let mut bytes = vec![0; rows.numel() * rows.kind().elt_size_in_bytes()];
            rows.f_copy_data_u8(&mut bytes, rows.numel())?;
            Ok(bytes)
        };
        match bytes() {
            Ok(bytes) => entry.keep(pass, &bytes),
            Err(error) => remark(format_args!("activations are not kept: {error}")),
        }
    }

    /// Makes durable what has been kept so far.
    pub(super) fn settle(&mut self) {
        for entry in self.entries.iter_mut().flatten() {
            entry.settle();
        }
    }
}

/// What tells files from others without reading them: names, sizes and times of change of a file, or of the files of a directory.
pub(super) fn files(path: &Path) -> Value {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let listed = fs::read_dir(&path).map(|entries| {
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths
    });
    let files = listed.unwrap_or_else(|_| vec![path.clone()]);
    let files = files.iter().map(|path| {
        let metadata = fs::metadata(path).ok();
        json!([
            path.to_string_lossy(),
            metadata.as_ref().map(MetadataExt::size),
            metadata.as_ref().map(MetadataExt::mtime),
            metadata.as_ref().map(MetadataExt::mtime_nsec),
        ])
    });
    Value::Array(files.collect())
}
