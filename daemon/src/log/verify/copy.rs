//! Rows as `COPY … TO STDOUT (FORMAT binary)` sends them.
//!
//! The form is that of Postgres' documentation of COPY, "Binary Format": a header, then for each row the number of its fields, and for each
//! field its length and bytes; a row of −1 fields is the end.

use super::{Row, Rows, VerifyError};

/// The columns of `table/*.sql`.
const COLUMNS: usize = 17;
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Where bytes come from, a piece at a time, cut anywhere.
pub(in crate::log) trait Pieces {
    /// The next bytes; none at the end.
    fn next(&mut self) -> Result<Option<Vec<u8>>, VerifyError>;
}

/// Rows of a binary copy. Holds a piece and a row.
pub(in crate::log) struct CopiedRows<P> {
    pieces: P,
    buffer: Vec<u8>,
    at: usize,
    has_begun: bool,
}

impl<P: Pieces> CopiedRows<P> {
    pub(in crate::log) const fn new(pieces: P) -> Self {
        Self {
            pieces,
            buffer: Vec::new(),
            at: 0,
            has_begun: false,
        }
    }

    /// Makes at least `count` bytes available.
    fn need(&mut self, count: usize) -> Result<(), VerifyError> {
        while self.buffer.len() - self.at < count {
            let Some(piece) = self.pieces.next()? else {
                return Err(VerifyError::Form("the copy of the rows ends early"));
            };
            if self.at == self.buffer.len() {
                self.buffer = piece;
            } else {
                self.buffer.drain(..self.at);
                self.buffer.extend_from_slice(&piece);
            }
            self.at = 0;
        }
        Ok(())
    }

    /// The number at `offset` bytes behind the present place, which are available.
    fn number(&self, offset: usize) -> Result<i32, VerifyError> {
        let bytes = self.buffer.get(self.at + offset..self.at + offset + 4);
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(i32::from_be_bytes)
            .ok_or(CUT)
    }

    fn begin(&mut self) -> Result<(), VerifyError> {
        self.need(19)?;
        if !self.buffer[self.at..].starts_with(SIGNATURE) {
            return Err(VerifyError::Form("this is no binary copy of rows"));
        }
        let extension = usize::try_from(self.number(15)?).map_err(|_| CUT)?;
        self.need(19 + extension)?;
        self.at += 19 + extension;
        self.has_begun = true;
        Ok(())
    }
}

const CUT: VerifyError = VerifyError::Form("a row's lengths do not fit");

impl<P: Pieces> Rows for CopiedRows<P> {
    fn next(&mut self) -> Result<Option<Row<'_>>, VerifyError> {
        if !self.has_begun {
            self.begin()?;
        }
        self.need(2)?;
        let count = i16::from_be_bytes([self.buffer[self.at], self.buffer[self.at + 1]]);
        if count == -1 {
            return Ok(None);
        }
        if usize::try_from(count) != Ok(COLUMNS) {
            return Err(VerifyError::Form("a row has another number of columns"));
        }
        // Ends of the fields, counted from the row's beginning; a field that is not there ends where it begins.
        let mut fields = [None; COLUMNS];
        let mut end = 2;
        for field in &mut fields {
            self.need(end + 4)?;
            let length = self.number(end)?;
            end += 4;
            if length >= 0 {
                let length = usize::try_from(length).map_err(|_| CUT)?;
                *field = Some((end, end + length));
                end += length;
            }
        }
        self.need(end)?;
        let row = &self.buffer[self.at..self.at + end];
        self.at += end;
        let bytes = |n: usize| fields[n].map(|(from, to)| &row[from..to]);
        let needed = |n| {
            bytes(n).ok_or(VerifyError::Form(
                "a column that has a value always has none",
            ))
        };
        let long =
            |n| Ok::<_, VerifyError>(i64::from_be_bytes(needed(n)?.try_into().map_err(|_| CUT)?));
        let short =
            |n| Ok::<_, VerifyError>(i32::from_be_bytes(needed(n)?.try_into().map_err(|_| CUT)?));
        Ok(Some(Row {
            sequence: long(0)?,
            transaction_id: long(1)?,
            version: long(2)?,
            recorded_at: long(3)?,
            schema_version: short(4)?,
            ordinal: short(5)?,
            category: needed(6)?,
            stream_id: needed(7)?,
            kind: needed(8)?,
            command_id: needed(9)?,
            correlation_id: needed(10)?,
            causation_id: bytes(11),
            actor: needed(12)?,
            traceparent: bytes(13),
            payload: needed(14)?,
            previous_hash: needed(15)?,
            hash: needed(16)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Cut(std::vec::IntoIter<Vec<u8>>);

    impl Pieces for Cut {
        fn next(&mut self) -> Result<Option<Vec<u8>>, VerifyError> {
            Ok(self.0.next())
        }
    }

    fn copy() -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&[0; 8]);
        for sequence in [7_i64, 8] {
            bytes.extend_from_slice(&17_i16.to_be_bytes());
            let mut field = |value: &[u8]| {
                bytes.extend_from_slice(&i32::try_from(value.len()).unwrap().to_be_bytes());
                bytes.extend_from_slice(value);
            };
            for long in [sequence, 2, 3, 4] {
                field(&long.to_be_bytes());
            }
            for short in [5_i32, 6] {
                field(&short.to_be_bytes());
            }
            for text in ["category", "stream", "type", "command", "correlation"] {
                field(text.as_bytes());
            }
            bytes.extend_from_slice(&(-1_i32).to_be_bytes());
            let mut field = |value: &[u8]| {
                bytes.extend_from_slice(&i32::try_from(value.len()).unwrap().to_be_bytes());
                bytes.extend_from_slice(value);
            };
            for text in ["actor", "", "{}", "previous", "hash"] {
                field(text.as_bytes());
            }
        }
        bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        bytes
    }

    #[test]
    fn rows_are_whole_however_the_bytes_arrive() {
        let whole = copy();
        for size in 1..whole.len() {
            let pieces: Vec<Vec<u8>> = whole.chunks(size).map(<[u8]>::to_vec).collect();
            let mut rows = CopiedRows::new(Cut(pieces.into_iter()));
            for sequence in [7, 8] {
                let row = rows.next().unwrap().unwrap();
                assert_eq!((row.sequence, row.version, row.ordinal), (sequence, 3, 6));
                assert_eq!((row.stream_id, row.actor), (&b"stream"[..], &b"actor"[..]));
                assert_eq!((row.causation_id, row.traceparent), (None, Some(&b""[..])));
                assert_eq!(row.hash, b"hash");
            }
            assert!(rows.next().unwrap().is_none());
        }
    }

    #[test]
    fn a_copy_that_ends_early_is_no_end() {
        let whole = copy();
        for length in 0..whole.len() - 1 {
            let mut rows = CopiedRows::new(Cut(vec![whole[..length].to_vec()].into_iter()));
            let mut ended = None;
            while ended.is_none() {
                ended = match rows.next() {
                    Ok(Some(_)) => None,
                    Ok(None) => Some(true),
                    Err(_) => Some(false),
                };
            }
            assert_eq!(ended, Some(false), "{length} of {} bytes", whole.len());
        }
    }
}
