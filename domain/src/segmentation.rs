//! How a network that segments images is trained.

use crate::hyperparameters::InvalidHyperparameter;
use serde::{Deserialize, Serialize};

/// Settings of a segmentation training, named in JSON in camelCase. An unknown name is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SegmentationSettings {
    /// Classes, the background (0) included; none: the largest label and one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<u32>,
    /// Steps of `batchSize` images.
    pub training_steps: u32,
    /// Images (slices of volumes) in a step.
    pub batch_size: u32,
    /// Height and width, in pixels, of the part of an image that a step sees.
    pub patch_size: u32,
    /// Channels of the first level of the U-Net (Ronneberger et al. 2015, arXiv:1505.04597); each level below has twice as many.
    pub base_channels: u32,
    /// Levels below the first.
    pub depth: u32,
    /// Peak learning rate of AdamW.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Steps over which the learning rate rises linearly from 0; then it falls along a half cosine.
    pub warmup_steps: u32,
    /// Share of the Dice loss in the loss; the rest is cross-entropy.
    pub dice_weight: f64,
    /// Whether images are flipped, turned, scaled and changed in brightness, contrast and noise.
    pub augment: bool,
    /// Fraction of the images that is held out where there is no cross-validation.
    pub held_out: f64,
    /// Seed of initialisation, order, augmentation and held-out images.
    pub seed: u64,
    /// Metrics are recorded every so many steps (and at the first and last).
    pub log_interval: u32,
    /// A checkpoint is saved, and held-out images are measured, every so many steps (and at the last).
    pub checkpoint_interval: u32,
}

impl Default for SegmentationSettings {
    fn default() -> Self {
        Self {
            classes: None,
            training_steps: 2_000,
            batch_size: 8,
            patch_size: 128,
            base_channels: 16,
            depth: 3,
            learning_rate: 1e-3,
            weight_decay: 1e-2,
            warmup_steps: 100,
            dice_weight: 0.5,
            augment: true,
            held_out: 0.2,
            seed: 42,
            log_interval: 10,
            checkpoint_interval: 200,
        }
    }
}

impl SegmentationSettings {
    /// Checks every range.
    ///
    /// # Errors
    /// The first value that is out of it.
    pub fn validate(&self) -> Result<(), InvalidHyperparameter> {
        let bad = |name, must, given: String| Err(InvalidHyperparameter { name, must, given });
        if let Some(classes) = self.classes.filter(|classes| !(2..=255).contains(classes)) {
            return bad("classes", "2 to 255", classes.to_string());
        }
        if self.training_steps == 0 || self.training_steps > 100_000_000 {
            return bad(
                "trainingSteps",
                "1 to 100,000,000",
                self.training_steps.to_string(),
            );
        }
        if !(1..=1_024).contains(&self.batch_size) {
            return bad("batchSize", "1 to 1,024", self.batch_size.to_string());
        }
        if !(1..=6).contains(&self.depth) {
            return bad("depth", "1 to 6", self.depth.to_string());
        }
        let multiple = 1_u32 << self.depth;
        if !(16..=2_048).contains(&self.patch_size) || !self.patch_size.is_multiple_of(multiple) {
            return bad(
                "patchSize",
                "16 to 2,048 and a multiple of 2 to the power of depth",
                self.patch_size.to_string(),
            );
        }
        if !(1..=256).contains(&self.base_channels) {
            return bad("baseChannels", "1 to 256", self.base_channels.to_string());
        }
        if !(self.learning_rate > 0.0 && self.learning_rate <= 1.0) {
            return bad(
                "learningRate",
                "above 0 and at most 1",
                self.learning_rate.to_string(),
            );
        }
        if !(0.0..=1.0).contains(&self.weight_decay) {
            return bad("weightDecay", "0 to 1", self.weight_decay.to_string());
        }
        if !(0.0..=1.0).contains(&self.dice_weight) {
            return bad("diceWeight", "0 to 1", self.dice_weight.to_string());
        }
        if !(0.0..=0.9).contains(&self.held_out) {
            return bad("heldOut", "0 to 0.9", self.held_out.to_string());
        }
        if self.log_interval == 0 {
            return bad("logInterval", "at least 1", "0".to_owned());
        }
        if self.checkpoint_interval == 0 {
            return bad("checkpointInterval", "at least 1", "0".to_owned());
        }
        Ok(())
    }
}

/// Which part of the images is held out: fold `index` of `folds`, whole files at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The fold that is held out, counted from 0.
    pub index: u16,
    /// Into how many parts the files are dealt.
    pub folds: u16,
    /// Seed of the dealing; the same for all folds of a cross-validation.
    pub seed: u64,
}
