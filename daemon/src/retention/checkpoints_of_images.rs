//! Checkpoints of trainings that segment images: no table has them, so their trainings are asked, a page at a time.

use super::{
    Retention, RetentionError,
    plan::{Item, MOST, What},
};
use crate::queries::{First, Queries};
use chrono::{DateTime, Utc};
use std::cmp::Ordering;
use trainmaster_domain::{
    Aggregate,
    training::{KeptCheckpoint, Training},
};

/// Trainings that are asked together.
const PAGE: usize = 200;

impl Retention {
    /// As of other trainings: all beyond the newest and the one with the lowest loss, and all of those that ended long ago.
    pub(super) async fn old_checkpoints_of_images(
        &self,
        now: DateTime<Utc>,
    ) -> Result<Vec<Item>, RetentionError> {
        let queries = Queries::new(self.log.pool().clone());
        let expired_before = self.policy.checkpoints_before(now);
        let mut items = Vec::new();
        let mut before = None;
        loop {
            let begun = queries
                .begun(First::SegmentationQueued, before, PAGE)
                .await?;
            let mut trainings = Vec::new();
            for begun in &begun {
                let training = self.log.load::<Training>(&begun.id).await?.state;
                if !training.is_deleted() && !training.checkpoints().is_empty() {
                    trainings.push((begun.id.as_str(), training));
                }
            }
            let known: Vec<_> = trainings.iter().map(|(id, it)| (*id, it)).collect();
            let courses = queries.courses(&known).await?;
            for ((id, training), course) in trainings.iter().zip(courses) {
                // No checkpoint is younger than the end of its training.
                let expired = course.ended_at.is_some_and(|ended| ended < expired_before);
                let unneeded = unneeded(training, self.policy.checkpoints_last, expired);
                items.extend(unneeded.into_iter().map(|checkpoint| Item {
                    training_id: (*id).to_owned(),
                    what: What::Checkpoint {
                        checkpoint_id: checkpoint.id.to_string(),
                        step: i32::try_from(checkpoint.step).unwrap_or(i32::MAX),
                        expired,
                        storage_path: checkpoint.path.clone(),
                    },
                    rows: 0,
                    bytes: checkpoint.size_bytes,
                }));
            }
            before = begun.last().map(crate::queries::Begun::position);
            if begun.len() < PAGE || items.len() >= usize::try_from(MOST).unwrap_or(usize::MAX) {
                return Ok(items);
            }
        }
    }
}

fn unneeded(training: &Training, keep_last: u32, expired: bool) -> Vec<&KeptCheckpoint> {
    let kept = training.checkpoints();
    // What another attempt would go on from stays before the training is over.
    let spared = usize::from(!training.status().is_terminal());
    let candidates = kept.len().saturating_sub(spared);
    if expired {
        return kept.iter().take(candidates).collect();
    }
    let finite = |checkpoint: &KeptCheckpoint| checkpoint.loss.filter(|loss| loss.is_finite());
    let best = kept
        .iter()
        .filter(|checkpoint| finite(checkpoint).is_some())
        .min_by(|a, b| {
            let losses = finite(a).partial_cmp(&finite(b)).unwrap_or(Ordering::Equal);
            losses.then(b.step.cmp(&a.step))
        })
        .map(|checkpoint| &checkpoint.id);
    let newest = kept.len().saturating_sub(keep_last as usize);
    kept.iter()
        .take(newest.min(candidates))
        .filter(|checkpoint| Some(&checkpoint.id) != best)
        .collect()
}
