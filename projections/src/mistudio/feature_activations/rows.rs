//! Rows of `activations.parquet` become rows of the table, cut where the partition changes.

use crate::{
    artifact::{Batch, Cut},
    copy::Rows,
    value,
};
use chrono::{DateTime, Utc};
use parquet::basic::Type;
use std::collections::HashMap;
use trainmaster_domain::job::FEATURES_PER_PARTITION;

/// A piece is given away when it is so long: one is written by one transaction.
const PIECE_BYTES: usize = 4 << 20;

/// The columns of the table, in the order in which rows are written.
pub(super) const WRITTEN: &str = "id, feature_id, dataset_sample_id, sample_index, tokens, activations, max_activation, \
                                  context_before, context_after, created_at";

pub(crate) const COLUMNS: &[(&str, Type)] = &[
    ("neuron_index", Type::INT32),
    ("dataset_sample_id", Type::BYTE_ARRAY),
    ("sample_index", Type::INT32),
    ("tokens", Type::BYTE_ARRAY),
    ("activations", Type::BYTE_ARRAY),
    ("max_activation", Type::DOUBLE),
    ("context_before", Type::BYTE_ARRAY),
    ("context_after", Type::BYTE_ARRAY),
];

/// Rows of one partition.
pub(crate) struct Piece {
    /// The first feature id of the partition.
    pub(super) partition: i64,
    pub(super) rows: Rows,
}

/// Gives rows their ids and encodes them.
pub(crate) struct Encode {
    /// The features of the training, by latent.
    features: HashMap<i32, i64>,
    next_id: i64,
    latents: i64,
    latent: i32,
    created_at: DateTime<Utc>,
    piece: Option<Piece>,
}

impl Encode {
    pub(crate) fn new(
        features: HashMap<i32, i64>,
        latents: i64,
        first_id: i64,
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            features,
            next_id: first_id,
            latents,
            latent: 0,
            created_at: at,
            piece: None,
        }
    }

    /// The piece that a row of a feature goes to.
    fn piece(&mut self, feature_id: i64, complete: &mut Vec<Piece>) -> &mut Rows {
        let partition = feature_id - feature_id.rem_euclid(FEATURES_PER_PARTITION);
        let fits = |piece: &Piece| piece.partition == partition && piece.rows.bytes() < PIECE_BYTES;
        if !self.piece.as_ref().is_some_and(fits) {
            complete.extend(self.piece.take());
        }
        &mut self
            .piece
            .get_or_insert_with(|| Piece {
                partition,
                rows: Rows::new(10),
            })
            .rows
    }
}

impl Cut for Encode {
    type Piece = Piece;

    fn take(&mut self, batch: &Batch, complete: &mut Vec<Piece>) -> Result<(), String> {
        for row in 0..batch.rows {
            let missing = |column| move || format!("a row has no {column}");
            let id = self.next_id;
            self.next_id += 1;
            let latent = batch.integer(0, row).ok_or_else(missing("neuron_index"))?;
            if latent < self.latent || i64::from(latent) >= self.latents {
                return Err(format!(
                    "latent {latent} is out of order or not one of {}",
                    self.latents
                ));
            }
            self.latent = latent;
            let feature_id = *self
                .features
                .get(&latent)
                .ok_or_else(|| format!("latent {latent} is not among the training's features"))?;
            let tokens = batch.text(3, row).ok_or_else(missing("tokens"))?;
            let activations = batch.text(4, row).ok_or_else(missing("activations"))?;
            let max_activation = batch.double(5, row).ok_or_else(missing("max_activation"))?;
            let text = |column| batch.text(column, row).map(value::utf8);
            let created_at = self.created_at;
            let rows = self.piece(feature_id, complete);
            rows.begin_row();
            rows.bigint(id);
            rows.bigint(feature_id);
            rows.text(text(1).map(|id| value::text(&id, 255)).as_deref());
            rows.integer(batch.integer(2, row));
            rows.jsonb(&value::json(tokens));
            rows.jsonb(&value::json(activations));
            rows.double(Some(max_activation));
            rows.text(text(6).as_deref());
            rows.text(text(7).as_deref());
            rows.time(Some(created_at));
        }
        Ok(())
    }

    fn end(&mut self, complete: &mut Vec<Piece>) {
        complete.extend(self.piece.take());
    }
}
