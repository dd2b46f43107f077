//! Verifying: is every event as it was appended, and is none missing?
//!
//! Each event's hash covers all its columns and the hash of the event before it in its stream, so an altered event does not match its
//! own hash, and one whose hash was altered as well does not match its successor. A version that is missing shows in the
//! numbering. That a stream's end is missing shows in `log.heads`, where the daemon notes now and then how far each has got, and in
//! commands that were settled at a later version; what was removed from the end before it was noted cannot be seen, nor that the whole
//! database was set back. The hashes are computed here once more, by other code than the database's.
//!
//! [`VerifyOptions::head`] tells that, too, and [`artifacts`] looks at the files that events name.
//!
//! The log is looked at a segment at a time, a segment in parts, two parts at once, each row by row as it comes from the index. Of
//! each stream of a segment its two ends are put aside on disk, and compared at the end ([`join`]). Memory: at most about 60 MB, however long
//! the log is.

mod against_head;
mod artifacts;
mod aside;
mod copy;
mod file;
mod finding;
mod join;
mod noted;
mod part;
mod progress;
mod row;
mod settled;
mod stretch;
mod table;

pub(in crate::log) use against_head::AgainstHead;
pub use against_head::HeadFault;
pub use artifacts::{ArtifactFault, Artifacts};
pub use finding::{Fault, Finding, VerifyError};
pub(in crate::log) use row::{Row, Rows};

use super::{Head, Log};
use crate::progress::Progress;
use aside::Aside;
use join::Joined;
use noted::Note;
use progress::Verifying;
use sqlx::PgConnection;
use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use table::{Bounds, Part};
use tokio::sync::{mpsc, watch};
use tracing::instrument;
use trainmaster_domain::Position;

/// A log without fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// Events that were looked at.
    pub events: u64,
    /// Streams that they form.
    pub streams: u64,
    /// Notes of how far streams had got that were found kept.
    pub heads: u64,
    /// Commands that caused nothing, none of which contradicts the log.
    pub settled_commands: u64,
    /// What became of the files that events name; none: they were not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<Artifacts>,
    /// The position of the head that the log was found to contain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains_head: Option<Position>,
}

/// What to look at beyond the events themselves.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// A head that the log must contain.
    pub head: Option<Head>,
    /// Look at the files that events name. The state directory's `datasets`: text below it is trainmaster's own.
    pub artifacts: Option<PathBuf>,
}

/// Where events of a range of transactions are. Segments come in the order of their transactions, which do not overlap.
#[derive(Clone, Debug)]
enum Segment {
    /// In the table.
    Table {
        /// Which transactions.
        bounds: Bounds,
        /// Its events, about.
        events: i64,
    },
    /// In the archive.
    File {
        /// Which segment.
        number: i32,
        /// Which transactions.
        bounds: Bounds,
    },
}

impl Log {
    /// Looks at every event. See [`crate::log`] for what that shows and what it needs.
    ///
    /// # Errors
    /// [`VerifyError::Broken`] names the first faulty row.
    pub async fn verify(&self) -> Result<Verified, VerifyError> {
        self.verify_with(VerifyOptions::default(), &watch::Sender::default())
            .await
    }

    /// As [`Self::verify`], looking at more and telling how far it is. Files that are not as they were are no error: [`Verified`] names them.
    ///
    /// # Errors
    /// As there, and [`VerifyError::Head`] when the log is not the one of which the head speaks.
    #[instrument(name = "log.verify", skip_all)]
    pub async fn verify_with(
        &self,
        options: VerifyOptions,
        progress: &watch::Sender<Progress>,
    ) -> Result<Verified, VerifyError> {
        // One at a time is enough for the database.
        let _turn = self.verifying.lock().await;
        let (mut connection, snapshot) = table::snapshot(&self.pool).await?;
        let total = table::estimate(&mut connection).await?;
        let up_to = options.head.as_ref().map(|head| {
            let transaction = i64::try_from(head.position.transaction).unwrap_or(i64::MAX);
            (transaction, head.position.sequence)
        });
        let with_artifacts = options.artifacts.is_some();
        let verifying = Verifying::new(progress, total.unsigned_abs(), up_to, with_artifacts);
        let mut found = part::Checked::default();
        for (n, segment) in (0..).zip(table::segments(&mut connection, total).await?) {
            let checked = match segment {
                Segment::Table { bounds, events } => {
                    let parts = table::parts(&mut connection, bounds, events).await?;
                    self.verify_table(&mut connection, &snapshot, &parts, n, &verifying)
                        .await?
                }
                Segment::File { number, bounds } => {
                    let notes = table::notes_by_bytes(&mut connection, bounds).await?;
                    self.learn(bounds.last).await?;
                    let (archive, verifying) = (self.archive.clone(), verifying.clone());
                    blocking(move || {
                        let mut rows = file::ArchivedRows::sorted(&archive, number)?;
                        part::check(&mut rows, notes, n, &verifying)
                    })
                    .await?
                }
            };
            found.add(checked)?;
            if found.lost.is_some() {
                break;
            }
        }
        let settled = match &found.lost {
            None => settled::collect(&mut connection).await?,
            Some(_) => Aside::default(),
        };
        drop(connection);
        let part::Checked {
            events,
            notes,
            stretches,
            artifacts: named,
            last_before_head,
            lost,
        } = found;
        let joined = blocking(move || join::join(stretches, settled, lost.as_ref())).await?;
        let Joined {
            streams,
            settled: settled_commands,
            at_head,
        } = joined;
        verifying.finish(events);
        if let Some(head) = &options.head {
            let last = Position {
                transaction: last_before_head.0.unsigned_abs(),
                sequence: last_before_head.1,
            };
            AgainstHead::compare(head, last, at_head.finish())?;
        }
        let artifacts = match options.artifacts {
            None => None,
            Some(datasets) => {
                let checked =
                    blocking(move || artifacts::check(named, &datasets, &verifying)).await?;
                Some(self.without_pruned(checked).await?)
            }
        };
        Ok(Verified {
            events,
            streams,
            heads: notes,
            settled_commands,
            artifacts,
            contains_head: options.head.map(|head| head.position),
        })
    }

