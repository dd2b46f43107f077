//! The kinds of work.

use super::extract::extract;
use super::failure::RunError;
use super::generate::generate;
use super::import_autoencoder::import_autoencoder;
use super::model_activations::ModelActivations;
use super::predict::predict;
use super::prepare_dataset::prepare_dataset;
use super::prepare_model::prepare_model;
use super::segment::segment;
use super::{Run, device, train};
use trainmaster_domain::run::spec::Work;

/// Does the work of a run's spec.
///
/// # Errors
/// [`RunError`]: the run ends without a result.
pub(super) fn work(run: &mut Run) -> Result<(), RunError> {
    match run.spec.work.clone() {
        Work::InspectModel(inspect) => prepare_model(run, &inspect),
        Work::PrepareDataset(prepare) => prepare_dataset(run, &prepare),
        Work::Train(train) => {
            run.say_progress("loading", 0.0)?;
            let device = device(&run.spec.resources.device)?;
            let mut source =
                ModelActivations::open(&train, &run.spec.resources, device, &run.life)?;
            run.say_progress("loading", 50.0)?;
            train::train(run, &train, &mut source)
        }
        Work::ImportAutoencoder(import) => import_autoencoder(run, &import),
        Work::Extract(wanted) => extract(run, &wanted),
        Work::Generate(wanted) => generate(run, &wanted),
        Work::TrainSegmentation(train) => segment(run, &train),
        Work::PredictSegmentation(wanted) => predict(run, &wanted),
    }
}
