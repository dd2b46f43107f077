//! Images and labels that a command names: whether they are there, can be read and belong together. Nothing is decoded: what is in the
//! files is for the run to find out.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// Entries of a directory that are looked at, so that a path like `/` ends in an answer.
const MOST_ENTRIES: usize = 100_000;
/// The width of the tables' columns.
const MOST_CHARACTERS: usize = 500;
/// What images are called at their ends.
const ENDINGS: [&str; 3] = [".nii.gz", ".nii", ".png"];

/// Images or labels that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// The daemon has another working directory than the client.
    #[error(
        "{field}: {given:?} is not absolute; give the whole path, as the daemon's machine knows it"
    )]
    NotAbsolute {
        /// `images`, `labels` or `output_dir`.
        field: &'static str,
        /// As given.
        given: String,
    },
    /// NUL, or text that is too long.
    #[error("{0}: it must be 1 to {MOST_CHARACTERS} characters, none of them a control character")]
    NotAPath(&'static str),
    /// Nothing there.
    #[error("{field}: {path} is not there; check it on the daemon's machine")]
    Missing {
        /// `images` or `labels`.
        field: &'static str,
        /// Which.
        path: String,
    },
    /// There, but closed to the daemon.
    #[error("{field}: {path} cannot be read by the daemon (user id {uid}): {source}")]
    Unreadable {
        /// `images` or `labels`.
        field: &'static str,
        /// Which.
        path: String,
        /// Who the daemon is.
        uid: u32,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing in it is an image.
    #[error(
        "{field}: {path} holds no .nii, .nii.gz or .png file; name the directory of the images themselves"
    )]
    Empty {
        /// `images` or `labels`.
        field: &'static str,
        /// Which.
        path: String,
    },
    /// A directory with more than anyone meant.
    #[error(
        "{field}: {path} holds more than {MOST_ENTRIES} files; name the directory that holds just what is meant"
    )]
    TooMany {
        /// `images` or `labels`.
        field: &'static str,
        /// Which.
        path: String,
    },
    /// Two images could not be told apart.
    #[error(
        "{field}: two files of {path} are called {stem:?} but for their endings; give each a name of its own"
    )]
    Twice {
        /// `images` or `labels`.
        field: &'static str,
        /// Which.
        path: String,
        /// The name.
        stem: String,
    },
    /// Images whose labels are missing.
    #[error(
        "labels: {labels} holds no labels for {count} of the images, {stem:?} for one; labels are called as their images are, but for the ending"
    )]
    NoLabels {
        /// Where they were looked for.
        labels: String,
        /// How many.
        count: usize,
        /// One of them.
        stem: String,
    },
}

impl ImagesError {
    pub(in crate::commands) fn code(&self) -> &'static str {
        let is_of = |field: &str| field == "labels";
        match self {
            Self::NotAbsolute { .. } => "path_not_absolute",
            Self::NotAPath(_) => "path_invalid",
            Self::Missing { field, .. } | Self::Empty { field, .. } if is_of(field) => {
                "labels_not_found"
            }
            Self::Missing { .. } | Self::Empty { .. } => "images_not_found",
            Self::Unreadable { .. } => "path_not_readable",
            Self::TooMany { .. } => "path_too_large",
            Self::Twice { .. } => "images_ambiguous",
            Self::NoLabels { .. } => "labels_not_found",
        }
    }
}

/// Images with their labels.
#[derive(Debug)]
pub(super) struct Pairs {
    pub(super) images_path: String,
    pub(super) labels_path: String,
    /// How many.
    pub(super) images: usize,
}

impl Pairs {
    /// What people will call them: images and labels mostly lie beside each other in a directory that says what they are of.
    pub(super) fn default_name(&self) -> String {
        let images = Path::new(&self.images_path);
        let beside = images
            .parent()
            .filter(|parent| Path::new(&self.labels_path).parent() == Some(parent))
            .and_then(Path::file_name)
            .or_else(|| images.file_name());
        beside.map_or_else(
            || "images".to_owned(),
            |name| name.to_string_lossy().chars().take(200).collect(),
        )
    }
}

/// Looks at images and their labels. Blocks.
pub(super) fn pairs(images: &str, labels: &str) -> Result<Pairs, ImagesError> {
    let images = look("images", images)?;
    let labels = look("labels", labels)?;
    if images.is_directory || labels.is_directory {
        let mut without = images.stems.difference(&labels.stems);
        if let Some(stem) = without.next() {
            return Err(ImagesError::NoLabels {
                labels: labels.path,
                count: 1 + without.count(),
                stem: stem.clone(),
            });
        }
    }
    Ok(Pairs {
        images: images.stems.len(),
        images_path: images.path,
        labels_path: labels.path,
    })
}

/// Looks at images, or directories of them: canonical paths. Blocks.
pub(in crate::commands) fn files(
    field: &'static str,
    given: &[String],
) -> Result<Vec<String>, ImagesError> {
    given
        .iter()
        .map(|given| look(field, given).map(|looked| looked.path))
        .collect()
}

struct Looked {
    /// Canonical: absolute, without links and `..`.
    path: String,
    is_directory: bool,
    /// Names of images without their endings.
    stems: BTreeSet<String>,
}

