//! Holding a model's weights otherwise, and what that costs.

use super::failure::RunError;
use super::watched::watched;
use super::{Run, device, durable};
use crate::autoencoder::precision::product_kind;
use crate::language_model::{
    self, Checkpoint, LanguageModel, LanguageModelError, LoadOptions, NextTokenLoss,
};
use crate::tokenizer::{Tokenizer, TokenizerError};
use std::ops::ControlFlow;
use std::path::Path;
use tch::{Device, Kind, Tensor};
use trainmaster_domain::hyperparameters::Precision;
use trainmaster_domain::model::Quantization;
use trainmaster_domain::run::journal::{ConversionLoss, ModelQuantized, Record};

/// The beginning of a novel that is in the public domain: about a thousand tokens of what models are made to read.
const PASSAGE: &str = include_str!("convert_model/emma.txt");
const PASSAGE_NAME: &str = "Jane Austen, Emma (1816), the beginning of chapter I";
/// Tokens that a model reads at once, where it can.
const CONTEXT: usize = 256;
/// Parts of the work, in percent: converting, then the losses before and after.
const CONVERTED: f64 = 70.0;
const FIRST_LOSS: f64 = 85.0;

/// Writes the model at `source` into the directory `output`, its weights held as `wanted`, and measures the loss of both.
///
/// # Errors
/// [`RunError`]: the run ends without a result.
pub(super) fn convert_model(
    run: &mut Run,
    source: &Path,
    architecture: &str,
    wanted: Quantization,
    output: &Path,
) -> Result<(), RunError> {
    let checkpoint = Checkpoint::open(source)?;
    let device = device(&run.spec.resources.device)?;
    let mut loss = None;
    durable::write_directory(output, |directory| {
        watched(run, "quantizing", |watch| {
            language_model::quantize(&checkpoint, wanted, directory, &mut |done, all| {
                watch(done as f64 / all.max(1) as f64 * CONVERTED)
            })?;
            if let Some(passage) = passage(source)? {
                let before = loss_of(source, &passage, device, watch, CONVERTED)?;
                let after = loss_of(directory, &passage, device, watch, FIRST_LOSS)?;
                loss = measured(before, after);
            }
            Ok::<_, RunError>(())
        })?;
        run.still_ours()
    })?;
    let kind = product_kind(Precision::Auto, device)
        .map_err(|error| RunError::of_libtorch("trying the device", &error))?;
    let found = language_model::inspect(output, architecture, wanted.as_str(), kind)?;
    run.say(
        Record::ModelQuantized(ModelQuantized {
            quantized_path: output.to_string_lossy().into_owned(),
            disk_size_bytes: found.disk_size_bytes,
            memory_required_bytes: found.memory_required_bytes,
            loss,
        }),
        true,
    )
}

/// The passage as sequences of tokens; none where the model has no tokenizer.
fn passage(model: &Path) -> Result<Option<Vec<Vec<i64>>>, RunError> {
    let tokenizer = match Tokenizer::open(model) {
        Ok(tokenizer) => tokenizer,
        Err(TokenizerError::FileMissing { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let longest = Checkpoint::open(model)?.config().max_position_embeddings;
    let context = usize::try_from(longest)
        .ok()
        .filter(|longest| *longest > 1)
        .map_or(CONTEXT, |longest| CONTEXT.min(longest));
    let bos = tokenizer.bos().map(i64::from);
    let room = (context - usize::from(bos.is_some())).max(1);
    let begun = |part: &[u32]| -> Vec<i64> {
        let ids = part.iter().map(|id| i64::from(*id));
        bos.into_iter().chain(ids).collect()
    };
    let ids = tokenizer.encode(PASSAGE)?;
    let mut sequences: Vec<Vec<i64>> = ids.chunks(room).map(begun).collect();
    // A token alone has nothing to be predicted from.
    sequences.retain(|sequence| sequence.len() > 1);
    Ok(Some(sequences))
}

/// None where a loss is no number, so that there is nothing to compare.
fn measured(before: NextTokenLoss, after: NextTokenLoss) -> Option<ConversionLoss> {
    let loss = ConversionLoss {
        before: before.mean(),
        after: after.mean(),
        evaluated_on: PASSAGE_NAME.to_owned(),
        tokens: before.tokens,
    };
    (loss.before.is_finite() && loss.after.is_finite()).then_some(loss)
}

/// The loss of the passage's tokens. Products are computed in f32 both times, so that the weights make the difference.
fn loss_of(
    model: &Path,
    passage: &[Vec<i64>],
    device: Device,
    watch: &mut dyn FnMut(f64) -> ControlFlow<()>,
    percent: f64,
) -> Result<NextTokenLoss, RunError> {
    let options = LoadOptions {
        device,
        kind: Kind::Float,
        layers: None,
    };
    let model = LanguageModel::load(model, options, &mut |_, _| watch(percent))?;
    let mut all = NextTokenLoss::default();
    for sequence in passage {
        if watch(percent).is_break() {
            return Err(LanguageModelError::Cancelled.into());
        }
        let tokens = Tensor::f_from_slice(sequence)
            .and_then(|tokens| tokens.f_view([1, -1]))
            .and_then(|tokens| tokens.f_to_device(device))
            .map_err(|error| RunError::of_libtorch("holding the passage", &error))?;
        all = all.and(model.cross_entropy(&tokens, None, &mut |_, _| Ok(None))?);
    }
    Ok(all)
}
