//! Which packed sequences an extraction reads.

/// As many as are wanted, spread evenly over the dataset: its first ones alone may be a single book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    wanted: u32,
    of: u32,
}

impl Sample {
    /// Of `wanted` sequences out of `of`; all of them when there are fewer.
    #[must_use]
    pub fn new(wanted: u32, of: u32) -> Self {
        Self {
            wanted: wanted.min(of),
            of,
        }
    }

    /// How many are read.
    #[must_use]
    pub fn count(self) -> u32 {
        self.wanted
    }

    /// The number in the dataset of the `nth` that is read, from 0; ascending.
    #[must_use]
    pub fn number(self, nth: u32) -> u32 {
        // Below `of` as long as nth is below wanted.
        (u64::from(nth) * u64::from(self.of) / u64::from(self.wanted.max(1))) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_all_and_repeats_nothing() {
        for (wanted, of) in [
            (1, 1),
            (3, 10),
            (9, 10),
            (10, 10),
            (20, 10),
            (1_000, 70_001),
        ] {
            let sample = Sample::new(wanted, of);
            let numbers: Vec<u32> = (0..sample.count()).map(|nth| sample.number(nth)).collect();
            assert_eq!(numbers.len() as u32, wanted.min(of));
            assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
            let last = numbers[numbers.len() - 1];
            assert!(
                last < of && of - last <= of.div_ceil(wanted.min(of)),
                "{wanted} of {of}: {last}"
            );
        }
    }
}
