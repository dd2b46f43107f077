//! Image files, as the trainer reads them before it trains or predicts.

use std::{cell::RefCell, fs, path::Path};
use tempfile::TempDir;
use trainmaster_trainer::segmentation::volume::{LabelReader, survey};

thread_local! {
    static DIRECTORY: RefCell<TempDir> = RefCell::new(directory());
}

/// In memory, where there is such a place.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .expect("a temporary directory")
}

/// A NIfTI file (compressed or not) and a PNG, as an image and as the labels of itself.
pub fn image(data: &[u8]) {
    DIRECTORY.with_borrow(|directory| {
        for name in ["image.nii", "image.png"] {
            let path = directory.path().join(name);
            fs::write(&path, data).expect("a file can be written");
            let mut labels = None;
            let mut classes = vec![];
            let _ = survey(&path, &mut |_, extent, _| {
                let reader = match &mut labels {
                    Some(reader) => reader,
                    none => none.insert(LabelReader::open(&path, &path, extent)?),
                };
                classes.resize(extent.pixels(), 0);
                reader.read_slice(&mut classes, 255)
            });
        }
    });
}
