//! The order in which the parts of a dataset are read: every epoch a new permutation, computed rather than stored.

use crate::random::Random;

const ROUNDS: usize = 6;

/// A pseudo-random permutation of `0..count` for each epoch, in constant memory: a Feistel network over the next even number of
/// bits, walked until it lands inside the range (Black and Rogaway 2002).
#[derive(Clone, Debug)]
pub struct RandomOrder {
    seed: u64,
    count: u64,
    half_bits: u32,
}

impl RandomOrder {
    /// The order of `count` things under a seed.
    #[must_use]
    pub fn new(seed: u64, count: u64) -> Self {
        let bits = 64 - count.saturating_sub(1).leading_zeros();
        Self {
            seed,
            count,
            half_bits: bits.div_ceil(2).max(1),
        }
    }

    /// How many things there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Which thing comes as number `position` in the endless stream of epochs.
    #[must_use]
    pub fn at(&self, position: u64) -> u64 {
        let count = self.count.max(1);
        let mut keys = Random::new(self.seed, "sequence order", position / count);
        let keys: [u64; ROUNDS] = std::array::from_fn(|_| keys.next_u64());
        let mut at = position % count;
        loop {
            at = self.scramble(at, &keys);
            if at < count {
                return at;
            }
        }
    }

    fn scramble(&self, value: u64, keys: &[u64; ROUNDS]) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in keys {
            let mixed = Random::new(right ^ key, "", *key).next_u64() & mask;
            (left, right) = (right, left ^ mixed);
        }
        (left << self.half_bits) | right
    }
}

#[cfg(test)]
mod tests {
    use super::RandomOrder;

    #[test]
    fn every_epoch_has_everything_once_in_an_order_of_its_own() {
        for count in [1, 2, 3, 7, 64, 100, 1_000] {
            let order = RandomOrder::new(42, count);
            let mut epochs = Vec::new();
            for epoch in 0..3 {
                let read: Vec<u64> = (0..count).map(|at| order.at(epoch * count + at)).collect();
                let mut sorted = read.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..count).collect::<Vec<_>>());
                epochs.push(read);
            }
            if count >= 64 {
                assert_ne!(epochs[0], epochs[1]);
                assert_ne!(epochs[0], (0..count).collect::<Vec<_>>());
            }
        }
    }
}
