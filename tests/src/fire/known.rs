//! What clients know of: what was there before, and what they have made.

use super::arena::Furniture;
use crate::history::Draw;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// A kind of thing that clients make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Noun {
    Training,
    Job,
    Preset,
    Template,
    Dataset,
    Model,
}

/// What clients know of.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) furniture: Furniture,
    made: Mutex<BTreeMap<Noun, Vec<String>>>,
}

/// So many of each kind are remembered from earlier rounds.
const REMEMBERED: usize = 6;

impl Known {
    pub(super) fn of(furniture: Furniture) -> Self {
        Self {
            furniture,
            made: Mutex::default(),
        }
    }

    pub(super) fn add(&self, noun: Noun, id: &str) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = made.entry(noun).or_default();
        if !ids.iter().any(|known| known == id) {
            ids.push(id.to_owned());
        }
        if ids.len() > REMEMBERED {
            ids.remove(0);
        }
    }

    /// One that clients have made; rather a new one.
    pub(super) fn one(&self, noun: Noun, draw: &mut Draw) -> Option<String> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = made.get(&noun)?;
        let new = usize::try_from(draw.below(3)).ok()?;
        let any = usize::try_from(draw.below(ids.len() as u64)).ok()?;
        let chosen = if draw.one_in(4) {
            ids.get(any)
        } else {
            ids.iter().rev().nth(new).or(ids.last())
        };
        chosen.cloned()
    }
}
