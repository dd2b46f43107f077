//! What a round will do: decided by its seed alone, before it begins.

use super::fault::{Fault, Kind};
use crate::history::Draw;
use std::time::Duration;

/// What clients can ask for, and how often they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Train,
    Pause,
    Resume,
    Stop,
    Retry,
    DeleteTraining,
    Generate,
    Extract,
    CancelJob,
    RetryJob,
    CreatePreset,
    ChangePreset,
    DeletePreset,
    Label,
    CreateTemplate,
    ChangeTemplate,
    DeleteTemplate,
    AddDataset,
    DeleteDataset,
    AddModel,
    DeleteModel,
    RunRetention,
    Look,
}

const WISHES: [(Wish, u64); 23] = [
    (Wish::Train, 7),
    (Wish::Pause, 4),
    (Wish::Resume, 4),
    (Wish::Stop, 2),
    (Wish::Retry, 2),
    (Wish::DeleteTraining, 3),
    (Wish::Generate, 3),
    (Wish::Extract, 1),
    (Wish::CancelJob, 2),
    (Wish::RetryJob, 1),
    (Wish::CreatePreset, 2),
    (Wish::ChangePreset, 2),
    (Wish::DeletePreset, 1),
    (Wish::Label, 4),
    (Wish::CreateTemplate, 2),
    (Wish::ChangeTemplate, 2),
    (Wish::DeleteTemplate, 1),
    (Wish::AddDataset, 1),
    (Wish::DeleteDataset, 1),
    (Wish::AddModel, 1),
    (Wish::DeleteModel, 1),
    (Wish::RunRetention, 1),
    (Wish::Look, 3),
];

/// One thing that a client will do.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Before it, the client waits.
    pub(super) pause: Duration,
    pub(super) wish: Wish,
    /// For what else it depends on.
    pub(super) draw: Draw,
    /// Under a key, so that it may be repeated.
    pub(super) keyed: bool,
    /// From two connections at once.
    pub(super) twice: bool,
    /// Once more, after its answer.
    pub(super) again: bool,
}

/// A round.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// What each client does.
    pub(super) clients: Vec<Vec<Step>>,
    pub(super) faults: Vec<Fault>,
}

impl Plan {
    pub(super) fn of(seed: u64, kinds: &[Kind]) -> Self {
        let mut draw = Draw::new(seed);
        let clients = (0..2 + draw.below(3))
            .map(|_| {
                let steps = 1 + draw.below(4);
                (0..steps).map(|index| step(&mut draw, index)).collect()
            })
            .collect();
        let faults = if kinds.is_empty() {
            0
        } else {
            1 + draw.below(3)
        };
        let mut faults: Vec<Fault> = (0..faults).map(|_| Fault::draw(&mut draw, kinds)).collect();
        faults.sort_by_key(|fault| fault.at);
        Self { clients, faults }
    }
}

fn step(draw: &mut Draw, index: u64) -> Step {
    let total = WISHES.iter().map(|(_, weight)| weight).sum();
    let mut point = draw.below(total);
    let drawn = WISHES.iter().find(|(_, weight)| {
        let found = point < *weight;
        point = point.saturating_sub(*weight);
        found
    });
    let drawn = drawn.map_or(Wish::Train, |(wish, _)| *wish);
    Step {
        pause: Duration::from_millis(draw.below(400)),
        // Others need something to be about: most clients begin with a training.
        wish: if index == 0 && draw.one_in(2) {
            Wish::Train
        } else {
            drawn
        },
        draw: Draw::new(draw.any()),
        keyed: !draw.one_in(8),
        twice: draw.one_in(4),
        again: draw.one_in(3),
    }
}
