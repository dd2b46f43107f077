//! Comparing the log with a head that was kept.

use super::VerifyError;
use crate::log::head::Head;
use trainmaster_domain::Position;

/// Why a log is not the one of which a head speaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// It ends earlier, or has fewer events up to there.
    #[error(
        "the log is truncated: up to {up_to} it has {events} events, the last at {last}, but the head of {at} speaks of {expected}: events \
         were removed, or the database was set back to an earlier state"
    )]
    Truncated {
        /// The last event that there is, up to the head.
        last: Position,
        /// Events up to the head.
        events: u64,
        /// The head's position.
        up_to: Position,
        /// The head's events.
        expected: u64,
        /// When the head was made.
        at: String,
    },
    /// It has other events.
    #[error(
        "the log differs from the head of {at}: its {events} events up to {up_to} are not those {expected} of which the head speaks: some \
         were replaced, or it is the head of another log"
    )]
    Differs {
        /// The head's position.
        up_to: Position,
        /// Events up to it.
        events: u64,
        /// The head's events.
        expected: u64,
        /// When the head was made.
        at: String,
    },
}

/// The comparison.
pub(in crate::log) struct AgainstHead;

impl AgainstHead {
    /// Compares what a head says with the last position up to it and with what is there so far: streams, events and digest.
    pub(in crate::log) fn compare(
        head: &Head,
        last: Position,
        (streams, events, digest): (u64, u64, [u8; 32]),
    ) -> Result<(), VerifyError> {
        if last == head.position
            && (streams, events, digest) == (head.streams, head.events, head.digest)
        {
            return Ok(());
        }
        let at = head.at.to_rfc3339();
        Err(VerifyError::Head(
            if last < head.position || events < head.events {
                HeadFault::Truncated {
                    last,
                    events,
                    up_to: head.position,
                    expected: head.events,
                    at,
                }
            } else {
                HeadFault::Differs {
                    up_to: head.position,
                    events,
                    expected: head.events,
                    at,
                }
            },
        ))
    }
}
