//! What can go wrong.

use crate::history::Draw;
use std::{fmt, time::Duration};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The daemon is killed and started again after a while.
    DaemonKill,
    /// The daemon is asked to end, and started again.
    DaemonEnd,
    /// The daemon is frozen and thawed.
    DaemonFreeze,
    /// A trainer is killed.
    TrainerKill,
    /// A trainer is frozen, past its lease often, and thawed.
    TrainerFreeze,
    /// Postgres is stopped as by a power cut, and started again.
    PostgresStop,
    /// A connection to Postgres, or all of them, is cut after so many bytes, whatever they were about.
    ConnectionCut,
    /// Nothing gets through to Postgres for a while, and then all of it.
    ConnectionStall,
    /// Everything that is said to Postgres and by it arrives late.
    ConnectionDelay,
    /// There is no room in the state directory.
    StateFull,
    /// There is no room where Postgres keeps its data.
    PostgresFull,
    /// A part of the state directory cannot be written to.
    ReadOnly,
    /// The clock of daemon and trainers jumps, and back.
    Clock,
    /// The clock of Postgres jumps, and back.
    PostgresClock,
    /// Tasks of the queue are delivered again.
    QueueRepeat,
    /// Tasks of the queue are delivered in another order.
    QueueReorder,
    /// Tasks of the queue get lost.
    QueueLoss,
    /// There is a task in the queue that nobody can read.
    QueueGarbage,
    /// Each fsync takes long: of daemon, trainers and Postgres.
    SlowSync,
}

/// All kinds, with the names that the command line has for them.
pub const KINDS: [(Kind, &str); 19] = [
    (Kind::DaemonKill, "daemon-kill"),
    (Kind::DaemonEnd, "daemon-end"),
    (Kind::DaemonFreeze, "daemon-freeze"),
    (Kind::TrainerKill, "trainer-kill"),
    (Kind::TrainerFreeze, "trainer-freeze"),
    (Kind::PostgresStop, "postgres-stop"),
    (Kind::ConnectionCut, "connection-cut"),
    (Kind::ConnectionStall, "connection-stall"),
    (Kind::ConnectionDelay, "connection-delay"),
    (Kind::StateFull, "state-full"),
    (Kind::PostgresFull, "postgres-full"),
    (Kind::ReadOnly, "read-only"),
    (Kind::Clock, "clock"),
    (Kind::PostgresClock, "postgres-clock"),
    (Kind::QueueRepeat, "queue-repeat"),
    (Kind::QueueReorder, "queue-reorder"),
    (Kind::QueueLoss, "queue-loss"),
    (Kind::QueueGarbage, "queue-garbage"),
    (Kind::SlowSync, "slow-sync"),
];

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = KINDS.iter().find(|(kind, _)| kind == self);
        formatter.write_str(name.map_or("fault", |(_, name)| name))
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = KINDS.iter().find(|(_, name)| *name == text);
        found.map(|(kind, _)| *kind).ok_or_else(|| {
            let names: Vec<&str> = KINDS.iter().map(|(_, name)| *name).collect();
            format!("there is no fault {text:?}; there are {}", names.join(", "))
        })
    }
}

/// A fault to come: when, for how long, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// So long after the round's beginning.
    pub at: Duration,
    /// For so long, where it lasts.
    pub length: Duration,
    /// What else it depends on: which process, how many bytes, how far the clock jumps.
    pub choice: u64,
}

impl Fault {
    /// One of `kinds`.
    pub(super) fn draw(draw: &mut Draw, kinds: &[Kind]) -> Self {
        let ms = |ms| Duration::from_millis(ms);
        Self {
            kind: draw.one_of(kinds.iter().copied()),
            at: ms(draw.below(1_500)),
            // Most are short, some outlast a lease.
            length: ms(match draw.below(4) {
                0 => 1_000 + draw.below(2_000),
                _ => 50 + draw.below(700),
            }),
            choice: draw.any(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} after {} ms for {} ms",
            self.kind,
            self.at.as_millis(),
            self.length.as_millis()
        )
    }
}
