//! Where segments join, and what is known of whole streams.

use super::{
    Fault, Finding, VerifyError,
    aside::{Aside, Sorted},
    noted::Note,
    stretch::Stretch,
};
use crate::log::head::StreamsDigest;

/// What is known of all streams.
#[derive(Default)]
pub(super) struct Joined {
    pub(super) streams: u64,
    pub(super) settled: u64,
    /// Of the streams as they were at the head that the log is compared with.
    pub(super) at_head: StreamsDigest,
}

/// A command that caused nothing, as a record that sorts by stream.
pub(super) fn settled_record(category: &str, stream_id: &str, version: i64) -> Vec<u8> {
    let mut record = key(category, stream_id);
    record.extend_from_slice(&version.to_be_bytes());
    record
}

fn key(category: &str, stream_id: &str) -> Vec<u8> {
    [category.as_bytes(), b"\0", stream_id.as_bytes(), b"\0"].concat()
}

/// Goes through the streams in the order of their bytes. A stream must not end before a version at which a command about it was
/// settled, nor before the version of `lost`, a note that met no row. In memory: what [`Aside::sorted`] says.
pub(super) fn join(
    stretches: Aside,
    settled: Aside,
    lost: Option<&Note>,
) -> Result<Joined, VerifyError> {
    let mut joined = Joined::default();
    let mut settled = Settled::begin(settled)?;
    let lost_key = lost.map(|note| key(&note.category, &note.stream_id));
    let mut lost_has = 0;
    let mut before: Option<Stretch> = None;
    for record in stretches.sorted().map_err(VerifyError::Aside)? {
        let record = record.map_err(VerifyError::Aside)?;
        let mut stretch = Stretch::from_record(&record).ok_or(VerifyError::Form(
            "what was put aside of a stream is something else",
        ))?;
        if lost_key.as_deref() == Some(stretch.key()) {
            lost_has = stretch.last.version;
        }
        if let Some(before) = before.take_if(|before| before.key() != stretch.key()) {
            end(&before, &mut settled, &mut joined)?;
        }
        stretch.follow(before.as_ref())?;
        let at_head = before.and_then(|before| before.at_head);
        stretch.at_head = stretch.at_head.or(at_head);
        before = Some(stretch);
    }
    if let Some(before) = before {
        end(&before, &mut settled, &mut joined)?;
    }
    settled.up_to(None)?;
    joined.settled = settled.count;
    match lost {
        None => Ok(joined),
        Some(note) if lost_has < note.version => Err(Finding {
            category: note.category.clone(),
            stream_id: note.stream_id.clone(),
            version: lost_has + 1,
            sequence: None,
            fault: Fault::Missing,
        }
        .into()),
        // The version is there, at another position than was noted.
        Some(note) => Err(Finding {
            category: note.category.clone(),
            stream_id: note.stream_id.clone(),
            version: note.version,
            sequence: Some(note.sequence),
            fault: Fault::Altered,
        }
        .into()),
    }
}

/// A stream is complete.
fn end(stream: &Stretch, settled: &mut Settled, joined: &mut Joined) -> Result<(), VerifyError> {
    joined.streams += 1;
    if let Some((version, hash)) = stream.at_head {
        joined
            .at_head
            .add(stream.category(), stream.stream_id(), version, &hash);
    }
    settled.up_to(Some((stream.key(), stream.last.version)))
}

/// Settled commands in the order of their streams.
struct Settled {
    records: Sorted,
    next: Option<Vec<u8>>,
    count: u64,
}

impl Settled {
    fn begin(settled: Aside) -> Result<Self, VerifyError> {
        let mut records = settled.sorted().map_err(VerifyError::Aside)?;
        let next = records.next().transpose().map_err(VerifyError::Aside)?;
        Ok(Self {
            records,
            next,
            count: 0,
        })
    }

    /// Those of the streams up to and with this one, which has so many versions; or the rest.
    fn up_to(&mut self, stream: Option<(&[u8], i64)>) -> Result<(), VerifyError> {
        while let Some((key, version)) = self
            .next
            .as_deref()
            .and_then(|record| record.split_last_chunk::<8>())
        {
            let has = match stream {
                Some((stream, _)) if key > stream => return Ok(()),
                Some((stream, last)) if key == stream => last,
                _ => 0,
            };
            if has < i64::from_be_bytes(*version) {
                let mut names = key.split(|byte| *byte == 0);
                let (category, stream_id) = (names.next(), names.next());
                return Err(Finding::new(
                    category.unwrap_or_default(),
                    stream_id.unwrap_or_default(),
                    has + 1,
                    None,
                    Fault::Missing,
                )
                .into());
            }
            self.count += 1;
            self.next = self
                .records
                .next()
                .transpose()
                .map_err(VerifyError::Aside)?;
        }
        Ok(())
    }
}
