//! A network that learns to segment: its weights, what the optimizer remembers, and which samples come when.

use super::augmentation::{Augmentation, Patch};
use super::error::SegmentationError;
use super::loss::loss;
use super::overlap::Overlap;
use super::slices::Slices;
use super::unet::{Shape, UNet};
use crate::learning_rate::{Decay, learning_rate};
use crate::optimizer::{Optimizer, Rule, clip};
use crate::random::Random;
use crate::random_order::RandomOrder;
use tch::{Device, TchError, Tensor};
use trainmaster_domain::hyperparameters::Optimizer as Which;
use trainmaster_domain::segmentation::SegmentationSettings;

/// The largest norm of a gradient: nnU-Net's.
const LARGEST_GRADIENT: f64 = 12.0;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Of its batch.
    pub loss: f64,
    /// Mean Dice coefficient of its batch over the classes that are in it, where it is measured; 1 where there is nothing but background, in
    /// labels and segmentation.
    pub dice: Option<f64>,
    /// That was used.
    pub learning_rate: f64,
}

/// A batch: f32 [b, channels, size, size] and i64 [b, size, size].
#[derive(Debug)]
pub struct Batch {
    /// What is seen.
    pub images: Tensor,
    /// What is there.
    pub labels: Tensor,
}

/// Which slices a training sees in which order, and what becomes of them: a function of seed and step.
#[derive(Debug)]
pub struct Samples {
    /// File and slice.
    slices: Vec<(usize, usize)>,
    order: RandomOrder,
}

impl Samples {
    /// All slices of these files, each once before any comes again.
    #[must_use]
    pub fn new(slices: &Slices, files: &[usize], seed: u64) -> Self {
        let all: Vec<(usize, usize)> = files
            .iter()
            .flat_map(|file| (0..slices.count(*file)).map(move |z| (*file, z)))
            .collect();
        Self {
            order: RandomOrder::new(seed, all.len() as u64),
            slices: all,
        }
    }

    /// How many slices there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.slices.len()
    }

    /// The batch of a step, counted from 1. Memory: a slice, and the batch.
    ///
    /// # Errors
    /// [`SegmentationError`]: the slices cannot be read, or there is no memory.
    pub fn batch(
        &self,
        slices: &Slices,
        settings: &SegmentationSettings,
        step: u64,
        device: Device,
    ) -> Result<Batch, SegmentationError> {
        let (count, size) = (settings.batch_size as usize, settings.patch_size as usize);
        let mut images = Vec::with_capacity(count * slices.channels * size * size);
        let mut labels = Vec::with_capacity(count * size * size);
        for n in 0..count {
            let number = (step - 1) * count as u64 + n as u64;
            let patch = self.sample(slices, settings, number)?;
            images.extend(patch.image);
            labels.extend(patch.labels);
        }
        let (b, c, s) = (count as i64, slices.channels as i64, size as i64);
        let images = Tensor::f_from_slice(&images)?.f_view([b, c, s, s])?;
        let labels = Tensor::f_from_slice(&labels)?.f_view([b, s, s])?;
        Ok(Batch {
            images: images.f_to_device(device)?,
            labels: labels.f_to_device(device)?,
        })
    }

    /// Sample number `number` of the training, counted from 0.
    ///
    /// # Errors
    /// [`SegmentationError`]: the slice cannot be read.
    pub fn sample(
        &self,
        slices: &Slices,
        settings: &SegmentationSettings,
        number: u64,
    ) -> Result<Patch, SegmentationError> {
        let at = self.order.at(number) as usize;
        let Some((file, z)) = self.slices.get(at) else {
            return Err(SegmentationError::Empty {
                what: "there are no slices to train on: give it images".into(),
            });
        };
        let slice = slices.slice(*file, *z)?;
        let size = settings.patch_size as usize;
        let mut random = Random::new(settings.seed, "sample", number);
        let drawn = Augmentation::draw(&mut random, &slice, size, settings.augment);
        Ok(drawn.cut(&mut random, &slice, size))
    }
}

/// All that changes from step to step.
#[derive(Debug)]
pub struct Training {
    settings: SegmentationSettings,
    /// The weights.
    pub network: UNet,
    /// The optimizer and its moments.
    pub optimizer: Optimizer,
    /// Steps that are done.
    pub step: u64,
}

impl Training {
    /// A network that has done no step.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(
        settings: &SegmentationSettings,
        shape: Shape,
        device: Device,
    ) -> Result<Self, TchError> {
        Self::of(settings, UNet::initial(shape, settings.seed, device)?, 0)
    }

    /// A network after so many steps, with an optimizer that remembers nothing.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn of(settings: &SegmentationSettings, network: UNet, step: u64) -> Result<Self, TchError> {
        let rule = Rule {
            which: Which::AdamW,
            beta1: 0.9,
            beta2: 0.999,
            weight_decay: settings.weight_decay,
        };
        Ok(Self {
            optimizer: Optimizer::new(rule, &network.flat)?,
            settings: settings.clone(),
            network,
            step,
        })
    }

    /// One step. A loss that is not finite leaves the weights as they were.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn step(&mut self, batch: &Batch, measured: bool) -> Result<Step, TchError> {
        let flat = self.network.flat.f_set_requires_grad(true)?;
        let logits = self.network.forward(&batch.images)?;
        let loss = loss(&logits, &batch.labels, self.settings.dice_weight)?;
        let value = loss.f_double_value(&[])?;
        let step = self.step + 1;
        let learning_rate = learning_rate(
            self.settings.learning_rate,
            u64::from(self.settings.warmup_steps),
            u64::from(self.settings.training_steps),
            Decay::Cosine,
            step,
        );
        let gradient = if value.is_finite() {
            Tensor::f_run_backward(&[&loss], &[&flat], false, false)?.pop()
        } else {
            None
        };
        let _no_grad = tch::no_grad_guard();
        let _ = flat.f_set_requires_grad(false)?;
        if let Some(mut gradient) = gradient {
            clip(&mut gradient, LARGEST_GRADIENT)?;
            self.optimizer
                .step(&self.network.flat, &gradient, learning_rate, step)?;
        }
        self.step = step;
        let dice = match measured {
            true => Some(dice(&logits, &batch.labels)?),
            false => None,
        };
        Ok(Step {
            loss: value,
            dice,
            learning_rate,
        })
    }
}

fn dice(logits: &Tensor, labels: &Tensor) -> Result<f64, TchError> {
    let classes = logits.size()[1];
    let found: Vec<i64> = Vec::try_from(&logits.f_argmax(1, false)?.f_view([-1])?)?;
    let labels: Vec<i64> = Vec::try_from(&labels.f_view([-1])?)?;
    let mut overlap = Overlap::new(classes as usize);
    for (labelled, found) in labels.iter().zip(&found) {
        if let (Ok(labelled), Ok(found)) = (usize::try_from(*labelled), usize::try_from(*found)) {
            overlap.push(labelled, found);
        }
    }
    Ok(overlap.mean_dice().unwrap_or(1.0))
}
