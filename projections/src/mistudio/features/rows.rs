//! Rows of `features.parquet`.

use crate::{
    artifact::{Batch, Cut},
    value,
};

/// A latent that is a feature.
pub(crate) struct Latent {
    pub(super) neuron_index: i32,
    pub(super) layer: i32,
    pub(super) activation_frequency: f64,
    pub(super) max_activation_value: f64,
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) interpretability_score: Option<f64>,
}

/// Checks that latents are those of a block, each once.
pub(crate) struct InBlock {
    latents: i64,
    next: i64,
}

impl InBlock {
    pub(crate) const fn new(latents: i64) -> Self {
        Self { latents, next: 0 }
    }
}

impl Cut for InBlock {
    type Piece = Vec<Latent>;

    fn take(&mut self, rows: &Batch, complete: &mut Vec<Vec<Latent>>) -> Result<(), String> {
        let mut latents = Vec::with_capacity(rows.rows);
        for row in 0..rows.rows {
            let missing = |column| move || format!("a row has no {column}");
            let neuron_index = rows.integer(0, row).ok_or_else(missing("neuron_index"))?;
            if i64::from(neuron_index) < self.next || i64::from(neuron_index) >= self.latents {
                return Err(format!(
                    "latent {neuron_index} is out of order or not one of {}",
                    self.latents
                ));
            }
            self.next = i64::from(neuron_index) + 1;
            let text = |column| rows.text(column, row).map(value::utf8);
            latents.push(Latent {
                neuron_index,
                layer: rows.integer(1, row).ok_or_else(missing("layer"))?,
                activation_frequency: rows
                    .double(2, row)
                    .ok_or_else(missing("activation_frequency"))?,
                max_activation_value: rows
                    .double(3, row)
                    .ok_or_else(missing("max_activation_value"))?,
                name: text(4).map(|name| value::text(&name, 500)),
                description: text(5).map(std::borrow::Cow::into_owned),
                interpretability_score: rows.double(6, row),
            });
        }
        complete.push(latents);
        Ok(())
    }

    fn end(&mut self, _: &mut Vec<Vec<Latent>>) {}
}