    /// Looks at the parts of a segment that is in the table, on this connection and another one, where one is to be had.
    async fn verify_table(
        &self,
        connection: &mut PgConnection,
        snapshot: &str,
        parts: &[Part],
        segment: u32,
        verifying: &Verifying,
    ) -> Result<part::Checked, VerifyError> {
        let work = Mutex::new(Work::default());
        let other = async {
            if parts.len() < 2 {
                return;
            }
            let joined = table::join_snapshot(&self.pool, snapshot);
            if let Ok(Ok(mut other)) = tokio::time::timeout(SECOND_CONNECTION, joined).await {
                verify_parts(&mut other, parts, segment, verifying, &work).await;
            }
        };
        tokio::join!(
            verify_parts(connection, parts, segment, verifying, &work),
            other
        );
        let work = work.into_inner().unwrap_or_else(PoisonError::into_inner);
        match work.failed {
            Some((_, error)) => Err(error),
            None => Ok(part::Checked {
                lost: work.lost.map(|(_, note)| note),
                ..work.checked
            }),
        }
    }
}

/// So long a second connection is waited for.
const SECOND_CONNECTION: Duration = Duration::from_secs(2);

/// Parts that are looked at by two at once, and what came of it.
#[derive(Default)]
struct Work {
    /// Parts that somebody has taken.
    taken: usize,
    checked: part::Checked,
    /// The first part in which something is wrong: those before it are looked at to their end, those after it are not.
    failed: Option<(usize, VerifyError)>,
    lost: Option<(usize, Note)>,
}

impl Work {
    fn end(&self) -> usize {
        let failed = self.failed.as_ref().map_or(usize::MAX, |(n, _)| *n);
        self.lost.as_ref().map_or(failed, |(n, _)| failed.min(*n))
    }

    fn take(&mut self, parts: &[Part]) -> Option<(usize, Part)> {
        let n = self.taken;
        let part = parts.get(n).filter(|_| n < self.end())?;
        self.taken += 1;
        Some((n, part.clone()))
    }

    fn put(&mut self, n: usize, outcome: Result<part::Checked, VerifyError>) {
        let merged = outcome.and_then(|mut checked| {
            if let Some(note) = checked.lost.take()
                && n < self.end()
            {
                self.lost = Some((n, note));
            }
            self.checked.add(checked)
        });
        if let Err(error) = merged
            && n < self.end()
        {
            self.lost = None;
            self.failed = Some((n, error));
        }
    }
}

async fn verify_parts(
    connection: &mut PgConnection,
    parts: &[Part],
    segment: u32,
    verifying: &Verifying,
    work: &Mutex<Work>,
) {
    let work = || work.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let Some((n, part)) = work().take(parts) else {
            return;
        };
        let outcome = verify_part(connection, &part, segment, verifying).await;
        let is_over = outcome.is_err();
        work().put(n, outcome);
        if is_over {
            // In the middle of a copy, perhaps; and nothing after this part counts.
            return;
        }
    }
}

async fn verify_part(
    connection: &mut PgConnection,
    part: &Part,
    segment: u32,
    verifying: &Verifying,
) -> Result<part::Checked, VerifyError> {
    let notes = table::notes(connection, part).await?;
    let (sender, receiver) = mpsc::channel(table::PIECES);
    let verifying = verifying.clone();
    let checked = blocking(move || {
        let mut rows = copy::CopiedRows::new(table::Received(receiver));
        part::check(&mut rows, notes, segment, &verifying)
    });
    let (checked, ()) = tokio::join!(checked, table::send_rows(connection, part, sender));
    checked
}

/// Does what keeps a processor busy where it holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VerifyError> + Send + 'static,
) -> Result<T, VerifyError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| Err(VerifyError::Aside(std::io::Error::other(panic))))
}
