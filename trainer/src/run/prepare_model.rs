//! Fetching a model, looking at it, and having its weights held as they are wanted.

use super::convert_model::convert_model;
use super::failure::RunError;
use super::watched::watched;
use super::{Run, device};
use crate::autoencoder::precision::product_kind;
use crate::hub::{self, Hub};
use crate::language_model::{self, Checkpoint};
use std::path::Path;
use trainmaster_domain::hyperparameters::Precision;
use trainmaster_domain::model::Quantization;
use trainmaster_domain::run::journal::Record;
use trainmaster_domain::run::spec::InspectModel;

/// Fetches the files where they are to be fetched, looks at them, and converts the weights where they are to be held otherwise
/// than they come; each is announced.
///
/// # Errors
/// [`RunError`]: the run ends without a result.
pub(super) fn prepare_model(run: &mut Run, prepare: &InspectModel) -> Result<(), RunError> {
    let path = Path::new(&prepare.model_path);
    if let Some(from) = &prepare.download {
        let fetched = watched(run, "downloading", |watch| {
            hub::fetch_model(&Hub::from_environment()?, from, path, watch)
        })?;
        run.still_ours()?;
        run.say(Record::Downloaded(fetched), true)?;
    }
    run.say_progress("loading", 0.0)?;
    let device = device(&run.spec.resources.device)?;
    let kind = product_kind(Precision::Auto, device)
        .map_err(|error| RunError::of_libtorch("trying the device", &error))?;
    let (family, held) = {
        let checkpoint = Checkpoint::open(path)?;
        let config = checkpoint.config().to_json();
        let family = config["architecture"].as_str().unwrap_or_default();
        (family.to_owned(), checkpoint.quantization())
    };
    let architecture = prepare.architecture.as_deref().unwrap_or(&family);
    let mut found = language_model::inspect(path, architecture, &held, kind)?;
    found.architecture = Some(family.clone());
    found.quantization = quantization_of(&held);
    let conversion = prepare
        .quantization
        .filter(|wanted| !is_held_as(*wanted, &held))
        .zip(prepare.quantized_path.as_deref());
    found.converts_to = conversion.map(|(wanted, _)| wanted);
    run.say(Record::ModelInspected(found), true)?;
    match conversion {
        Some((wanted, output)) => convert_model(run, path, &family, wanted, Path::new(output)),
        None => Ok(()),
    }
}

/// Q8_0 of GGUF is 8-bit integers with a scale for each block, so both of the names for such fit it.
fn is_held_as(wanted: Quantization, held: &str) -> bool {
    wanted.as_str() == held || (wanted == Quantization::Int8 && held == Quantization::Q8.as_str())
}

/// By the name that the product's documents have for it.
fn quantization_of(name: &str) -> Option<Quantization> {
    use Quantization::{Fp16, Fp32, Int8, Q4, Q8};
    [Fp32, Fp16, Int8, Q8, Q4]
        .into_iter()
        .find(|quantization| quantization.as_str() == name)
}
