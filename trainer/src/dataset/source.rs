//! Files of text as a stream of pieces of text.
//!
//! | ending | a document | read |
//! |---|---|---|
//! | `.txt` | the file | [`PIECE_BYTES`] at a time |
//! | `.jsonl`, `.jsonl.gz` | a line | a line at a time, of at most [`MAX_LINE_BYTES`] |
//! | `.csv` | a row below the header | a row at a time, of at most [`MAX_LINE_BYTES`] |
//! | `.parquet` | a row | the text column's pages, some rows at a time (see [`parquet`]) |
//! | `.arrow` | a row | a record batch at a time (see [`arrow`]) |

mod arrow;
mod csv;
mod jsonl;
mod kind;
mod limited;
mod parquet;
mod strings;
mod text;

use super::DatasetError;
use kind::{Kind, kind_of};
use std::{
    fs,
    path::{Path, PathBuf},
};
use text::Text;

/// About how many bytes of text a piece has; a longer document comes in several pieces.
pub const PIECE_BYTES: usize = 128 << 10;
/// The longest line of a JSONL file, row of a CSV file or text of a table.
pub const MAX_LINE_BYTES: usize = 16 << 20;
/// How deep directories are looked into, and how many files are taken.
const MOST_LEVELS: usize = 16;
const MOST_FILES: usize = 100_000;

/// Some text of one document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub text: String,
    /// Whether the document ends here.
    pub ends_document: bool,
}

/// A file whose rows are documents.
trait Rows {
    /// The text of the next row, empty where there is none; none at the end.
    fn next_text(&mut self) -> Result<Option<String>, DatasetError>;
    /// How many of the file's bytes have been read, about.
    fn read_bytes(&self) -> u64;
}

/// The text of a file, or of the files of a directory in the order of their names.
///
/// A long document is cut where tokenizers cut it anyway: before a line break that follows a letter or digit; where there is
/// none, before another white space, or else between two characters.
pub(super) struct Source {
    root: PathBuf,
    text_column: String,
    /// Last first.
    waiting: Vec<PathBuf>,
    open: Option<OpenFile>,
    size_bytes: u64,
    /// Of files that have been closed.
    done_bytes: u64,
}

enum OpenFile {
    Text(Text),
    Rows { rows: Box<dyn Rows>, rest: String },
}

impl Source {
    pub fn open(root: &Path, text_column: &str) -> Result<Self, DatasetError> {
        let missing = |source| DatasetError::FileMissing {
            path: root.to_owned(),
            source,
        };
        let mut waiting = Vec::new();
        if fs::metadata(root).map_err(missing)?.is_dir() {
            files_of(root, MOST_LEVELS, &mut waiting)?;
            waiting.sort();
        } else if kind_of(root).is_some() {
            waiting.push(root.to_owned());
        } else {
            return Err(DatasetError::UnknownKind {
                path: root.to_owned(),
            });
        }
        let mut size_bytes = 0;
        for path in &waiting {
            let metadata = fs::metadata(path).map_err(|source| DatasetError::FileMissing {
                path: path.clone(),
                source,
            })?;
            size_bytes += metadata.len();
        }
        waiting.reverse();
        Ok(Self {
            root: root.to_owned(),
            text_column: text_column.to_owned(),
            waiting,
            open: None,
            size_bytes,
            done_bytes: 0,
        })
    }

    /// Bytes of all files.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// How much has been read, in percent.
    pub fn percent(&self) -> f64 {
        let read = self.done_bytes + self.open.as_ref().map_or(0, OpenFile::read_bytes);
        (read as f64 / self.size_bytes.max(1) as f64 * 100.0).min(100.0)
    }

    /// That there was no text.
    pub fn empty(&self) -> DatasetError {
        let detail = if self.size_bytes == 0 {
            format!("no text in any {} file", kind::ENDINGS)
        } else {
            "its files hold no text".to_owned()
        };
        DatasetError::Empty {
            path: self.root.clone(),
            detail,
        }
    }

