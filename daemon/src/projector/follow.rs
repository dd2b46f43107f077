//! Following the log: one task a read model.

use super::{
    Followed, Projector, ProjectorError,
    batch::{self, Outcome, Reader},
    lag, offset, rebuild,
    schema::{self, Found},
};
use futures::FutureExt;
use std::{
    panic::AssertUnwindSafe,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use trainmaster_domain::Position;
use trainmaster_projections::ReadModel;

/// The first pause after something was seen: what is appended but not yet visible, because an older transaction is still open, mostly
/// is by then.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// Between attempts after a failure.
const SHORTEST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// While a backlog is worked off.
const MEASURED_EVERY: Duration = Duration::from_secs(5);

impl Projector {
    /// A fault of ours in one read model is no reason for the daemon to end, nor for the others to stop.
    pub(super) async fn follow_whatever_happens(
        &self,
        followed: &Followed,
        shutdown: &CancellationToken,
    ) {
        followed
            .progress
            .send_modify(|progress| progress.ended = false);
        let following = AssertUnwindSafe(self.follow(followed, shutdown)).catch_unwind();
        if following.await.is_err() {
            let because =
                "a fault of trainmaster's own: see its log, report it and restart the daemon";
            error!(read_model = %followed.read_model, because, "READ MODEL STOPPED");
            followed.stopped(because);
        }
        followed
            .progress
            .send_modify(|progress| progress.ended = true);
    }

    async fn follow(&self, followed: &Followed, shutdown: &CancellationToken) {
        let mut appended = self.log.appended();
        let mut doubted = self.log.doubted();
        let mut reader = self.reader(followed.read_model);
        let mut position = None;
        let mut look_again = false;
        let mut pause = SHORTEST_PAUSE;
        let mut retry = SHORTEST_RETRY;
        while !shutdown.is_cancelled() {
            appended.mark_unchanged();
            if look_again && let Some(at) = position {
                position = self.look(followed.read_model, at).await;
            }
            look_again = false;
            match self
                .catch_up(followed, &mut reader, &mut position, shutdown)
                .await
            {
                Ok(moved) => {
                    retry = SHORTEST_RETRY;
                    if moved || followed.waiting.load(Ordering::Acquire) > 0 {
                        pause = SHORTEST_PAUSE;
                    }
                    // What is appended already has had time to become visible; of what is not yet, the heartbeat tells.
                    let is_at_rest = self.options.is_woken
                        && pause >= self.options.poll_interval
                        && followed.waiting.load(Ordering::Acquire) == 0;
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = followed.nudge.notified() => pause = SHORTEST_PAUSE,
                        changed = appended.changed() => {
                            pause = SHORTEST_PAUSE;
                            if changed.is_err() {
                                // The log is gone: so is the process.
                                return;
                            }
                        }
                        // A Postgres that crashed may have lost rows that were here a moment ago.
                        _ = doubted.changed() => look_again = true,
                        () = tokio::time::sleep(pause), if !is_at_rest => {
                            if pause >= self.options.poll_interval {
                                look_again = true;
                            }
                            pause = pause.saturating_mul(4).min(self.options.poll_interval);
                        }
                    }
                }
                Err(error) if error.is_poison() && reader.slow_down() => {}
                Err(error) => {
                    if stops(&error) {
                        self.stop(followed, position, &error).await;
                        self.until_freed(followed, shutdown).await;
                        reader = self.reader(followed.read_model);
                    } else {
                        warn!(read_model = %followed.read_model, error = error.in_full(), "cannot follow the log; trying again");
                        if matches!(error, ProjectorError::ForeignSchema { .. }) {
                            followed.stopped(&error.in_full());
                            retry = LONGEST_RETRY;
                        }
                        tokio::select! {
                            () = shutdown.cancelled() => {}
                            () = followed.nudge.notified() => {}
                            () = tokio::time::sleep(retry) => {}
                        }
                        retry = retry.saturating_mul(2).min(LONGEST_RETRY);
                    }
                    position = None;
                }
            }
        }
    }

    /// Applies what a reader may see of the log, and says whether that was anything.
    async fn catch_up(
        &self,
        followed: &Followed,
        reader: &mut Reader,
        position: &mut Option<Position>,
        shutdown: &CancellationToken,
    ) -> Result<bool, ProjectorError> {
        let read_model = followed.read_model;
        let mut at = match *position {
            Some(at) => at,
            None => self.prepare(read_model).await?,
        };
        let mut moved = false;
        let mut measured = Instant::now();
        loop {
            *position = Some(at);
            followed.progress.send_if_modified(|progress| {
                let news =
                    progress.position != at || progress.stopped.is_some() || !progress.follows;
                progress.follows = true;
                progress.position = at;
                progress.stopped = None;
                news
            });
            if shutdown.is_cancelled() {
                return Ok(moved);
            }
            let events = reader.read(&self.log, at).await?;
            if events.is_empty() {
                lag::record(read_model, 0, 0.0);
                lag::record_stopped(read_model, false);
                return Ok(moved);
            }
            moved = true;
            if measured.elapsed() > MEASURED_EVERY {
                self.measure(read_model).await;
                measured = Instant::now();
            }
            let applied =
                batch::apply(&self.owner, read_model, read_model.name(), at, &events).await?;
            let (Outcome::Applied(offset) | Outcome::Moved(offset)) = applied;
            at = offset.position;
        }
    }

    /// Where the tables stand that stood at `at`; none when that has to be found out from the beginning. Tables that another version has
    /// built meanwhile are left to it: the next batch will say so.
    async fn look(&self, read_model: ReadModel, at: Position) -> Option<Position> {
        match offset::find(&self.owner, read_model.name()).await {
            Ok(Some(offset)) if offset.version == read_model.version() => Some(offset.position),
            Ok(Some(_)) => Some(at),
            Ok(None) | Err(_) => None,
        }
    }

    /// Makes the tables, or builds those of another version anew, and says where they stand.
    async fn prepare(&self, read_model: ReadModel) -> Result<Position, ProjectorError> {
        let live = read_model.name();
        let own = read_model.version();
        self.remove_remains(read_model).await?;
        schema::ensure_role(&self.owner, read_model).await;
        let mut transaction = rebuild::begin(&self.owner, "look at a read model").await?;
        // Daemons that start at once make the tables once.
        sqlx::query(
            "SELECT pg_advisory_xact_lock(hashtextextended('trainmaster read model ' || $1, 0))",
        )
        .bind(live)
        .execute(&mut *transaction)
        .await
        .map_err(ProjectorError::database("lock a read model"))?;
        let found = schema::find(&mut transaction, live).await?;
        let offset = offset::find(&mut *transaction, live).await?;
        match (found, offset) {
            (Found::Foreign, _) => Err(ProjectorError::ForeignSchema {
                schema: live.to_owned(),
            }),
            (Found::Ours, Some(offset)) if offset.version == own => Ok(offset.position),
            (Found::Absent, _) => {
                schema::drop(&mut transaction, live).await?;
                schema::create(&mut transaction, read_model, live, &self.options.reader).await?;
                rebuild::commit(transaction, "make a read model").await?;
                info!(%read_model, version = own, "made");
                Ok(Position::START)
            }
            (Found::Ours, offset) => {
                drop(transaction);
                info!(%read_model, from = offset.map(|o| o.version), to = own, "its tables are of another version");
                let rebuilt = self.rebuild(read_model).await?;
                Ok(rebuilt.position)
            }
        }
    }

    async fn stop(&self, followed: &Followed, position: Option<Position>, error: &ProjectorError) {
        let read_model = followed.read_model;
        let because = error.in_full();
        let by = match (error, position) {
            (
                ProjectorError::Apply {
                    first, count: 1, ..
                },
                _,
            ) => Some(*first),
            (_, Some(position)) if error.is_poison() => {
                self.log.next_position(position).await.ok().flatten()
            }
            _ => None,
        };
        let event = by.map(|at| at.to_string());
        error!(%read_model, event, because, "READ MODEL STOPPED; the other parts of the daemon go on");
        followed.stopped(&because);
        if error.is_poison()
            && let Err(error) =
                offset::stop(&self.owner, read_model.name(), position, by, &because).await
        {
            warn!(%read_model, error = error.in_full(), "cannot note that it has stopped");
        }
    }

    /// Until the offset no longer says that it has stopped, or stands elsewhere: it was built anew, here or by another daemon.
    async fn until_freed(&self, followed: &Followed, shutdown: &CancellationToken) {
        let read_model = followed.read_model;
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = followed.nudge.notified() => {}
                () = tokio::time::sleep(self.options.poll_interval) => {}
            }
            self.measure(read_model).await;
            if let Ok(Some(offset)) = offset::find(&self.owner, read_model.name()).await
                && offset.stopped_because.is_none()
                && offset.version == read_model.version()
            {
                info!(%read_model, "goes on");
                return;
            }
        }
    }
}

/// Whether trying again by itself would change nothing, or would end in two versions taking turns.
fn stops(error: &ProjectorError) -> bool {
    error.is_poison() || matches!(error, ProjectorError::OtherVersion { .. })
}

impl Followed {
    fn stopped(&self, because: &str) {
        lag::record_stopped(self.read_model, true);
        self.progress
            .send_modify(|progress| progress.stopped = Some(because.to_owned()));
    }
}
