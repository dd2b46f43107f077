//! Finding events in segment files.

use super::{Archive, ArchiveError, Line, read::SegmentFile};

/// Which events are meant; what is none leaves it open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) category: Option<String>,
    pub(crate) stream: Option<String>,
    pub(crate) kind: Option<String>,
}

impl Filter {
    fn passes(&self, line: &Line<'_>) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is(&self.category, &line.category)
            && is(&self.stream, &line.stream_id)
            && is(&self.kind, &line.event_type)
    }
}

impl Archive {
    /// Up to `limit` events after a position, each handed to `take`, which says whether it wants more.
    pub(crate) fn after<E: From<ArchiveError>>(
        &self,
        after: (i64, i64),
        mut take: impl FnMut(Line<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let known = self.known();
        let first = known.files.partition_point(|place| place.to <= after.0);
        for place in &known.files[first..] {
            let file = self.open(place)?;
            let blocks = file.blocks();
            for index in blocks.partition_point(|block| block.last <= after)..blocks.len() {
                let text = file.block(index, &self.shared.cache)?;
                for line in text.lines() {
                    if file.position(line)? > after && !take(file.parse(line)?)? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// The events of a stream after a version that are in these segments, in order, each handed to `take`, which says whether it wants more.
    pub(crate) fn of_stream<E: From<ArchiveError>>(
        &self,
        segments: &[i32],
        (category, id): (&str, &str),
        after_version: i64,
        mut take: impl FnMut(Line<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let known = self.known();
        for place in &known.files {
            if !segments.contains(&place.segment) {
                continue;
            }
            let file = self.open(place)?;
            let blocks = file.stream(category, id, &self.shared.cache)?.0;
            // The last frame that begins with a version up to the wanted one.
            let first = blocks
                .partition_point(|(_, version)| *version <= after_version.saturating_add(1))
                .saturating_sub(1);
            for (index, _) in &blocks[first.min(blocks.len())..] {
                let text = file.block(*index, &self.shared.cache)?;
                for line in text.lines() {
                    let line = file.parse(line)?;
                    if line.category == category
                        && line.stream_id == id
                        && line.version > after_version
                        && !take(line)?
                    {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// The events of a command, which a transaction appended.
    pub(crate) fn of_command<E: From<ArchiveError>>(
        &self,
        transaction_id: i64,
        command_id: &str,
        mut take: impl FnMut(Line<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.after((transaction_id, i64::MIN), |line| {
            if line.transaction_id > transaction_id {
                return Ok(false);
            }
            if line.command_id == command_id {
                take(line)?;
            }
            Ok::<_, E>(true)
        })
    }

    /// Hands every line of a segment to `take`, once the file's SHA-256 is that which the database has of it.
    pub(crate) fn whole<E: From<ArchiveError>>(
        &self,
        segment: i32,
        mut take: impl FnMut(&str, &Line<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let known = self.known();
        let place = known.files.iter().find(|place| place.segment == segment);
        let place = place.ok_or_else(|| ArchiveError::Refused {
            segment,
            what: "it is not known as archived".to_owned(),
        })?;
        let file = self.open(place)?;
        file.check(&place.sha256)?;
        for index in 0..file.blocks().len() {
            let text = file.block(index, &self.shared.cache)?;
            for line in text.lines() {
                take(line, &file.parse(line)?)?;
            }
        }
        Ok(())
    }

    /// Compares every file as a whole with the SHA-256 that the database has of it, and says how many there are.
    pub(crate) fn check(&self) -> Result<usize, ArchiveError> {
        let known = self.known();
        for place in &known.files {
            self.open(place)?.check(&place.sha256)?;
        }
        Ok(known.files.len())
    }

    /// The position of the `count`th last event that passes, of those with a transaction id below `to`; none when there are fewer.
    pub(crate) fn before_last(
        &self,
        count: u64,
        to: i64,
        filter: &Filter,
    ) -> Result<Option<(i64, i64)>, ArchiveError> {
        let known = self.known();
        let mut missing = count;
        for place in known.files.iter().rev().filter(|place| place.to <= to) {
            let file = self.open(place)?;
            let blocks: Vec<usize> = match (&filter.category, &filter.stream) {
                (Some(category), Some(id)) => file
                    .stream(category, id, &self.shared.cache)?
                    .0
                    .into_iter()
                    .map(|(block, _)| block)
                    .collect(),
                _ => (0..file.blocks().len()).collect(),
            };
            for index in blocks.into_iter().rev() {
                let found = passing(&file, index, self, filter)?;
                let of_block = found.len() as u64;
                if of_block >= missing {
                    let place = usize::try_from(of_block - missing).unwrap_or(usize::MAX);
                    return Ok(found.get(place).copied());
                }
                missing -= of_block;
            }
        }
        Ok(None)
    }
}

/// Positions of a frame's events that pass.
fn passing(
    file: &SegmentFile,
    index: usize,
    archive: &Archive,
    filter: &Filter,
) -> Result<Vec<(i64, i64)>, ArchiveError> {
    let text = file.block(index, &archive.shared.cache)?;
    let mut found = Vec::new();
    for line in text.lines() {
        let line = file.parse(line)?;
        if filter.passes(&line) {
            found.push((line.transaction_id, line.sequence));
        }
    }
    Ok(found)
}
