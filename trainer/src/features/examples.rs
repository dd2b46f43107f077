//! The strongest examples of each latent, in memory that is bounded before the first is seen.

use super::active::Column;
use super::passage::Window;

/// The `top_k` strongest examples of each of `latents`, one a sequence at most.
///
/// Takes `latents · top_k · (20 + 2 · (2 · context + 1) + code)` bytes at most, of which the operating system gives only what is
/// touched: 16,384 latents with 100 examples of 51 tokens and codes of 128 bytes take 410 MB. An activation in a window is kept as a
/// sixteen-bit fraction of the example's strongest, so it is off by less than a hundred-thousandth of that.
#[derive(Debug)]
pub struct Examples {
    top_k: usize,
    context: u16,
    code: usize,
    /// Examples of each latent.
    lengths: Vec<u32>,
    /// Of each latent a binary heap of `top_k`: the weakest, among equals the latest, comes first.
    strengths: Vec<f32>,
    /// Beside `strengths`: where the example's other numbers are.
    slots: Vec<u32>,
    sequences: Vec<u32>,
    positions: Vec<u32>,
    befores: Vec<u16>,
    afters: Vec<u16>,
    /// `2 · context + 1` a slot, the strongest token in the middle.
    activations: Vec<u16>,
    /// `code` a slot.
    codes: Vec<i8>,
}

/// An example.
#[derive(Clone, Copy, Debug)]
pub struct Example<'a> {
    /// Activation of its strongest token.
    pub strength: f32,
    /// The packed sequence.
    pub sequence: u32,
    /// Its tokens.
    pub window: Window,
    /// What stands for it when it is compared with others; empty where none is kept.
    pub code: &'a [i8],
    activations: &'a [u16],
}

impl Example<'_> {
    /// The activation of each token of its window.
    pub fn activations(&self) -> impl Iterator<Item = f32> {
        let scale = f64::from(self.strength) / f64::from(u16::MAX);
        self.activations
            .iter()
            .map(move |part| (f64::from(*part) * scale) as f32)
    }
}

impl Examples {
    /// None yet. `context` tokens are kept on either side of the strongest, and `code` numbers to compare examples by.
    #[must_use]
    pub fn new(latents: usize, top_k: usize, context: u16, code: usize) -> Self {
        let slots = latents * top_k;
        Self {
            top_k,
            context,
            code,
            lengths: vec![0; latents],
            strengths: vec![0.0; slots],
            slots: vec![0; slots],
            sequences: vec![0; slots],
            positions: vec![0; slots],
            befores: vec![0; slots],
            afters: vec![0; slots],
            activations: vec![0; slots * (2 * usize::from(context) + 1)],
            codes: vec![0; slots * code],
        }
    }

    /// What so many take at most, in bytes.
    #[must_use]
    pub fn bytes(latents: usize, top_k: usize, context: usize, code: usize) -> u64 {
        let example = 20 + 2 * (2 * context as u64 + 1) + code as u64;
        (latents as u64)
            .saturating_mul(top_k as u64)
            .saturating_mul(example)
    }

    /// Tokens on either side of an example's strongest.
    #[must_use]
    pub fn context(&self) -> u16 {
        self.context
    }

    /// Whether an example of this strength from a later sequence than any before would be kept.
    #[must_use]
    pub fn would_keep(&self, latent: usize, strength: f32) -> bool {
        self.top_k > 0
            && ((self.lengths[latent] as usize) < self.top_k
                || strength > self.strengths[latent * self.top_k])
    }

    /// Keeps an example that [`Examples::would_keep`] wants; of equally strong ones the earlier stays. `encode` writes its code.
    pub fn keep(
        &mut self,
        column: Column<'_>,
        strength: f32,
        sequence: u32,
        window: Window,
        encode: impl FnOnce(&mut [i8]),
    ) {
        let latent = column.latent as usize;
        let base = latent * self.top_k;
        let length = self.lengths[latent] as usize;
        let slot = if length < self.top_k {
            base + length
        } else {
            self.slots[base] as usize
        };
        self.sequences[slot] = sequence;
        self.positions[slot] = window.position;
        self.befores[slot] = window.before;
        self.afters[slot] = window.after;
        self.write_activations(slot, column, strength, window);
        encode(&mut self.codes[slot * self.code..(slot + 1) * self.code]);
        if length < self.top_k {
            self.lengths[latent] += 1;
            self.strengths[slot] = strength;
            self.slots[slot] = slot as u32;
            self.rise(base, length);
        } else {
            self.strengths[base] = strength;
            self.sink(base, length);
        }
    }

