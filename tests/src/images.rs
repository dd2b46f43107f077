//! Small images with labels, for tests of segmentation: bright squares before a dark ground.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Width and height in pixels.
const SIDE: i16 = 32;
/// Slices of a volume.
const SLICES: i16 = 2;
/// `DT_UNSIGNED_CHAR` of NIfTI-1.
const BYTES: i16 = 2;
/// Where voxels begin in a file of NIfTI-1.
const OFFSET: f32 = 352.0;

/// Writes so many volumes (NIfTI-1, not compressed) into `images` and `labels` of a directory, and answers with the two.
///
/// # Panics
/// When they cannot be written.
#[must_use]
pub fn write_squares(directory: &Path, count: u8) -> (PathBuf, PathBuf) {
    let (images, labels) = (directory.join("images"), directory.join("labels"));
    for folder in [&images, &labels] {
        fs::create_dir_all(folder).expect("a directory of images");
    }
    for number in 0..count {
        let corner = 4 + i16::from(number % 8);
        let inside = |at: i16| (corner..corner + 14).contains(&at);
        let mut image = Vec::new();
        let mut label = Vec::new();
        for _ in 0..SLICES {
            for y in 0..SIDE {
                for x in 0..SIDE {
                    let is_square = inside(x) && inside(y);
                    // Not quite even, so that there is something to look at.
                    let grain = ((x * 7 + y * 13) % 16) as u8;
                    image.push(if is_square { 200 } else { 40 } + grain);
                    label.push(u8::from(is_square));
                }
            }
        }
        let name = format!("square-{number}.nii");
        for (folder, voxels) in [(&images, image), (&labels, label)] {
            let mut file = header();
            file.extend(voxels);
            fs::write(folder.join(&name), file).expect("an image");
        }
    }
    (images, labels)
}

/// Of NIfTI-1, with the four bytes that say that no extension follows.
fn header() -> Vec<u8> {
    let mut header = vec![0_u8; OFFSET as usize];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348_i32.to_le_bytes());
    for (place, length) in [3, SIDE, SIDE, SLICES, 1, 1, 1, 1].into_iter().enumerate() {
        put(40 + 2 * place, &length.to_le_bytes());
    }
    put(70, &BYTES.to_le_bytes());
    put(72, &8_i16.to_le_bytes());
    for place in 0..4 {
        put(76 + 4 * place, &1.0_f32.to_le_bytes());
    }
    put(108, &OFFSET.to_le_bytes());
    put(112, &1.0_f32.to_le_bytes());
    put(344, b"n+1\0");
    header
}
