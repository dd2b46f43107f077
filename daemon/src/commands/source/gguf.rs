//! The few keys of a GGUF file's header that say what it is. Follows the format's description in the ggml project
//! (`docs/gguf.md`): magic, version, counts, then key-value pairs, little-endian.

use std::io::{self, Read};

/// What the header says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// `general.architecture`.
    pub(super) architecture: Option<String>,
    /// `general.file_type`.
    pub(super) file_type: Option<u32>,
}

const MOST_PAIRS: u64 = 100_000;
const LONGEST_TEXT: u64 = 1 << 20;
const MOST_HEADER_BYTES: u64 = 256 << 20;
const DEEPEST_ARRAY: u32 = 4;

/// Reads as far as it must.
pub(super) fn read(file: impl Read) -> Result<Header, String> {
    let mut reader = Reader(file.take(MOST_HEADER_BYTES));
    if reader.bytes::<4>()? != *b"GGUF" {
        return Err("it does not begin as a GGUF file does".to_owned());
    }
    let version = reader.u32()?;
    if !(2..=3).contains(&version) {
        return Err(format!(
            "its GGUF version is {version}; 2 and 3 can be read"
        ));
    }
    let _tensors = reader.u64()?;
    let pairs = reader.u64()?;
    if pairs > MOST_PAIRS {
        return Err(format!("it claims to have {pairs} keys"));
    }
    let mut header = Header::default();
    for _ in 0..pairs {
        let key = reader.text()?;
        let kind = reader.u32()?;
        match (key.as_str(), kind) {
            ("general.architecture", STRING) => header.architecture = Some(reader.text()?),
            ("general.file_type", UINT32) => header.file_type = Some(reader.u32()?),
            _ => reader.skip(kind, 0)?,
        }
        if header.architecture.is_some() && header.file_type.is_some() {
            break;
        }
    }
    Ok(header)
}

const UINT32: u32 = 4;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

struct Reader<R>(io::Take<R>);

impl<R: Read> Reader<R> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.0
            .read_exact(&mut bytes)
            .map_err(|_| "it ends within its header".to_owned())?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<String, String> {
        let length = self.u64()?;
        if length > LONGEST_TEXT {
            return Err(format!("its header holds a text of {length} bytes"));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.0)
            .take(length)
            .read_to_end(&mut bytes)
            .map_err(|error| error.to_string())?;
        if (read as u64) < length {
            return Err("it ends within its header".to_owned());
        }
        String::from_utf8(bytes).map_err(|_| "its header holds text that is not UTF-8".to_owned())
    }

    fn pass(&mut self, count: u64) -> Result<(), String> {
        let passed = io::copy(&mut (&mut self.0).take(count), &mut io::sink())
            .map_err(|error| error.to_string())?;
        if passed == count {
            Ok(())
        } else {
            Err("it ends within its header".to_owned())
        }
    }

    fn skip(&mut self, kind: u32, depth: u32) -> Result<(), String> {
        if let Some(width) = width(kind) {
            return self.pass(width);
        }
        match kind {
            STRING => {
                let length = self.u64()?;
                self.pass(length)
            }
            ARRAY if depth < DEEPEST_ARRAY => {
                let kind = self.u32()?;
                let count = self.u64()?;
                if let Some(width) = width(kind) {
                    return self.pass(count.saturating_mul(width));
                }
                for _ in 0..count {
                    self.skip(kind, depth + 1)?;
                }
                Ok(())
            }
            other => Err(format!("its header holds a value of unknown type {other}")),
        }
    }
}

/// Bytes of a value of a type of fixed width.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }

    fn sample() -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend(3_u64.to_le_bytes());
        text(&mut bytes, "tokenizer.ggml.tokens");
        bytes.extend(ARRAY.to_le_bytes());
        bytes.extend(STRING.to_le_bytes());
        bytes.extend(2_u64.to_le_bytes());
        text(&mut bytes, "a");
        text(&mut bytes, "bc");
        text(&mut bytes, "general.architecture");
        bytes.extend(STRING.to_le_bytes());
        text(&mut bytes, "llama");
        text(&mut bytes, "general.file_type");
        bytes.extend(UINT32.to_le_bytes());
        bytes.extend(3_u32.to_le_bytes());
        bytes
    }

    #[test]
    fn the_header_is_found_behind_a_vocabulary() {
        let header = read(sample().as_slice()).unwrap();
        assert_eq!(header.architecture.as_deref(), Some("llama"));
        assert_eq!(header.file_type, Some(3));
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error_and_never_a_panic() {
        let whole = sample();
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn absurd_lengths_are_refused_without_being_allocated() {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend(1_u64.to_le_bytes());
        bytes.extend(u64::MAX.to_le_bytes());
        assert!(read(bytes.as_slice()).unwrap_err().contains("text of"));
    }
}
