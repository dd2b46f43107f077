//! What a segment holds of a stream, by its ends: enough to tell whether one segment goes on where another ended.

use super::{Fault, Finding, Row};

/// An event that is as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) version: i64,
    pub(super) position: (i64, i64),
    pub(super) hash: [u8; 32],
}

/// Versions of a stream that follow one another in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Category and stream, each with a NUL after it, which no text of Postgres has: sorts streams in the order of their bytes.
    key: Vec<u8>,
    category_length: usize,
    segment: u32,
    first_version: i64,
    first_position: (i64, i64),
    previous_hash: [u8; 32],
    pub(super) last: Link,
    /// The last one that stands no later than the head with which the log is compared.
    pub(super) at_head: Option<(i64, [u8; 32])>,
}

/// Bytes of a record behind its key.
const VALUE: usize = 4 + 8 * 3 + 32 + 8 * 3 + 32 + 8 + 32;

impl Stretch {
    pub(super) fn begin(row: &Row<'_>, link: Link, segment: u32, is_before_head: bool) -> Self {
        let mut key = Vec::with_capacity(row.category.len() + row.stream_id.len() + 2);
        key.extend_from_slice(row.category);
        key.push(0);
        key.extend_from_slice(row.stream_id);
        key.push(0);
        let mut previous_hash = [0; 32];
        if row.previous_hash.len() == 32 {
            previous_hash.copy_from_slice(row.previous_hash);
        }
        Self {
            key,
            category_length: row.category.len(),
            segment,
            first_version: link.version,
            first_position: link.position,
            previous_hash,
            at_head: is_before_head.then_some((link.version, link.hash)),
            last: link,
        }
    }

    pub(super) fn grow(&mut self, link: Link, is_before_head: bool) {
        if is_before_head {
            self.at_head = Some((link.version, link.hash));
        }
        self.last = link;
    }

    pub(super) fn is_of(&self, row: &Row<'_>) -> bool {
        self.category() == row.category && self.stream_id() == row.stream_id
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    pub(super) fn category(&self) -> &[u8] {
        &self.key[..self.category_length]
    }

    pub(super) fn stream_id(&self) -> &[u8] {
        &self.key[self.category_length + 1..self.key.len() - 1]
    }

    /// As bytes, which sort by stream and segment.
    pub(super) fn record(&self) -> Vec<u8> {
        let mut record = Vec::with_capacity(self.key.len() + VALUE);
        record.extend_from_slice(&self.key);
        record.extend_from_slice(&self.segment.to_be_bytes());
        let (version, hash) = self.at_head.unwrap_or_default();
        for number in [
            self.first_version,
            self.first_position.0,
            self.first_position.1,
            self.last.version,
            self.last.position.0,
            self.last.position.1,
            version,
        ] {
            record.extend_from_slice(&number.to_be_bytes());
        }
        for hash in [self.previous_hash, self.last.hash, hash] {
            record.extend_from_slice(&hash);
        }
        record
    }

    /// What [`Self::record`] gave; none when it is something else.
    pub(super) fn from_record(record: &[u8]) -> Option<Self> {
        let (key, value) = record.split_at_checked(record.len().checked_sub(VALUE)?)?;
        let category_length = key.iter().position(|byte| *byte == 0)?;
        let (segment, value) = value.split_first_chunk::<4>()?;
        let (numbers, hashes) = value.split_first_chunk::<56>()?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let (hashes, _) = hashes.as_chunks::<32>();
        let number = |n: usize| numbers.get(n).copied().map(i64::from_be_bytes);
        let at_head = number(6).filter(|version| *version > 0);
        Some(Self {
            key: key.to_vec(),
            category_length,
            segment: u32::from_be_bytes(*segment),
            first_version: number(0)?,
            first_position: (number(1)?, number(2)?),
            previous_hash: *hashes.first()?,
            last: Link {
                version: number(3)?,
                position: (number(4)?, number(5)?),
                hash: *hashes.get(1)?,
            },
            at_head: at_head.and_then(|version| Some((version, *hashes.get(2)?))),
        })
    }

    /// Whether this goes on where `before`, of the same stream, ended; or is its beginning.
    pub(super) fn follow(&self, before: Option<&Self>) -> Result<(), Finding> {
        let fault = |version, sequence, fault| {
            Finding::new(self.category(), self.stream_id(), version, sequence, fault)
        };
        let expected = before.map_or(1, |before| before.last.version + 1);
        let sequence = Some(self.first_position.1);
        if self.first_version > expected {
            return Err(fault(expected, None, Fault::Missing));
        }
        if self.first_version < expected {
            return Err(fault(self.first_version, sequence, Fault::Duplicate));
        }
        let Some(before) = before else {
            return Ok(());
        };
        if self.previous_hash != before.last.hash {
            return Err(fault(expected, sequence, Fault::Unchained));
        }
        if before.last.position >= self.first_position {
            return Err(fault(expected, sequence, Fault::Misplaced));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(segment: u32, versions: (i64, i64), previous: u8, last: u8) -> Stretch {
        Stretch {
            key: b"training\0t_1\0".to_vec(),
            category_length: 8,
            segment,
            first_version: versions.0,
            first_position: (versions.0, versions.0),
            previous_hash: [previous; 32],
            last: Link {
                version: versions.1,
                position: (versions.1, versions.1),
                hash: [last; 32],
            },
            at_head: (segment == 0).then_some((versions.1, [last; 32])),
        }
    }

    #[test]
    fn a_record_is_read_back_whatever_its_bytes() {
        for segment in [0, 1, u32::MAX] {
            let written = stretch(segment, (1, i64::MAX), 0, 0);
            assert_eq!(Stretch::from_record(&written.record()), Some(written));
        }
        assert_eq!(Stretch::from_record(b"short"), None);
    }

    #[test]
    fn segments_join_where_one_goes_on_where_the_other_ended() {
        let before = stretch(0, (1, 4), 0, 7);
        let fault = |after: Stretch| after.follow(Some(&before)).unwrap_err().fault;
        assert!(stretch(1, (5, 9), 7, 8).follow(Some(&before)).is_ok());
        assert_eq!(fault(stretch(1, (6, 9), 7, 8)), Fault::Missing);
        assert_eq!(fault(stretch(1, (4, 9), 7, 8)), Fault::Duplicate);
        assert_eq!(fault(stretch(1, (5, 9), 6, 8)), Fault::Unchained);
        let mut misplaced = stretch(1, (5, 9), 7, 8);
        misplaced.first_position = (4, 4);
        assert_eq!(fault(misplaced), Fault::Misplaced);
        let orphan = stretch(1, (3, 9), 7, 8).follow(None).unwrap_err();
        assert_eq!((orphan.version, orphan.fault), (1, Fault::Missing));
    }
}
