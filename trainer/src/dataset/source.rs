//! Text files and JSONL files as a stream of pieces of text.

use super::DatasetError;
use std::{
    ffi::OsStr,
    fs::File,
    io::{BufRead, BufReader, ErrorKind, Read},
    path::{Path, PathBuf},
};

/// About how many bytes of text a piece has; a longer document comes in several pieces.
pub const PIECE_BYTES: usize = 128 << 10;
/// The longest line of a JSONL file.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// Some text of one document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub text: String,
    /// Whether the document ends here.
    pub ends_document: bool,
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

struct OpenFile {
    path: PathBuf,
    reader: BufReader<File>,
    read_bytes: u64,
    /// Line breaks before what is read next.
    lines: u64,
    kind: Kind,
    /// Text of the current document that is not in a piece yet.
    rest: String,
    /// Whether pieces of the current document have been given out.
    begun: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Jsonl,
}

impl Source {
    pub fn open(root: &Path, text_column: &str) -> Result<Self, DatasetError> {
        let missing = |source| DatasetError::FileMissing {
            path: root.to_owned(),
            source,
        };
        let mut waiting = Vec::new();
        if std::fs::metadata(root).map_err(missing)?.is_dir() {
            for entry in std::fs::read_dir(root).map_err(missing)? {
                let path = entry.map_err(missing)?.path();
                if kind_of(&path).is_some() && path.is_file() {
                    waiting.push(path);
                }
            }
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
            let metadata = std::fs::metadata(path).map_err(|source| DatasetError::FileMissing {
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
        let read = self.done_bytes + self.open.as_ref().map_or(0, |open| open.read_bytes);
        (read as f64 / self.size_bytes.max(1) as f64 * 100.0).min(100.0)
    }

    /// That there was no text.
    pub fn empty(&self) -> DatasetError {
        let detail = if self.size_bytes == 0 {
            "no text in any .txt or .jsonl file"
        } else {
            "its files hold no text"
        };
        DatasetError::Empty {
            path: self.root.clone(),
            detail: detail.to_owned(),
        }
    }

    /// The next piece; none at the end. Documents without text do not appear.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, DatasetError> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                None => match self.waiting.pop() {
                    Some(path) => self.open.insert(OpenFile::new(path)?),
                    None => return Ok(None),
                },
            };
            if let Some(piece) = open.next_piece(&self.text_column)? {
                return Ok(Some(piece));
            }
            self.done_bytes += open.read_bytes;
            self.open = None;
        }
    }
}

impl OpenFile {
    fn new(path: PathBuf) -> Result<Self, DatasetError> {
        let file = File::open(&path).map_err(|source| DatasetError::FileMissing {
            path: path.clone(),
            source,
        })?;
        let kind = kind_of(&path).unwrap_or(Kind::Text);
        let reader = BufReader::with_capacity(PIECE_BYTES, file);
        Ok(Self {
            path,
            reader,
            read_bytes: 0,
            lines: 0,
            kind,
            rest: String::new(),
            begun: false,
        })
    }

    fn next_piece(&mut self, column: &str) -> Result<Option<Piece>, DatasetError> {
        match self.kind {
            Kind::Text => self.next_of_text(),
            Kind::Jsonl => self.next_of_jsonl(column),
        }
    }

    /// A text file is one document.
    fn next_of_text(&mut self) -> Result<Option<Piece>, DatasetError> {
        while self.rest.len() <= PIECE_BYTES {
            if !self.read_text()? {
                let ends = !self.rest.is_empty() || self.begun;
                self.begun = false;
                let text = std::mem::take(&mut self.rest);
                return Ok(ends.then_some(Piece {
                    text,
                    ends_document: true,
                }));
            }
        }
        self.begun = true;
        Ok(Some(self.cut()))
    }

    /// A line of a JSONL file is one document.
    fn next_of_jsonl(&mut self, column: &str) -> Result<Option<Piece>, DatasetError> {
        while self.rest.is_empty() {
            let Some(line) = self.read_line()? else {
                return Ok(None);
            };
            if !line.iter().all(u8::is_ascii_whitespace) {
                self.rest = self.text_of(&line, column)?;
            }
        }
        if self.rest.len() > PIECE_BYTES {
            return Ok(Some(self.cut()));
        }
        Ok(Some(Piece {
            text: std::mem::take(&mut self.rest),
            ends_document: true,
        }))
    }

