//! Training a network that segments images, from a spec to a result.

use super::course::{self, Course, Learner, Plan, Stepped};
use super::durable::{self, Contents};
use super::failure::RunError;
use super::life::{Life, Next};
use super::metrics::{Measured, Row};
use super::{Run, device};
use crate::segmentation::{
    checkpoint::{self, State},
    listing::{Pair, pairs},
    model::{self, Config},
    quality::Quality,
    slices::Slices,
    split::split,
    training::{Samples, Training},
    unet::Shape,
};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tch::{Device, TchError};
use trainmaster_domain::run::journal::{Record, TrainingStarted};
use trainmaster_domain::run::spec::TrainSegmentation;
use trainmaster_domain::segmentation::SegmentationSettings;

/// What learns, and what it learns from. Memory: a few times the weights, what libtorch needs for a batch, and an index of the slices.
struct Segmenter<'a> {
    settings: &'a SegmentationSettings,
    slices: Slices,
    samples: Samples,
    training: Training,
    config: Config,
    /// Files that are held out.
    held_out: Vec<usize>,
    device: Device,
}

/// Trains to the end, or until asked otherwise; what happened is in the journal then.
///
/// # Errors
/// [`RunError`]: the run ends without a result.
pub(super) fn segment(run: &mut Run, train: &TrainSegmentation) -> Result<(), RunError> {
    let settings = &train.settings;
    settings.validate().map_err(|error| RunError::Unsupported {
        what: error.to_string(),
    })?;
    course::clean(run);
    let device = device(&run.spec.resources.device)?;
    run.say_progress("loading", 0.0)?;
    let files = pairs(Path::new(&train.images_path), Path::new(&train.labels_path))?;
    let sides = split(files.len(), train.split.as_ref(), settings)?;
    let slices = read(run, &files, settings)?;
    run.say_progress("loading", 100.0)?;

    let shape = Shape {
        channels: slices.channels as i64,
        classes: i64::from(slices.classes),
        base_channels: i64::from(settings.base_channels),
        depth: i64::from(settings.depth),
    };
    let training = match &train.resume_from {
        Some(from) => {
            let directory = course::checked(from)?;
            checkpoint::load(directory, settings, shape, &slices.sha256, device)?
        }
        None => Training::new(settings, shape, device)
            .map_err(|error| RunError::of_libtorch("making the network", &error))?,
    };
    run.say(
        Record::TrainingStarted(TrainingStarted {
            at_step: training.step,
            d_in: None,
            d_sae: None,
        }),
        false,
    )?;
    let plan = Plan {
        steps: u64::from(settings.training_steps),
        log_interval: u64::from(settings.log_interval),
        checkpoint_interval: u64::from(settings.checkpoint_interval),
        result: train
            .result_path
            .as_ref()
            .map_or_else(|| run.directory.join("result"), PathBuf::from),
        resumed_from: train.resume_from.as_ref().map(|from| from.step),
    };
    let unseen = sides.held_out.iter().filter_map(|file| files.get(*file));
    let unseen = unseen.map(|pair| pair.stem.clone()).collect();
    let segmenter = Segmenter {
        samples: Samples::new(&slices, &sides.training, settings.seed),
        config: Config::new(shape, settings.patch_size, 0, &slices.sha256, unseen),
        held_out: sides.held_out,
        settings,
        slices,
        training,
        device,
    };
    Course::new(run, segmenter, plan).go_on()
}

/// Reads all images. A pause waits until that is done: there is nothing to keep before.
fn read(run: &Run, files: &[Pair], settings: &SegmentationSettings) -> Result<Slices, RunError> {
    let read = Slices::read(files, settings.classes, &run.directory, &mut |_| {
        run.life.progress();
        match run.life.heard() {
            Next::Leave => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    run.still_ours()?;
    Ok(read?)
}

fn not_finite(step: u64) -> RunError {
    RunError::LossNotFinite {
        step,
        advice: "lower learningRate or raise warmupSteps, and start again",
    }
}

impl Learner for Segmenter<'_> {
    fn step(
        &mut self,
        step: u64,
        recorded: bool,
        _life: &Life,
    ) -> Result<ControlFlow<(), Stepped>, RunError> {
        let batch = self
            .samples
            .batch(&self.slices, self.settings, step, self.device)?;
        let done = self
            .training
            .step(&batch, recorded)
            .map_err(|error| RunError::of_libtorch("training", &error))?;
        if !done.loss.is_finite() {
            return Err(not_finite(step));
        }
        Ok(ControlFlow::Continue(Stepped {
            loss: done.loss,
            row: done.dice.map(|dice| Row {
                step,
                loss: done.loss,
                learning_rate: done.learning_rate,
                measured: Measured::Segmentation { dice },
            }),
            samples: u64::from(self.settings.batch_size),
        }))
    }

    fn weights_are_finite(&self) -> Result<(), RunError> {
        match self.training.network.is_finite() {
            Ok(true) => Ok(()),
            Ok(false) => Err(not_finite(self.training.step)),
            Err(error) => Err(RunError::of_libtorch("looking at the weights", &error)),
        }
    }

    fn checkpoint(&mut self, path: &Path, _step: u64) -> Result<Contents, RunError> {
        durable::write_directory(path, |directory| {
            let state = State::of(&self.training, self.settings, &self.slices.sha256);
            Ok(checkpoint::save(directory, &state, &self.training)?)
        })
    }

    fn result(&mut self, path: &Path, step: u64) -> Result<Contents, RunError> {
        self.config.steps = step;
        durable::write_directory(path, |directory| {
            Ok(model::save(
                directory,
                &self.training.network,
                &self.config,
            )?)
        })
    }

    fn evaluate(&mut self, step: u64, life: &Life) -> Result<Option<Record>, RunError> {
        let failed = |error: TchError| RunError::of_libtorch("evaluating", &error);
        let windows = self.config.windows(false);
        let mut quality = Quality::new(self.slices.classes as usize);
        for file in &self.held_out {
            for z in 0..self.slices.count(*file) {
                let slice = self.slices.slice(*file, z)?;
                let found = windows
                    .probabilities(&self.training.network, &slice, &mut || {
                        life.progress();
                        match life.heard() {
                            Next::GoOn => ControlFlow::Continue(()),
                            _ => ControlFlow::Break(()),
                        }
                    })
                    .map_err(failed)?;
                let Some(probabilities) = found else {
                    return Ok(None);
                };
                quality.push(&slice, &probabilities).map_err(failed)?;
            }
        }
        let measured =
            (!self.held_out.is_empty()).then(|| quality.found(step, self.settings.dice_weight));
        Ok(measured.map(Record::SegmentationEvaluated))
    }
}
