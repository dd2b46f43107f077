//! Which images there are, and which labels are whose.

use super::error::SegmentationError;
use super::image::stem;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An image and its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The name of the image without its ending.
    pub stem: String,
    /// The image.
    pub image: PathBuf,
    /// Its labels.
    pub labels: PathBuf,
}

/// The images of a directory (not of those in it) by their stems, or the one image that a path is. What is no image is passed over, and so
/// are hidden files.
///
/// # Errors
/// [`SegmentationError`]: there is none, or two are called the same.
pub fn images(path: &Path) -> Result<BTreeMap<String, PathBuf>, SegmentationError> {
    let failed = |error| SegmentationError::of_file(path, error);
    if !std::fs::metadata(path).map_err(failed)?.is_dir() {
        let (stem, _) = stem(path).ok_or_else(|| {
            SegmentationError::unsupported(
                path,
                "is neither a directory nor a .nii, .nii.gz or .png: name one of these",
            )
        })?;
        return Ok(BTreeMap::from([(stem, path.to_owned())]));
    }
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let hidden = file
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let Some((stem, _)) = stem(&file).filter(|_| !hidden && file.is_file()) else {
            continue;
        };
        if let Some(other) = found.insert(stem.clone(), file.clone()) {
            return Err(SegmentationError::Misfit {
                what: format!(
                    "{} and {} are both called {stem}: give each a name of its own",
                    other.display(),
                    file.display()
                ),
            });
        }
    }
    if found.is_empty() {
        return Err(SegmentationError::Empty {
            what: format!(
                "{} has no .nii, .nii.gz or .png file: put the images there, or name another directory",
                path.display()
            ),
        });
    }
    Ok(found)
}

/// The images of a path with their labels, in the order of their stems. Where both paths are files, they belong together whatever they are
/// called.
///
/// # Errors
/// [`SegmentationError`] of the image that has no labels.
pub fn pairs(images_path: &Path, labels_path: &Path) -> Result<Vec<Pair>, SegmentationError> {
    let all = images(images_path)?;
    let mut labels = images(labels_path)?;
    let single = images_path.is_file() && labels_path.is_file();
    all.into_iter()
        .map(|(stem, image)| {
            let own = if single {
                labels.pop_first().map(|(_, labels)| labels)
            } else {
                labels.remove(&stem)
            };
            match own {
                Some(labels) => Ok(Pair {
                    stem,
                    image,
                    labels,
                }),
                None => Err(SegmentationError::NoLabels {
                    image,
                    stem,
                    labels: labels_path.to_owned(),
                }),
            }
        })
        .collect()
}
