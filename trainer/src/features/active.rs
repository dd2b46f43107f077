//! The sparse set of (token, latent) pairs of a sequence that are active.
//!
//! Of thousands of latents a token activates some dozens. Everything after the encoder works on those pairs alone, grouped by
//! latent, so that neither a top-k over all latents nor a column of the dense matrix is ever touched.

/// The active pairs of one sequence, grouped by latent (compressed sparse columns).
#[derive(Debug, Default)]
pub struct Active {
    /// The latents that are active somewhere, ascending.
    latents: Vec<u32>,
    /// Where each latent's pairs begin; one more than there are latents.
    starts: Vec<u32>,
    /// Of each pair the position in the sequence, ascending within a latent.
    positions: Vec<u32>,
    /// Of each pair the activation, above 0.
    values: Vec<f32>,
}

/// The pairs of one latent in one sequence.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// Which.
    pub latent: u32,
    /// Where it is active, ascending; never empty.
    pub positions: &'a [u32],
    /// How much, above 0; as long.
    pub values: &'a [f32],
}

/// Numbers that are looked at together: what a vector register holds.
const LANES: usize = 16;

impl Active {
    /// Of dense latents: a row of `d_sae` for each of `positions` (ascending).
    #[must_use]
    pub fn of_rows(rows: &[f32], positions: &[u32], d_sae: usize) -> Self {
        let mut pairs = Vec::new();
        for (row, position) in rows.chunks_exact(d_sae.max(1)).zip(positions) {
            for (chunk, values) in row.chunks(LANES).enumerate() {
                // Almost all are empty, and this test is one comparison of a register.
                if values.iter().fold(false, |any, value| any | (*value > 0.0)) {
                    let first = chunk * LANES;
                    let active = values.iter().enumerate().filter(|(_, value)| **value > 0.0);
                    pairs
                        .extend(active.map(|(at, value)| ((first + at) as u32, *position, *value)));
                }
            }
        }
        Self::of_pairs(&pairs, d_sae)
    }

    /// Of (latent, position, activation), positions ascending; activations are above 0.
    #[must_use]
    pub fn of_pairs(pairs: &[(u32, u32, f32)], d_sae: usize) -> Self {
        let mut next = vec![0_u32; d_sae];
        for (latent, _, _) in pairs {
            next[*latent as usize] += 1;
        }
        let mut active = Self {
            positions: vec![0; pairs.len()],
            values: vec![0.0; pairs.len()],
            ..Self::default()
        };
        let mut start = 0;
        for (latent, count) in next.iter_mut().enumerate() {
            if *count > 0 {
                active.latents.push(latent as u32);
                active.starts.push(start);
                start += std::mem::replace(count, start);
            }
        }
        active.starts.push(start);
        for (latent, position, value) in pairs {
            let at = &mut next[*latent as usize];
            active.positions[*at as usize] = *position;
            active.values[*at as usize] = *value;
            *at += 1;
        }
        active
    }

    /// Each latent that is active, ascending.
    pub fn columns(&self) -> impl Iterator<Item = Column<'_>> {
        let bounds = self.starts.windows(2);
        self.latents.iter().zip(bounds).map(|(latent, bounds)| {
            let pairs = bounds[0] as usize..bounds[1] as usize;
            Column {
                latent: *latent,
                positions: &self.positions[pairs.clone()],
                values: &self.values[pairs],
            }
        })
    }
}

impl Column<'_> {
    /// The strongest pair: position and activation; the first of equals.
    #[must_use]
    pub fn strongest(&self) -> (u32, f32) {
        let mut strongest = (0, f32::NEG_INFINITY);
        for (position, value) in self.positions.iter().zip(self.values) {
            if *value > strongest.1 {
                strongest = (*position, *value);
            }
        }
        strongest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_grouped_by_latent_in_the_order_of_positions() {
        let mut rows = vec![0.0; 3 * 40];
        rows[17] = 1.0;
        rows[40 + 39] = 2.0;
        rows[80 + 17] = 3.0;
        rows[80] = -1.0;
        rows[81] = f32::NAN;
        let active = Active::of_rows(&rows, &[1, 2, 5], 40);
        let found: Vec<_> = active
            .columns()
            .map(|column| {
                (
                    column.latent,
                    column.positions.to_vec(),
                    column.values.to_vec(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [(17, vec![1, 5], vec![1.0, 3.0]), (39, vec![2], vec![2.0])]
        );
    }

    #[test]
    fn the_first_of_equally_strong_tokens_is_the_strongest() {
        let active = Active::of_pairs(&[(0, 1, 0.5), (0, 4, 2.0), (0, 6, 2.0)], 1);
        let column = active.columns().next().unwrap();
        assert_eq!(column.strongest(), (4, 2.0));
    }
}
