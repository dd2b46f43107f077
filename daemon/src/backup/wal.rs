//! The archive of the write-ahead log: which segments are there, and how far they lead.

use super::{BackupError, manifest::Physical};
use flate2::read::GzDecoder;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Bytes of a segment, as initdb has it.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Segments that share the first sixteen digits of their name.
const SEGMENTS_PER_LOG: u64 = (1 << 32) / SEGMENT_BYTES;

/// A segment: its history, and its number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    pub timeline: u32,
    pub number: u64,
}

impl Segment {
    /// From the name of its file.
    fn parse(name: &str) -> Option<Self> {
        let digit = |c: char| c.is_ascii_digit() || ('A'..='F').contains(&c);
        if name.len() != 24 || !name.chars().all(digit) {
            return None;
        }
        let part = |from: usize| u64::from_str_radix(name.get(from..from + 8)?, 16).ok();
        let (timeline, log, low) = (part(0)?, part(8)?, part(16)?);
        (low < SEGMENTS_PER_LOG).then_some(Self {
            timeline: u32::try_from(timeline).ok()?,
            number: log * SEGMENTS_PER_LOG + low,
        })
    }

    /// The one that a place in the log is in.
    pub fn at(timeline: u32, lsn: &str) -> Option<Self> {
        let (high, low) = lsn.split_once('/')?;
        let high = u64::from_str_radix(high, 16).ok()?;
        let low = u64::from_str_radix(low, 16).ok()?;
        Some(Self {
            timeline,
            number: high * SEGMENTS_PER_LOG + low / SEGMENT_BYTES,
        })
    }

    fn name(self) -> String {
        format!(
            "{:08X}{:08X}{:08X}",
            self.timeline,
            self.number / SEGMENTS_PER_LOG,
            self.number % SEGMENTS_PER_LOG
        )
    }
}

/// What an archive holds.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    directory: PathBuf,
    /// Size and time of each segment.
    segments: BTreeMap<Segment, (u64, SystemTime)>,
    /// For each history: the one that it left, and at which segment.
    histories: BTreeMap<u32, (u32, u64)>,
}

/// What is in the archive at `directory`.
///
/// # Errors
/// It cannot be listed, or a history cannot be read.
pub fn archive(directory: &Path) -> Result<Archive, BackupError> {
    let mut archive = Archive {
        directory: directory.to_owned(),
        ..Archive::default()
    };
    let entries = fs::read_dir(directory).map_err(BackupError::io("list", directory))?;
    for entry in entries {
        let entry = entry.map_err(BackupError::io("list", directory))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let Some(name) = name.strip_suffix(".gz") else {
            continue;
        };
        if let Some(segment) = Segment::parse(name) {
            let metadata = entry
                .metadata()
                .map_err(BackupError::io("look at", entry.path()))?;
            let time = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            archive.segments.insert(segment, (metadata.len(), time));
        } else if let Some(timeline) = name
            .strip_suffix(".history")
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        {
            let path = entry.path();
            let mut text = String::new();
            File::open(&path)
                .and_then(|file| GzDecoder::new(file).take(1 << 20).read_to_string(&mut text))
                .map_err(BackupError::io("read", &path))?;
            // The last line is the history that this one left.
            let left = text.lines().rev().find_map(|line| {
                let mut words = line.split_whitespace();
                let parent = words.next()?.parse().ok()?;
                Some((parent, Segment::at(parent, words.next()?)?.number))
            });
            if let Some(left) = left {
                archive.histories.insert(timeline, left);
            }
        }
    }
    Ok(archive)
}

