//! How well a segmentation matches labels.

/// Counts pixels of each class in labels, in a segmentation, and in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    labelled: Vec<u64>,
    found: Vec<u64>,
    both: Vec<u64>,
}

impl Overlap {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self {
            labelled: vec![0; classes],
            found: vec![0; classes],
            both: vec![0; classes],
        }
    }

    /// A pixel that is labelled with a class, and in which one was found.
    pub fn push(&mut self, labelled: usize, found: usize) {
        if let Some(count) = self.labelled.get_mut(labelled) {
            *count += 1;
        }
        if let Some(count) = self.found.get_mut(found) {
            *count += 1;
        }
        if labelled == found
            && let Some(count) = self.both.get_mut(found)
        {
            *count += 1;
        }
    }

    /// The Dice coefficient of each class but the background: 2 |A ∩ B| / (|A| + |B|). None for a class that neither has.
    #[must_use]
    pub fn dice(&self) -> Vec<Option<f64>> {
        let counts = self.labelled.iter().zip(&self.found).zip(&self.both);
        counts
            .skip(1)
            .map(|((labelled, found), both)| {
                let sum = labelled + found;
                (sum > 0).then(|| 2.0 * *both as f64 / sum as f64)
            })
            .collect()
    }

    /// The mean of those that there are.
    #[must_use]
    pub fn mean_dice(&self) -> Option<f64> {
        let dice: Vec<f64> = self.dice().into_iter().flatten().collect();
        (!dice.is_empty()).then(|| dice.iter().sum::<f64>() / dice.len() as f64)
    }
}
