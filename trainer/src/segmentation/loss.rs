//! How wrong a segmentation is.

use super::augmentation::OUTSIDE;
use tch::{Kind, Reduction, TchError, Tensor};

/// Keeps the Dice coefficient of a class that is nowhere from being 0/0.
pub(super) const SMOOTH: f64 = 1e-5;

/// `w · (1 − mean over classes but the background of soft Dice) + (1 − w) · cross-entropy`, a scalar that can be differentiated.
///
/// Soft Dice of a class is `(2 Σ p g + s) / (Σ p + Σ g + s)` over all pixels of the batch, with probabilities p, labels g of 0 or 1 and s = 1e-5:
/// Milletari et al. 2016 (arXiv:1606.04797), with plain sums below as nnU-Net has it. Cross-entropy is a mean over pixels. Pixels
/// labelled [`OUTSIDE`] count in neither.
///
/// Shapes: logits f32 [b, classes, h, w], labels i64 [b, h, w].
///
/// # Errors
/// What libtorch says.
pub fn loss(logits: &Tensor, labels: &Tensor, dice_weight: f64) -> Result<Tensor, TchError> {
    let entropy =
        logits.f_cross_entropy_loss(labels, None::<Tensor>, Reduction::Mean, OUTSIDE, 0.0)?;
    if dice_weight == 0.0 {
        return Ok(entropy);
    }
    let dice = soft_dice(logits, labels)?;
    let wrong = dice.f_mul_scalar(-dice_weight)?.f_add_scalar(dice_weight)?;
    entropy.f_mul_scalar(1.0 - dice_weight)?.f_add(&wrong)
}

/// The mean over classes but the background of soft Dice: a scalar.
///
/// # Errors
/// What libtorch says.
pub fn soft_dice(logits: &Tensor, labels: &Tensor) -> Result<Tensor, TchError> {
    let classes = logits.size()[1];
    let inside = labels.f_ne(OUTSIDE)?.f_unsqueeze(1)?;
    let p = logits.f_softmax(1, Kind::Float)?.f_mul(&inside)?;
    let g = one_hot(labels, classes)?;
    let over = [0i64, 2, 3];
    let both = p
        .f_mul(&g)?
        .f_sum_dim_intlist(over.as_slice(), false, Kind::Float)?;
    let sum = p
        .f_add(&g)?
        .f_sum_dim_intlist(over.as_slice(), false, Kind::Float)?;
    let above = both.f_mul_scalar(2.0)?.f_add_scalar(SMOOTH)?;
    let dice = above.f_div(&sum.f_add_scalar(SMOOTH)?)?;
    dice.f_narrow(0, 1, classes - 1)?.f_mean(Kind::Float)
}

/// f32 [b, classes, h, w]: 1 where a pixel is of a class; 0 everywhere outside.
fn one_hot(labels: &Tensor, classes: i64) -> Result<Tensor, TchError> {
    // A class of its own for what is outside, which is cut off again.
    let shifted = labels.f_add_scalar(-OUTSIDE)?;
    let all = shifted.f_one_hot(classes + 1)?.f_permute([0, 3, 1, 2])?;
    all.f_narrow(1, 1, classes)?.f_to_kind(Kind::Float)
}