    fn write_activations(
        &mut self,
        slot: usize,
        column: Column<'_>,
        strength: f32,
        window: Window,
    ) {
        let width = 2 * usize::from(self.context) + 1;
        let parts = &mut self.activations[slot * width..(slot + 1) * width];
        parts.fill(0);
        let first = column.positions.partition_point(|at| *at < window.start());
        let pairs = column.positions[first..]
            .iter()
            .zip(&column.values[first..]);
        for (position, value) in pairs.take_while(|(position, _)| **position < window.end()) {
            let at = usize::from(self.context) + *position as usize - window.position as usize;
            let part = f64::from(*value) / f64::from(strength) * f64::from(u16::MAX);
            // What is active stays so.
            parts[at] = part.round().clamp(1.0, f64::from(u16::MAX)) as u16;
        }
    }

    /// Whether the example at `left` of a heap is to be given up before the one at `right`.
    fn is_weaker(&self, left: usize, right: usize) -> bool {
        let sequence = |at: usize| self.sequences[self.slots[at] as usize];
        self.strengths[left] < self.strengths[right]
            || (self.strengths[left] == self.strengths[right] && sequence(left) > sequence(right))
    }

    fn swap(&mut self, left: usize, right: usize) {
        self.strengths.swap(left, right);
        self.slots.swap(left, right);
    }

    fn rise(&mut self, base: usize, mut at: usize) {
        while at > 0 && self.is_weaker(base + at, base + (at - 1) / 2) {
            self.swap(base + at, base + (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn sink(&mut self, base: usize, length: usize) {
        let mut at = 0;
        loop {
            let children = (2 * at + 1..length).take(2);
            let Some(weakest) = children.reduce(|left, right| {
                if self.is_weaker(base + right, base + left) {
                    right
                } else {
                    left
                }
            }) else {
                return;
            };
            if !self.is_weaker(base + weakest, base + at) {
                return;
            }
            self.swap(base + at, base + weakest);
            at = weakest;
        }
    }

    /// A latent's examples, the strongest first, among equals the earliest.
    #[must_use]
    pub fn of(&self, latent: usize) -> Vec<Example<'_>> {
        let base = latent * self.top_k;
        let width = 2 * usize::from(self.context) + 1;
        let mut examples: Vec<Example<'_>> = (base..base + self.lengths[latent] as usize)
            .map(|at| {
                let slot = self.slots[at] as usize;
                let window = Window {
                    position: self.positions[slot],
                    before: self.befores[slot],
                    after: self.afters[slot],
                };
                let middle = slot * width + usize::from(self.context);
                let from = middle - usize::from(window.before);
                Example {
                    strength: self.strengths[at],
                    sequence: self.sequences[slot],
                    window,
                    code: &self.codes[slot * self.code..(slot + 1) * self.code],
                    activations: &self.activations[from..=middle + usize::from(window.after)],
                }
            })
            .collect();
        examples.sort_by(|left, right| {
            right
                .strength
                .total_cmp(&left.strength)
                .then(left.sequence.cmp(&right.sequence))
        });
        examples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(examples: &mut Examples, sequence: u32, strength: f32) {
        if examples.would_keep(0, strength) {
            let column = Column {
                latent: 0,
                positions: &[3, 4, 9],
                values: &[strength / 2.0, strength, 1e-9],
            };
            let window = Window {
                position: 4,
                before: 1,
                after: 2,
            };
            examples.keep(column, strength, sequence, window, |code| {
                code.fill(sequence as i8)
            });
        }
    }

    #[test]
    fn of_equally_strong_examples_the_earliest_stay() {
        let mut examples = Examples::new(1, 3, 2, 1);
        for (sequence, strength) in [(0, 1.0), (1, 2.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 1.0)] {
            offer(&mut examples, sequence, strength);
        }
        let kept: Vec<(u32, f32, i8)> = examples
            .of(0)
            .iter()
            .map(|example| (example.sequence, example.strength, example.code[0]))
            .collect();
        assert_eq!(kept, [(1, 2.0, 1), (4, 2.0, 4), (0, 1.0, 0)]);
    }

    #[test]
    fn a_window_holds_each_tokens_activation() {
        let mut examples = Examples::new(1, 1, 2, 0);
        offer(&mut examples, 0, 1.0);
        offer(&mut examples, 1, 6.0);
        let kept = examples.of(0);
        let values: Vec<f32> = kept[0].activations().collect();
        assert_eq!(values.len(), 4);
        for (value, expected) in values.iter().zip([3.0, 6.0, 0.0, 0.0]) {
            assert!((value - expected).abs() < 6.0 * 1e-5, "{values:?}");
        }
        assert_eq!(values[1], 6.0);
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_wanted() {
        assert!(!Examples::new(1, 0, 2, 0).would_keep(0, 1.0));
    }
}
