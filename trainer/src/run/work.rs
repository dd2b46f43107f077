//! The kinds of work.

use super::failure::RunError;
use super::{Run, model_activations::ModelActivations};
use trainmaster_domain::run::spec::Work;

/// Does the work of a run's spec.
///
/// # Errors
/// [`RunError`]: the run ends without a result.
pub(super) fn work(run: &mut Run) -> Result<(), RunError> {
    match run.spec.work.clone() {
        Work::InspectModel(_) | Work::PrepareDataset(_) => Err(RunError::Unsupported {
            what: "not yet".into(),
        }),
        Work::Train(train) => {
            run.say_progress("loading", 0.0)?;
            let mut source = ModelActivations::open(&train, &run.spec.resources)?;
            let provenance = source.provenance(&train);
            super::train(run, &train, &mut source, provenance)
        }
    }
}
