//! Keeps the read models up with the log.
//!
//! Each read model has a task of its own that reads the log from where the read model stands and applies what it finds: rows and
//! offset in one transaction, so each event counts once, whatever breaks in between. Any number of daemons may do this for one
//! database: the lock on the offset decides whose batch counts. An append of this process wakes the tasks; the heartbeat sees
//! the appends of others.
//!
//! An event that cannot be applied stops its read model, which says so until a newer program builds it anew; others go on.
//! Tables of another version than the program's are built anew beside those in use and swapped in (see [`rebuild`](Projector::rebuild)).

mod batch;
mod build;
mod bulk;
mod compare;
mod differences;
mod error;
mod follow;
mod gaps;
mod keys;
mod lag;
mod offset;
mod progress;
mod rebuild;
mod schema;
mod status;
mod verify;

pub use compare::{DifferenceKind, FirstDifference, TableRows};
pub use differences::Difference;
pub use error::ProjectorError;
pub use gaps::Gap;
pub use rebuild::Rebuilt;
pub use status::{ReadModelState, ReadModelStatus};
pub use verify::ProjectionVerified;

use crate::{
    config::{DatabaseSettings, ProjectorSettings},
    log::Log,
};
use sqlx::PgPool;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Mutex, Notify, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use trainmaster_domain::Position;
use trainmaster_projections::ReadModel;

/// How the projector works.
#[derive(Clone, Debug)]
pub struct ProjectorOptions {
    /// How often the log is looked at when nothing wakes the projector; the longest pause, where somebody does.
    pub poll_interval: Duration,
    /// Whether [`Log::appended`] also tells of what other processes append, so that nothing has to be looked for.
    pub is_woken: bool,
    /// Events of one transaction at most.
    pub batch_events: usize,
    /// About how many bytes of events are held and applied at once; a single event may be more.
    pub batch_bytes: usize,
    /// As `batch_events`, while tables are built from the whole log.
    pub build_events: usize,
    /// As `batch_bytes`, while tables are built from the whole log: a batch is applied while the next one is read.
    pub build_bytes: usize,
    /// A role that may read every read model, beside the read model's own: the daemon's.
    pub reader: String,
}

impl ProjectorOptions {
    /// As the settings say.
    #[must_use]
    pub fn new(projector: &ProjectorSettings, database: &DatabaseSettings) -> Self {
        Self {
            poll_interval: projector.poll_interval_seconds.duration(),
            batch_events: usize::try_from(projector.batch_size).unwrap_or(usize::MAX),
            reader: database.role.clone(),
            ..Self::default()
        }
    }

    /// Where a heartbeat tells of what other processes append.
    #[must_use]
    pub const fn woken_by_others(mut self) -> Self {
        self.is_woken = true;
        self
    }
}

impl Default for ProjectorOptions {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(5),
            is_woken: false,
            batch_events: 1_000,
            batch_bytes: 4 << 20,
            build_events: 8_192,
            build_bytes: 8 << 20,
            reader: "trainmaster_daemon".to_owned(),
        }
    }
}

/// The projector: service and handle in one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Projector {
    log: Log,
    owner: PgPool,
    options: Arc<ProjectorOptions>,
    followed: Arc<[Followed]>,
    rebuilding: Arc<Mutex<()>>,
}

/// A read model and what this process knows of it.
#[derive(Debug)]
struct Followed {
    read_model: ReadModel,
    progress: watch::Sender<Progress>,
    nudge: Notify,
    waiting: AtomicUsize,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    position: Position,
    /// Its tables are there and of this version.
    follows: bool,
    /// Why it does not go on.
    stopped: Option<String>,
    /// Nobody follows any more: the daemon is shutting down.
    ended: bool,
}

impl Projector {
    /// The pool of the owner of the schemas.
    pub(crate) const fn owner(&self) -> &PgPool {
        &self.owner
    }

    /// A projector of all read models, over the log and as the owner of their schemas.
    #[must_use]
    pub fn new(log: Log, owner: PgPool, options: ProjectorOptions) -> Self {
        Self::of(&ReadModel::ALL, log, owner, options)
    }

    /// A projector of some read models.
    #[must_use]
    pub fn of(
        read_models: &[ReadModel],
        log: Log,
        owner: PgPool,
        options: ProjectorOptions,
    ) -> Self {
        let followed = read_models.iter().map(|read_model| Followed {
            read_model: *read_model,
            progress: watch::Sender::new(Progress::default()),
            nudge: Notify::new(),
            waiting: AtomicUsize::new(0),
        });
        Self {
            log,
            owner,
            options: Arc::new(options),
            followed: followed.collect(),
            rebuilding: Arc::default(),
        }
    }

    /// The read models, by their names.
    pub fn read_models(&self) -> impl Iterator<Item = ReadModel> {
        self.followed.iter().map(|followed| followed.read_model)
    }

    /// Keeps every read model up with the log until `shutdown`; a batch that has begun is finished.
    ///
    /// # Errors
    /// None: what goes wrong is logged, shown by [`Projector::status`] and tried again where that can help.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ProjectorError> {
        let mut tasks = JoinSet::new();
        for index in 0..self.followed.len() {
            let (projector, shutdown) = (self.clone(), shutdown.clone());
            tasks.spawn(async move {
                if let Some(followed) = projector.followed.get(index) {
                    tokio::join!(
                        projector.follow_whatever_happens(followed, &shutdown),
                        projector.resume_whatever_was_interrupted(followed.read_model, &shutdown),
                    );
                }
            });
        }
        tasks.join_all().await;
        Ok(())
    }

    /// Waits until a read model contains the event at `position` and all before it, so that whoever appended it reads it.
    ///
    /// # Errors
    /// [`ProjectorError::Behind`] when that takes longer than `timeout` or the projector shuts down, [`ProjectorError::Stopped`] when it will not happen.
    pub async fn wait_for(
        &self,
        read_model: ReadModel,
        position: Position,
        timeout: Duration,
    ) -> Result<(), ProjectorError> {
        let followed = self.followed(read_model)?;
        let mut progress = followed.progress.subscribe();
        if progress.borrow().position >= position {
            return Ok(());
        }
        let _waiting = Waiting::begin(followed);
        let reached =
            progress.wait_for(|p| p.position >= position || p.stopped.is_some() || p.ended);
        let outcome = tokio::time::timeout(timeout, reached)
            .await
            .ok()
            .and_then(Result::ok)
            .map(|progress| progress.clone());
        match outcome {
            Some(Progress {
                position: reached, ..
            }) if reached >= position => Ok(()),
            Some(Progress {
                stopped: Some(because),
                ..
            }) => Err(ProjectorError::Stopped {
                read_model,
                because,
            }),
            _ => Err(ProjectorError::Behind {
                read_model,
                wanted: position,
                reached: followed.progress.borrow().position,
            }),
        }
    }

    fn followed(&self, read_model: ReadModel) -> Result<&Followed, ProjectorError> {
        self.followed
            .iter()
            .find(|followed| followed.read_model == read_model)
            .ok_or(ProjectorError::NotFollowed { read_model })
    }
}

/// Somebody waits: the log is looked at again and again until it is there.
struct Waiting<'a>(&'a Followed);

impl<'a> Waiting<'a> {
    fn begin(followed: &'a Followed) -> Self {
        followed.waiting.fetch_add(1, Ordering::AcqRel);
        followed.nudge.notify_one();
        Self(followed)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