fn look(field: &'static str, given: &str) -> Result<Looked, ImagesError> {
    let path = fs::canonicalize(absolute(field, given)?).map_err(failed(field, given))?;
    let text = path
        .to_str()
        .filter(|text| text.chars().count() <= MOST_CHARACTERS)
        .ok_or(ImagesError::NotAPath(field))?
        .to_owned();
    let is_directory = path.is_dir();
    let stems = if is_directory {
        stems(field, &path)?
    } else {
        fs::File::open(&path).map_err(failed(field, &text))?;
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(stem).map(str::to_owned).into_iter().collect()
    };
    if stems.is_empty() {
        return Err(ImagesError::Empty { field, path: text });
    }
    Ok(Looked {
        path: text,
        is_directory,
        stems,
    })
}

/// A path that the daemon understands as it was meant.
pub(in crate::commands) fn absolute<'a>(
    field: &'static str,
    given: &'a str,
) -> Result<&'a Path, ImagesError> {
    if given.is_empty()
        || given.chars().count() > MOST_CHARACTERS
        || given.chars().any(char::is_control)
    {
        return Err(ImagesError::NotAPath(field));
    }
    let path = Path::new(given);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(ImagesError::NotAbsolute {
            field,
            given: given.to_owned(),
        })
    }
}

fn stems(field: &'static str, directory: &Path) -> Result<BTreeSet<String>, ImagesError> {
    let shown = || directory.display().to_string();
    let unreadable = |error| failed(field, &shown())(error);
    let mut stems = BTreeSet::new();
    let mut first: Option<PathBuf> = None;
    for (seen, entry) in fs::read_dir(directory).map_err(unreadable)?.enumerate() {
        if seen >= MOST_ENTRIES {
            return Err(ImagesError::TooMany {
                field,
                path: shown(),
            });
        }
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let Some(stem) = name.to_str().and_then(stem) else {
            continue;
        };
        if !entry.path().is_file() {
            continue;
        }
        if !stems.insert(stem.to_owned()) {
            return Err(ImagesError::Twice {
                field,
                path: shown(),
                stem: stem.to_owned(),
            });
        }
        first.get_or_insert_with(|| entry.path());
    }
    if let Some(first) = first {
        fs::File::open(&first).map_err(failed(field, &first.display().to_string()))?;
    }
    Ok(stems)
}

/// The name of an image without its ending; none when it is called like no image, or hidden.
fn stem(name: &str) -> Option<&str> {
    if name.starts_with('.') {
        return None;
    }
    ENDINGS.into_iter().find_map(|ending| {
        let (stem, found) = name.split_at_checked(name.len().checked_sub(ending.len())?)?;
        (found.eq_ignore_ascii_case(ending) && !stem.is_empty()).then_some(stem)
    })
}

fn failed(field: &'static str, path: &str) -> impl FnOnce(io::Error) -> ImagesError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            ImagesError::Missing { field, path }
        }
        _ => ImagesError::Unreadable {
            field,
            path,
            uid: rustix::process::geteuid().as_raw(),
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(names: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(directory.path().join(name), "x").unwrap();
        }
        directory
    }

    fn path(directory: &tempfile::TempDir) -> &str {
        directory.path().to_str().unwrap()
    }

    #[test]
    fn images_belong_to_the_labels_of_the_same_name_whatever_their_ending() {
        let images = directory(&["a.nii.gz", "b.PNG", ".hidden.png", "notes.txt"]);
        let labels = directory(&["a.nii", "b.png", "c.png"]);
        let pairs = pairs(path(&images), path(&labels)).unwrap();
        assert_eq!(pairs.images, 2);
        assert_eq!(
            pairs.images_path,
            fs::canonicalize(images.path()).unwrap().to_str().unwrap()
        );
    }

    #[test]
    fn one_image_and_its_labels_may_be_called_otherwise() {
        let directory = directory(&["brain.nii.gz", "regions.nii.gz"]);
        let file = |name: &str| format!("{}/{name}", path(&directory));
        let pairs = pairs(&file("brain.nii.gz"), &file("regions.nii.gz")).unwrap();
        assert_eq!(pairs.images, 1);
    }

    #[test]
    fn what_is_called_as_the_images_beside_it_is_the_name() {
        let directory = tempfile::tempdir().unwrap();
        for part in ["hearts/images", "hearts/labels"] {
            let part = directory.path().join(part);
            fs::create_dir_all(&part).unwrap();
            fs::write(part.join("1.png"), "x").unwrap();
        }
        let part = |name: &str| format!("{}/hearts/{name}", path(&directory));
        let pairs = pairs(&part("images"), &part("labels")).unwrap();
        assert_eq!(pairs.default_name(), "hearts");
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let images = directory(&["a.png", "b.png"]);
        let some = directory(&["a.png"]);
        let none = directory(&["a.txt"]);
        let twice = directory(&["a.png", "a.nii"]);
        let images = path(&images);
        let file = format!("{}/a.txt", path(&none));
        for (given, labels, code) in [
            ("images", images, "path_not_absolute"),
            ("", images, "path_invalid"),
            ("/a\0b", images, "path_invalid"),
            ("/nowhere/at/all", images, "images_not_found"),
            (images, "/nowhere/at/all", "labels_not_found"),
            (path(&none), images, "images_not_found"),
            (file.as_str(), images, "images_not_found"),
            (images, path(&none), "labels_not_found"),
            (images, path(&some), "labels_not_found"),
            (path(&twice), images, "images_ambiguous"),
        ] {
            let error = pairs(given, labels).unwrap_err();
            assert_eq!(error.code(), code, "{given:?} {labels:?}: {error}");
        }
    }
}
