//! Taking an autoencoder that another program trained.

use super::failure::RunError;
use super::{Run, device, durable};
use crate::autoencoder::{Autoencoder, sae_lens::read_metadata};
use crate::language_model::Checkpoint;
use std::path::Path;
use trainmaster_domain::run::journal::{Finished, Record, TrainingStarted};
use trainmaster_domain::run::spec::ImportAutoencoder;

/// Reads a SAELens directory, checks it against the model that it is for, and keeps it as a training's result: what SAELens did beside the
/// weights is in them then. In memory are at most the file and the weights.
///
/// # Errors
/// [`RunError`]: the run ends without a result.
pub(super) fn import_autoencoder(
    run: &mut Run,
    import: &ImportAutoencoder,
) -> Result<(), RunError> {
    run.say_progress("loading", 0.0)?;
    let source = Path::new(&import.source_path);
    let model = Checkpoint::open(Path::new(&import.model_path))?;
    let width = model.config().hidden_size;
    let autoencoder = Autoencoder::load(source, device(&run.spec.resources.device)?)?;
    let metadata = read_metadata(source)?;
    run.say_progress("loading", 50.0)?;
    for (what, found) in [
        ("reads", autoencoder.d_in()),
        ("writes", autoencoder.d_out()),
    ] {
        if found != width {
            return Err(RunError::ShapeMismatch {
                what: format!(
                    "the autoencoder in {} {what} activations of width {found}, and the model {} has width {width}: name the model that it \
                     was trained on",
                    import.source_path, import.model_path
                ),
            });
        }
    }
    let finite = autoencoder
        .is_finite()
        .map_err(|error| RunError::of_libtorch("looking at the weights", &error))?;
    if !finite {
        return Err(RunError::FileTruncated {
            path: source.to_owned(),
            reason: "there are weights that are not numbers".into(),
        });
    }
    run.say(
        Record::TrainingStarted(TrainingStarted {
            at_step: 0,
            d_in: Some(autoencoder.d_in() as u32),
            d_sae: Some(autoencoder.d_sae() as u32),
        }),
        false,
    )?;
    run.still_ours()?;
    let path = run.directory.join("result");
    let contents = durable::write_directory(&path, |directory| {
        Ok(autoencoder.save_with(directory, metadata)?)
    })?;
    run.life.progress();
    run.say(
        Record::Completed(Finished {
            step: 0,
            path: path.to_string_lossy().into_owned(),
            sha256: contents.sha256,
        }),
        true,
    )
}
