//! Which images are trained on and which are held out: whole files, so that no volume has slices on both sides.

use super::error::SegmentationError;
use crate::random::Random;
use trainmaster_domain::segmentation::{SegmentationSettings, Split};

/// Numbers of files, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sides {
    /// To train on.
    pub training: Vec<usize>,
    /// To measure on; empty where nothing is held out.
    pub held_out: Vec<usize>,
}

/// Deals `count` files. In a cross-validation the files are shuffled by the seed of the split and dealt in turn, so each is held out
/// in one fold. Else a fraction of them is held out, at least one of several, and none of one.
///
/// # Errors
/// [`SegmentationError::Misfit`] where there are fewer files than folds.
pub fn split(
    count: usize,
    fold: Option<&Split>,
    settings: &SegmentationSettings,
) -> Result<Sides, SegmentationError> {
    let (held_out, order): (Box<dyn Fn(usize) -> bool>, _) = match fold {
        Some(fold) => {
            let folds = usize::from(fold.folds);
            let index = usize::from(fold.index);
            if folds < 2 || index >= folds || count < folds {
                return Err(SegmentationError::Misfit {
                    what: format!(
                        "fold {index} of {folds} cannot be made of {count} images: a fold holds out one whole file at least, so give more \
                         images, or ask for 2 to {count} folds counted from 0"
                    ),
                });
            }
            let order = Random::new(fold.seed, "folds", 0).permutation(count);
            (Box::new(move |place| place % folds == index), order)
        }
        None => {
            let some = usize::from(count > 1 && settings.held_out > 0.0);
            let held = (settings.held_out * count as f64).round() as usize;
            let held = held.clamp(some, count.saturating_sub(1).max(some));
            let held = if some == 0 { 0 } else { held };
            let order = Random::new(settings.seed, "held out", 0).permutation(count);
            (Box::new(move |place| place < held), order)
        }
    };
    let side = |wanted: bool| {
        let mut side: Vec<usize> = order
            .iter()
            .enumerate()
            .filter(|(place, _)| held_out(*place) == wanted)
            .map(|(_, file)| *file as usize)
            .collect();
        side.sort_unstable();
        side
    };
    Ok(Sides {
        training: side(false),
        held_out: side(true),
    })
}
