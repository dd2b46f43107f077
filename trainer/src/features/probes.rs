//! Random stretches of the text that is read: what examples of a latent are told apart from.

use super::active::Active;
use super::passage::{Passage, Window};
use super::representation::{CODE, Sums};
use super::sample::Sample;
use crate::random::Random;
use std::collections::BTreeMap;

/// How many there are.
pub const PROBES: usize = 512;

/// Random windows, chosen by sequence before any is read, and which latents are active in each.
///
/// Takes `PROBES · (latents / 8 + CODE)` bytes and little more.
#[derive(Debug)]
pub struct Probes {
    /// For each sequence that has some, the random numbers that choose its tokens.
    chosen: BTreeMap<u32, Vec<u64>>,
    probes: Vec<Probe>,
    /// For each site, a bit for each probe and latent.
    active: Vec<Bits>,
}

/// A random window.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The packed sequence.
    pub sequence: u32,
    /// Its tokens.
    pub window: Window,
    /// As of an example.
    pub code: Vec<i8>,
}

#[derive(Debug)]
struct Bits {
    words: Vec<u64>,
    words_per_probe: usize,
}

impl Probes {
    /// For a reading of these sequences with sites of `latents` latents each.
    #[must_use]
    pub fn new(sample: Sample, latents: &[usize]) -> Self {
        let mut random = Random::new(0, "probes", 0);
        let mut chosen = BTreeMap::<u32, Vec<u64>>::new();
        for _ in 0..PROBES {
            let sequence = sample.number(random.below(u64::from(sample.count())) as u32);
            chosen.entry(sequence).or_default().push(random.next_u64());
        }
        let active = latents
            .iter()
            .map(|latents| Bits {
                words: Vec::new(),
                words_per_probe: latents.div_ceil(64),
            })
            .collect();
        Self {
            chosen,
            probes: Vec::new(),
            active,
        }
    }

    /// Takes up a sequence: what is active in it at each site, and its running sums where codes are wanted.
    pub fn read(
        &mut self,
        passage: &Passage,
        context: u16,
        active: &[&Active],
        sums: Option<&Sums>,
    ) {
        let Some(choices) = self.chosen.remove(&passage.number) else {
            return;
        };
        if passage.text.is_empty() {
            return;
        }
        for choice in choices {
            let nth = (choice % passage.text.len() as u64) as usize;
            let window = passage.window(nth, context);
            let mut code = Vec::new();
            if let Some(sums) = sums {
                code.resize(CODE, 0);
                sums.encode(nth, window, &mut code);
            }
            self.probes.push(Probe {
                sequence: passage.number,
                window,
                code,
            });
            for (bits, active) in self.active.iter_mut().zip(active) {
                bits.push(active, window);
            }
        }
    }

    /// Those that were met.
    #[must_use]
    pub fn all(&self) -> &[Probe] {
        &self.probes
    }

    /// Whether a latent of a site is active anywhere in a probe's window.
    #[must_use]
    pub fn is_active(&self, probe: usize, site: usize, latent: usize) -> bool {
        let bits = &self.active[site];
        bits.words[probe * bits.words_per_probe + latent / 64] >> (latent % 64) & 1 == 1
    }
}

impl Bits {
    fn push(&mut self, active: &Active, window: Window) {
        let base = self.words.len();
        self.words.resize(base + self.words_per_probe, 0);
        for column in active.columns() {
            let first = column.positions.partition_point(|at| *at < window.start());
            if column
                .positions
                .get(first)
                .is_some_and(|at| *at < window.end())
            {
                let latent = column.latent as usize;
                self.words[base + latent / 64] |= 1 << (latent % 64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_knows_what_is_active_in_it() {
        let mut probes = Probes::new(Sample::new(3, 3), &[70]);
        let is_text = [true; 8];
        for number in 0..3 {
            let passage = Passage::new(number, &is_text);
            let active = Active::of_pairs(&[(69, number, 1.0)], 70);
            probes.read(&passage, 1, &[&active], None);
        }
        assert_eq!(probes.all().len(), PROBES);
        for (at, probe) in probes.all().iter().enumerate() {
            let inside = (probe.window.start()..probe.window.end()).contains(&probe.sequence);
            assert_eq!(probes.is_active(at, 0, 69), inside);
            assert!(!probes.is_active(at, 0, 5));
        }
    }
}
