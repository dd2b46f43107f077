//! What a training starts from: nothing, or a checkpoint.

use crate::autoencoder::{
    activations::ActivationSource,
    checkpoint::{self, State},
    mixing_buffer::Cursor,
    normalization::Normalization,
    parameters::{Parameters, Shape},
    precision::product_kind,
    sequence_order::SequenceOrder,
    training::Training,
};
use crate::run::failure::RunError;
use crate::run::{Run, durable};
use std::path::Path;
use tch::{Device, Kind, TchError};
use trainmaster_domain::hyperparameters::Hyperparameters;
use trainmaster_domain::run::spec::ResumeFrom;
use trainmaster_domain::training::EncoderType;

/// Bounds of the mixing buffer, in activations, where the hyperparameters do not say.
const SMALLEST_BUFFER: u64 = 16_384;
const LARGEST_BUFFER: u64 = 262_144;
const BUFFER_BATCHES: u64 = 16;

/// A training that begins: the normalisation is estimated, the weights are made.
///
/// # Errors
/// The source's, or that there is no memory for it.
pub(super) fn begin(
    run: &Run,
    hyperparameters: &Hyperparameters,
    source: &mut dyn ActivationSource,
    device: Device,
) -> Result<(State, Training), RunError> {
    let sequences = source.sequences();
    let order = SequenceOrder::new(hyperparameters.seed, sequences);
    let (normalization, mean) =
        Normalization::estimate(source, &order, &mut |_| run.life.progress())?;
    let d_in = source.width();
    let shape = Shape::of(hyperparameters, EncoderType::Sparse, d_in, d_in);
    let make = || -> Result<(Kind, Training), TchError> {
        let kind = product_kind(hyperparameters.precision, device)?;
        let parameters = Parameters::initial(shape, hyperparameters, &mean, &mean)?;
        Ok((kind, Training::new(hyperparameters, parameters, kind)?))
    };
    let (kind, training) =
        make().map_err(|error| RunError::of_libtorch("making the autoencoder", &error))?;
    let state = State {
        format: State::FORMAT,
        step: 0,
        encoder_type: shape.encoder_type,
        d_in,
        d_out: shape.d_out,
        d_sae: shape.d_sae,
        seed: hyperparameters.seed,
        sequences,
        sequences_per_block: sequences_per_block(
            hyperparameters,
            source,
            run.spec.resources.memory_limit_bytes,
        ),
        cursor: Cursor::default(),
        normalization,
        bf16: kind == Kind::BFloat16,
    };
    Ok((state, training))
}

/// A training as a checkpoint left it, once its hash and its shapes have been checked.
///
/// # Errors
/// [`RunError`] of what is altered, missing, or does not fit.
pub(super) fn resume(
    from: &ResumeFrom,
    hyperparameters: &Hyperparameters,
    source: &dyn ActivationSource,
    device: Device,
) -> Result<(State, Training), RunError> {
    let directory = Path::new(&from.path);
    let found = durable::contents(directory)?.sha256;
    if found != from.sha256 {
        return Err(RunError::FileAltered {
            path: directory.to_owned(),
            found,
            announced: from.sha256.clone(),
        });
    }
    let state = checkpoint::read_state(directory)?;
    let width = source.width();
    for (what, checkpoint, now) in [
        ("activations of width", state.d_in, width),
        (
            "latents",
            state.d_sae,
            width * i64::from(hyperparameters.expansion_factor),
        ),
        (
            "sequences",
            state.sequences as i64,
            source.sequences() as i64,
        ),
    ] {
        if checkpoint != now {
            return Err(RunError::ShapeMismatch {
                what: format!(
                    "{} is of a training with {what} {checkpoint}, and now there are {now}: resume with the model, dataset and \
                     expansionFactor that it began with",
                    directory.display()
                ),
            });
        }
    }
    let training = checkpoint::load(directory, &state, hyperparameters, device)?;
    Ok((state, training))
}

fn sequences_per_block(
    hyperparameters: &Hyperparameters,
    source: &dyn ActivationSource,
    memory_limit_bytes: Option<u64>,
) -> u64 {
    let batch = u64::from(hyperparameters.batch_size);
    let activations = hyperparameters.buffer_tokens.map_or_else(
        || {
            let fits = memory_limit_bytes.map_or(u64::MAX, |limit| {
                limit / 4 / (4 * source.width().max(1) as u64)
            });
            (batch * BUFFER_BATCHES)
                .clamp(SMALLEST_BUFFER, LARGEST_BUFFER)
                .min(fits)
                .max(2 * batch)
        },
        u64::from,
    );
    // One half is served while the other is read.
    (activations / 2)
        .div_ceil(source.activations_per_sequence().max(1))
        .clamp(1, source.sequences())
}
