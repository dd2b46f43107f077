//! A part of the log, row by row: what can be said of a row by itself, by the row before it, and by the note of it.

use super::{
    Fault, Finding, Row, Rows, VerifyError, Verifying, artifacts,
    aside::Aside,
    noted::{Note, Notes},
    stretch::{Link, Stretch},
};

/// So many rows are looked at between two reports of progress.
const REPORT_EVERY: u64 = 4096;

/// What is known of a part when all its rows are as they were.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) events: u64,
    pub(super) notes: u64,
    /// A [`Stretch`] of each stream of the part.
    pub(super) stretches: Aside,
    /// What events say of files.
    pub(super) artifacts: Aside,
    /// The last position up to the head with which the log is compared.
    pub(super) last_before_head: (i64, i64),
    /// A note that met no row: of a stream that is missing altogether here.
    pub(super) lost: Option<Note>,
}

impl Checked {
    /// Takes over what is known of another part.
    pub(super) fn add(&mut self, other: Self) -> Result<(), VerifyError> {
        self.events += other.events;
        self.notes += other.notes;
        self.last_before_head = self.last_before_head.max(other.last_before_head);
        self.lost = self.lost.take().or(other.lost);
        self.stretches
            .append(other.stretches)
            .and_then(|()| self.artifacts.append(other.artifacts))
            .map_err(VerifyError::Aside)
    }
}

/// Looks at the rows of a part of segment `segment`. In memory: a row, the row before it, and what [`Aside`] says.
pub(super) fn check(
    rows: &mut dyn Rows,
    mut notes: Notes,
    segment: u32,
    verifying: &Verifying,
) -> Result<Checked, VerifyError> {
    let mut checked = Checked::default();
    let mut text = Vec::new();
    let mut current: Option<Stretch> = None;
    while let Some(row) = rows.next()? {
        if let Some(stretch) = current.take_if(|stretch| !stretch.is_of(&row)) {
            finish(&stretch, &notes, &mut checked)?;
        }
        let before = current.as_ref().map(|stretch| &stretch.last);
        let link = look(&row, before, segment, &mut text)?;
        notes.compare(&row)?;
        let is_before_head = verifying.up_to.is_some_and(|head| row.position() <= head);
        if is_before_head {
            checked.last_before_head = checked.last_before_head.max(row.position());
        }
        if verifying.with_artifacts {
            artifacts::note(&row, &mut checked.artifacts)?;
        }
        match &mut current {
            Some(stretch) => stretch.grow(link, is_before_head),
            None => current = Some(Stretch::begin(&row, link, segment, is_before_head)),
        }
        checked.events += 1;
        if checked.events.is_multiple_of(REPORT_EVERY) {
            verifying.add_events(REPORT_EVERY);
        }
    }
    if let Some(stretch) = current {
        finish(&stretch, &notes, &mut checked)?;
    }
    verifying.add_events(checked.events % REPORT_EVERY);
    match notes.end() {
        Ok(met) => checked.notes = met,
        Err(note) => checked.lost = Some(note),
    }
    Ok(checked)
}

fn finish(stretch: &Stretch, notes: &Notes, checked: &mut Checked) -> Result<(), VerifyError> {
    notes.end_of_stream(
        stretch.category(),
        stretch.stream_id(),
        stretch.last.version,
    )?;
    checked
        .stretches
        .push(&stretch.record())
        .map_err(VerifyError::Aside)
}

/// Compares a row with itself and with the row before it in its stream. Where the stream begins in an earlier segment, what comes before
/// its first row here is compared later.
fn look(
    row: &Row<'_>,
    before: Option<&Link>,
    segment: u32,
    text: &mut Vec<u8>,
) -> Result<Link, Finding> {
    let fault = |fault| {
        Finding::new(
            row.category,
            row.stream_id,
            row.version,
            Some(row.sequence),
            fault,
        )
    };
    let expected = match before {
        Some(before) => before.version + 1,
        None if segment == 0 => 1,
        None => row.version.max(1),
    };
    if row.version > expected {
        return Err(Finding {
            version: expected,
            sequence: None,
            ..fault(Fault::Missing)
        });
    }
    if row.version < expected {
        return Err(fault(Fault::Duplicate));
    }
    let hash = row.computed_hash(text);
    if hash != *row.hash || row.has_empty_option() {
        return Err(fault(Fault::Altered));
    }
    let is_chained = match before {
        Some(before) => row.previous_hash == before.hash,
        None => row.version > 1 || row.previous_hash == [0; 32],
    };
    if !is_chained {
        return Err(fault(Fault::Unchained));
    }
    if before.is_some_and(|before| before.position >= row.position()) {
        return Err(fault(Fault::Misplaced));
    }
    Ok(Link {
        version: row.version,
        position: row.position(),
        hash,
    })
}
