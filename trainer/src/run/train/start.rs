//! What a training starts from: nothing, or a checkpoint.

use super::keep::part;
use super::places::Places;
use crate::autoencoder::{
    activations::ActivationSource,
    checkpoint::{self, State},
    mixing_buffer::Cursor,
    normalization::{Estimate, Normalization},
    parameters::{Parameters, Shape},
    precision::product_kind,
    training::Training,
};
use crate::random_order::RandomOrder;
use crate::run::failure::RunError;
use crate::run::model_activations::ModelActivations;
use crate::run::{Run, course::checked};
use std::path::Path;
use tch::{Device, Kind, TchError};
use trainmaster_domain::hyperparameters::{HookSite, Hyperparameters};
use trainmaster_domain::run::spec::ResumeFrom;

/// Bounds of the mixing buffer, in activations of each stream, where the hyperparameters do not say.
const SMALLEST_BUFFER: u64 = 16_384;
const LARGEST_BUFFER: u64 = 262_144;
const BUFFER_BATCHES: u64 = 16;

/// The part of a run's memory that the mixing buffer may take.
const BUFFER_PART: u64 = 4;

/// A training that begins: the normalisation is estimated, the weights are made, for each place.
///
/// # Errors
/// The source's, or that there is no memory for it.
pub(super) fn begin(
    run: &Run,
    hyperparameters: &Hyperparameters,
    source: &mut ModelActivations,
    device: Device,
) -> Result<Vec<(State, Training)>, RunError> {
    let order = RandomOrder::new(hyperparameters.seed, source.passes());
    let estimates = Normalization::estimate(source, &order, &mut |_| run.life.progress())?;
    let passes_per_block = passes_per_block(
        hyperparameters,
        source,
        run.spec.resources.memory_limit_bytes,
    );
    let kind = product_kind(hyperparameters.precision, device)
        .map_err(|error| RunError::of_libtorch("trying the device", &error))?;
    let places = source.places().clone();
    let begun = (0..places.sites.len()).map(|at| {
        let streams = places.streams_of(at);
        let (Some(input), Some(target)) = (
            estimates.get(streams.input),
            estimates.get(streams.target.unwrap_or(streams.input)),
        ) else {
            return Err(RunError::Internal {
                what: "a place has no activations".into(),
            });
        };
        let d = source.width();
        let shape = Shape::of(hyperparameters, places.encoder_type, d, d);
        let training = new_training(hyperparameters, shape, kind, input, target)
            .map_err(|error| RunError::of_libtorch("making the autoencoder", &error))?;
        let state = State {
            format: State::FORMAT,
            step: 0,
            encoder_type: shape.encoder_type,
            d_in: shape.d_in,
            d_out: shape.d_out,
            d_sae: shape.d_sae,
            seed: hyperparameters.seed,
            passes: source.passes(),
            passes_per_block,
            held_out_sequences: source.held_out(),
            cursor: Cursor::default(),
            normalization: input.normalization,
            target_normalization: streams.target.map(|_| target.normalization),
            bf16: kind == Kind::BFloat16,
        };
        Ok((state, training))
    });
    begun.collect()
}

fn new_training(
    hyperparameters: &Hyperparameters,
    shape: Shape,
    kind: Kind,
    input: &Estimate,
    target: &Estimate,
) -> Result<Training, TchError> {
    let parameters = Parameters::initial(shape, hyperparameters, &input.mean, &target.mean)?;
    Training::new(hyperparameters, parameters, kind)
}

/// A training as a checkpoint left it, for each place, once its hash and its shapes have been checked.
///
/// # Errors
/// [`RunError`] of what is altered, missing, or does not fit.
pub(super) fn resume(
    from: &ResumeFrom,
    hyperparameters: &Hyperparameters,
    source: &ModelActivations,
    device: Device,
) -> Result<Vec<(State, Training)>, RunError> {
    let directory = checked(from)?;
    let places = source.places();
    let loaded = places.sites.iter().map(|place| {
        let directory = part(directory, &places.sites, place);
        let state = checkpoint::read_state(&directory)?;
        fits(&directory, &state, place, hyperparameters, source, places)?;
        let training = checkpoint::load(&directory, &state, hyperparameters, device)?;
        Ok((state, training))
    });
    loaded.collect()
}

fn fits(
    directory: &Path,
    state: &State,
    place: &HookSite,
    hyperparameters: &Hyperparameters,
    source: &ModelActivations,
    places: &Places,
) -> Result<(), RunError> {
    let width = source.width();
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    for (what, checkpoint, now) in [
        ("activations of width", state.d_in, width),
        (
            "latents",
            state.d_sae,
            width * i64::from(hyperparameters.expansion_factor),
        ),
        (
            "passes over its dataset",
            count(state.passes),
            count(source.passes()),
        ),
        (
            "held-out sequences",
            count(state.held_out_sequences),
            count(source.held_out()),
        ),
    ] {
        if checkpoint != now {
            return Err(RunError::ShapeMismatch {
                what: format!(
                    "{} is of a training with {what} {checkpoint}, and now there are {now}: resume with the model, dataset, \
                     expansionFactor and evaluationTokens that it began with",
                    directory.display()
                ),
            });
        }
    }
    if state.encoder_type != places.encoder_type {
        return Err(RunError::ShapeMismatch {
            what: format!(
                "{} is of encoder type {}, and {} is to be trained at {}: resume with the encoder type that it began with",
                directory.display(),
                state.encoder_type.as_str(),
                places.encoder_type.as_str(),
                place.name()
            ),
        });
    }
    Ok(())
}

/// Bounded by a quarter of the memory limit for all streams together; without a limit, by 262,144 activations divided among the streams, but
/// 16,384 of each, and two batches in any case. Whole passes are read, so a block has one at least.
fn passes_per_block(
    hyperparameters: &Hyperparameters,
    source: &ModelActivations,
    memory_limit_bytes: Option<u64>,
) -> u64 {
    let batch = u64::from(hyperparameters.batch_size);
    let activations = hyperparameters.buffer_tokens.map_or_else(
        || {
            let fits = memory_limit_bytes.map_or(u64::MAX, |limit| {
                limit / BUFFER_PART / source.bytes_per_activation().max(1)
            });
            let most = LARGEST_BUFFER / source.streams().len().max(1) as u64;
            (batch * BUFFER_BATCHES)
                .clamp(SMALLEST_BUFFER, most.max(SMALLEST_BUFFER))
                .min(fits)
                .max(2 * batch)
        },
        u64::from,
    );
    // One half is served while the other is read.
    (activations / 2)
        .div_ceil(source.activations_per_pass().max(1))
        .clamp(1, source.passes().max(1))
}