impl Archive {
    /// Bytes of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.values().map(|(size, _)| size).sum()
    }

    /// How many segments there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The newest history.
    pub(super) fn latest_timeline(&self, of: u32) -> u32 {
        self.histories.keys().copied().max().unwrap_or(of).max(of)
    }

    /// The segments that lead on from a copy of the cluster along the way to a history, as far as there are any.
    ///
    /// # Errors
    /// One between them is missing, or the copy is not on the way to that history.
    pub(super) fn leading_on(
        &self,
        from: &Physical,
        timeline: u32,
    ) -> Result<Vec<Segment>, BackupError> {
        // Backwards from the history to the copy's: which segments each contributes.
        let mut ways = vec![];
        let (mut current, mut until) = (timeline, None);
        while current != from.timeline {
            let Some(&(parent, left)) = self.histories.get(&current) else {
                return Err(BackupError::Wal {
                    what: format!(
                        "history {timeline} does not come from the backup's, {}: choose a backup that was made on it, or --timeline {}",
                        from.timeline, from.timeline
                    ),
                });
            };
            ways.push((current, left, until));
            (current, until) = (parent, Some(left));
        }
        let start = Segment::at(from.timeline, &from.end_lsn).map_or(0, |segment| segment.number);
        ways.push((from.timeline, start, until));
        ways.reverse();
        let mut leading = vec![];
        for (at, (timeline, first, until)) in ways.iter().enumerate() {
            let segment = |number| Segment {
                timeline: *timeline,
                number,
            };
            let last = match until {
                Some(until) => until.checked_sub(1),
                None => self
                    .segments
                    .range(segment(0)..=segment(u64::MAX))
                    .next_back()
                    .map(|(last, _)| last.number),
            };
            for number in *first..=last.unwrap_or(0) {
                let here = segment(number);
                // The segment that the copy ends in is in the copy, and not in the archive until it is full.
                let in_copy = at == 0 && number == *first && last == Some(*first);
                if self.segments.contains_key(&here) {
                    leading.push(here);
                } else if !in_copy {
                    return Err(BackupError::Wal {
                        what: format!(
                            "segment {} is missing in {}: a moment before it can still be reached with a backup that it does not follow",
                            here.name(),
                            self.directory.display()
                        ),
                    });
                }
            }
        }
        Ok(leading)
    }

    /// Reads a segment to its end.
    ///
    /// # Errors
    /// It is not what was archived.
    pub(super) fn check(&self, segment: Segment) -> Result<(), BackupError> {
        let path = self.path(segment);
        let read =
            File::open(&path).and_then(|file| io::copy(&mut GzDecoder::new(file), &mut io::sink()));
        let what = match read {
            Ok(SEGMENT_BYTES) => return Ok(()),
            Ok(bytes) => format!("it has {bytes} bytes instead of {SEGMENT_BYTES}"),
            Err(error) => error.to_string(),
        };
        Err(BackupError::Wal {
            what: format!("{} is damaged: {what}", path.display()),
        })
    }

    /// Removes the segments before `first`, of its history and of older ones; or, without one, those older than a time. Histories stay: they
    /// are small. Answers how many went, and their bytes.
    pub(super) fn prune(
        &self,
        first: Option<Segment>,
        older_than: SystemTime,
    ) -> Result<(u64, u64), BackupError> {
        let (mut count, mut bytes) = (0, 0);
        for (segment, (size, time)) in &self.segments {
            let goes = match first {
                // A segment number of an older history that reaches beyond where it was left is of no backup that is kept, nor of use.
                Some(first) => segment.number < first.number && segment.timeline <= first.timeline,
                None => *time < older_than,
            };
            if goes {
                let path = self.path(*segment);
                fs::remove_file(&path).map_err(BackupError::io("remove", path))?;
                count += 1;
                bytes += size;
            }
        }
        Ok((count, bytes))
    }

    fn path(&self, segment: Segment) -> PathBuf {
        self.directory.join(format!("{}.gz", segment.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(names: &[&str]) -> Archive {
        Archive {
            segments: names
                .iter()
                .map(|name| (Segment::parse(name).unwrap(), (1, SystemTime::UNIX_EPOCH)))
                .collect(),
            histories: BTreeMap::from([(2, (1, 5))]),
            ..Archive::default()
        }
    }

    fn copy() -> Physical {
        Physical {
            system_identifier: String::new(),
            timeline: 1,
            start_lsn: "0/2000028".to_owned(),
            end_lsn: "0/3000100".to_owned(),
        }
    }

    #[test]
    fn names_and_places_agree() {
        let segment = Segment::at(3, "1A/FF000028").unwrap();
        assert_eq!(segment.name(), "000000030000001A000000FF");
        assert_eq!(Segment::parse(&segment.name()), Some(segment));
        assert_eq!(Segment::parse("00000003.history"), None);
        assert_eq!(Segment::parse("00000001000000000000000G"), None);
    }

    #[test]
    fn a_way_goes_through_histories_and_no_segment_may_be_missing_on_it() {
        let one = |number: u64| format!("0000000100000000{number:08X}");
        let two = |number: u64| format!("0000000200000000{number:08X}");
        let all = [one(3), one(4), two(5), two(6)];
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(holding(&all).leading_on(&copy(), 2).unwrap().len(), 4);
        assert_eq!(holding(&all).leading_on(&copy(), 1).unwrap().len(), 2);
        for lacking in [1, 2] {
            let mut some = all.clone();
            let name = some.remove(lacking);
            let error = holding(&some).leading_on(&copy(), 2).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        // What the copy ends in need not have been archived yet.
        assert_eq!(holding(&[]).leading_on(&copy(), 1).unwrap(), []);
        assert!(holding(&all).leading_on(&copy(), 7).is_err());
    }
}