    /// The next piece; none at the end. Documents without text do not appear.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, DatasetError> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                None => match self.waiting.pop() {
                    Some(path) => self.open.insert(OpenFile::new(path, &self.text_column)?),
                    None => return Ok(None),
                },
            };
            if let Some(piece) = open.next_piece()? {
                return Ok(Some(piece));
            }
            self.done_bytes += open.read_bytes();
            self.open = None;
        }
    }
}

impl OpenFile {
    fn new(path: PathBuf, column: &str) -> Result<Self, DatasetError> {
        let rows: Box<dyn Rows> = match kind_of(&path) {
            None | Some(Kind::Text) => return Ok(Self::Text(Text::open(path)?)),
            Some(Kind::Jsonl) => Box::new(jsonl::Jsonl::open(path, column)?),
            Some(Kind::JsonlGz) => Box::new(jsonl::Jsonl::open_gz(path, column)?),
            Some(Kind::Csv) => Box::new(csv::Csv::open(path, column)?),
            Some(Kind::Parquet) => Box::new(parquet::Parquet::open(path, column)?),
            Some(Kind::Arrow) => Box::new(arrow::Arrow::open(path, column)?),
        };
        Ok(Self::Rows {
            rows,
            rest: String::new(),
        })
    }

    fn read_bytes(&self) -> u64 {
        match self {
            Self::Text(text) => text.read_bytes(),
            Self::Rows { rows, .. } => rows.read_bytes(),
        }
    }

    fn next_piece(&mut self) -> Result<Option<Piece>, DatasetError> {
        let (rows, rest) = match self {
            Self::Text(text) => return text.next_piece(),
            Self::Rows { rows, rest } => (rows, rest),
        };
        while rest.is_empty() {
            match rows.next_text()? {
                Some(text) => *rest = text,
                None => return Ok(None),
            }
        }
        if rest.len() > PIECE_BYTES {
            return Ok(Some(cut(rest)));
        }
        Ok(Some(Piece {
            text: std::mem::take(rest),
            ends_document: true,
        }))
    }
}

/// The files below a directory that can be read. What begins with a dot is somebody's housekeeping.
fn files_of(directory: &Path, levels: usize, found: &mut Vec<PathBuf>) -> Result<(), DatasetError> {
    let missing = |source| DatasetError::FileMissing {
        path: directory.to_owned(),
        source,
    };
    for entry in fs::read_dir(directory).map_err(missing)? {
        let entry = entry.map_err(missing)?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        // Links are followed to files only, so that a link upwards cannot go round for ever.
        if entry.file_type().map_err(missing)?.is_dir() {
            if levels > 0 {
                files_of(&path, levels - 1, found)?;
            }
        } else if kind_of(&path).is_some() && path.is_file() {
            if found.len() == MOST_FILES {
                return Err(DatasetError::TooManyFiles {
                    path: directory.to_owned(),
                    most: MOST_FILES,
                });
            }
            found.push(path);
        }
    }
    Ok(())
}

/// Takes a piece off a rest that is longer than one.
fn cut(rest: &mut String) -> Piece {
    let at = place_to_cut(rest, PIECE_BYTES);
    let after = rest.split_off(at);
    Piece {
        text: std::mem::replace(rest, after),
        ends_document: false,
    }
}

/// Where to cut a text into at most `most` bytes and a rest.
fn place_to_cut(text: &str, most: usize) -> usize {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut at_space = None;
    let mut after: Option<(usize, char)> = None;
    for (at, character) in text[..end].char_indices().rev() {
        if let Some((cut, next)) = after
            && character.is_alphanumeric()
        {
            if next == '\n' {
                return cut;
            }
            if next.is_whitespace() && at_space.is_none() {
                at_space = Some(cut);
            }
        }
        after = Some((at, character));
    }
    at_space.unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_before_a_line_break_then_before_a_space_then_anywhere() {
        assert_eq!(place_to_cut("one two\nthree four", 15), 7);
        assert_eq!(place_to_cut("one two.\nthree four", 16), 14);
        assert_eq!(place_to_cut("one...two", 6), 6);
        assert_eq!(place_to_cut("你好你好", 7), 6);
    }
}