    /// Takes a piece off a rest that is longer than one.
    fn cut(&mut self) -> Piece {
        let at = place_to_cut(&self.rest, PIECE_BYTES);
        let after = self.rest.split_off(at);
        Piece {
            text: std::mem::replace(&mut self.rest, after),
            ends_document: false,
        }
    }

    /// Reads some more text; false at the end of the file.
    fn read_text(&mut self) -> Result<bool, DatasetError> {
        let mut bytes = Vec::with_capacity(PIECE_BYTES);
        let read = (&mut self.reader)
            .take(PIECE_BYTES as u64)
            .read_to_end(&mut bytes);
        read.map_err(|source| DatasetError::Read {
            path: self.path.clone(),
            source,
        })?;
        if bytes.is_empty() {
            return Ok(false);
        }
        let first = self.read_bytes == 0;
        self.read_bytes += bytes.len() as u64;
        self.complete_last_character(&mut bytes)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let breaks = bytes[..error.valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count() as u64;
            DatasetError::NotUtf8 {
                path: self.path.clone(),
                line: self.lines + breaks + 1,
            }
        })?;
        self.lines += text.bytes().filter(|byte| *byte == b'\n').count() as u64;
        self.rest.push_str(if first {
            text.strip_prefix('\u{feff}').unwrap_or(text)
        } else {
            text
        });
        Ok(true)
    }

    /// Reads the bytes that the last character of `bytes` lacks, at most three.
    fn complete_last_character(&mut self, bytes: &mut Vec<u8>) -> Result<(), DatasetError> {
        for _ in 0..3 {
            match std::str::from_utf8(bytes) {
                // No length: the text ends within a character.
                Err(error) if error.error_len().is_none() => {
                    let mut byte = [0];
                    match self.reader.read_exact(&mut byte) {
                        Ok(()) => bytes.push(byte[0]),
                        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                        Err(source) => {
                            return Err(DatasetError::Read {
                                path: self.path.clone(),
                                source,
                            });
                        }
                    }
                    self.read_bytes += 1;
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    fn read_line(&mut self) -> Result<Option<Vec<u8>>, DatasetError> {
        let mut line = Vec::new();
        let most = MAX_LINE_BYTES as u64 + 1;
        let read = (&mut self.reader)
            .take(most)
            .read_until(b'\n', &mut line)
            .map_err(|source| DatasetError::Read {
                path: self.path.clone(),
                source,
            })?;
        if read == 0 {
            return Ok(None);
        }
        self.read_bytes += read as u64;
        self.lines += 1;
        if line.len() > MAX_LINE_BYTES {
            return Err(DatasetError::LineTooLong {
                path: self.path.clone(),
                line: self.lines,
                most: MAX_LINE_BYTES,
            });
        }
        if self.lines == 1 && line.starts_with("\u{feff}".as_bytes()) {
            line.drain(..3);
        }
        Ok(Some(line))
    }

    fn text_of(&self, line: &[u8], column: &str) -> Result<String, DatasetError> {
        let (path, number) = (|| self.path.clone(), self.lines);
        if std::str::from_utf8(line).is_err() {
            return Err(DatasetError::NotUtf8 {
                path: path(),
                line: number,
            });
        }
        let mut object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(line).map_err(|error| DatasetError::BadLine {
                path: path(),
                line: number,
                detail: error.to_string(),
            })?;
        let found = match object.remove(column) {
            Some(serde_json::Value::String(text)) => return Ok(text),
            Some(_) => "it holds something else than a string".to_owned(),
            None => {
                let columns: Vec<_> = object.keys().take(20).map(String::as_str).collect();
                format!("the line has {}", columns.join(", "))
            }
        };
        Err(DatasetError::NoText {
            path: path(),
            line: number,
            column: column.to_owned(),
            found,
        })
    }
}

fn kind_of(path: &Path) -> Option<Kind> {
    match path.extension().and_then(OsStr::to_str) {
        Some("txt") => Some(Kind::Text),
        Some("jsonl") => Some(Kind::Jsonl),
        _ => None,
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
