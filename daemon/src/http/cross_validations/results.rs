//! What the folds of a cross-validation found, gathered: mean and standard deviation over those that have ended.

use serde::{Deserialize, Serialize};
use trainmaster_domain::run::journal::SegmentationQuality;
use utoipa::ToSchema;

/// Several values in two.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Spread {
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, with one degree of freedom less than there are values; null for a single one.
    pub standard_deviation: Option<f64>,
    /// How many.
    pub folds: usize,
}

/// What the folds that have ended found on the images that each held out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Results {
    /// Of the mean Dice coefficient over the classes but the background; null where no fold has one.
    pub dice: Option<Spread>,
    /// Of the Dice coefficient of each class, from class 1 on; null where no fold has that class.
    pub classes: Vec<Option<Spread>>,
    /// Of the loss.
    pub loss: Option<Spread>,
}

fn spread(values: impl Iterator<Item = f64>) -> Option<Spread> {
    let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    if values.is_empty() {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some(Spread {
        mean,
        standard_deviation: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
        folds: values.len(),
    })
}

/// Gathers what was found.
pub(super) fn gather(found: &[&SegmentationQuality]) -> Results {
    let classes = found.iter().map(|quality| quality.dice.len()).max();
    let of_class = |class: usize| {
        let dice = found
            .iter()
            .filter_map(move |quality| quality.dice.get(class).copied().flatten());
        spread(dice)
    };
    Results {
        dice: spread(found.iter().filter_map(|quality| quality.mean_dice)),
        classes: (0..classes.unwrap_or(0)).map(of_class).collect(),
        loss: spread(found.iter().map(|quality| quality.loss)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quality(dice: &[Option<f64>], mean_dice: Option<f64>, loss: f64) -> SegmentationQuality {
        SegmentationQuality {
            step: 10,
            images: 4,
            loss,
            dice: dice.to_vec(),
            mean_dice,
        }
    }

    #[test]
    fn a_class_that_a_fold_has_not_seen_does_not_count_for_it() {
        let folds = [
            quality(&[Some(0.8), None], Some(0.8), 0.5),
            quality(&[Some(0.6), Some(0.4)], Some(0.5), 0.25),
            quality(&[Some(0.7), Some(0.4)], Some(0.65), f64::NAN),
        ];
        let results = gather(&folds.iter().collect::<Vec<_>>());
        let dice = results.dice.unwrap();
        assert_eq!((dice.mean, dice.folds), (0.65, 3));
        assert!((dice.standard_deviation.unwrap() - 0.15).abs() < 1e-12);
        let classes: Vec<Spread> = results.classes.into_iter().flatten().collect();
        assert_eq!((classes[0].folds, classes[1].folds), (3, 2));
        assert!((classes[0].standard_deviation.unwrap() - 0.1).abs() < 1e-12);
        assert_eq!(classes[1].standard_deviation, Some(0.0));
        assert_eq!(results.loss.unwrap().mean, 0.375);
    }

    #[test]
    fn one_fold_has_no_deviation_and_none_have_no_mean() {
        let one = quality(&[Some(0.5)], Some(0.5), 1.0);
        let results = gather(&[&one]);
        assert_eq!(results.dice.unwrap().standard_deviation, None);
        assert_eq!(gather(&[]), Results::default());
    }
}
