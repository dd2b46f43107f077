//! How well a batch is reconstructed.

use tch::{Kind, TchError, Tensor};

/// The fraction of a batch's variance that a reconstruction explains, `1 − E‖x − x̂‖² / (E‖x‖² − ‖E x‖²)`, from the reconstruction
/// loss (E‖x − x̂‖²) and the batch (f32 [b, d]); in f64. 0 for a batch that does not vary.
///
/// # Errors
/// What libtorch says.
pub fn explained_variance(batch: &Tensor, reconstruction: f64) -> Result<f64, TchError> {
    let b = batch.size2()?.0 as f64;
    let batch = batch.f_to_kind(Kind::Double)?;
    let square = batch.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])? / b;
    let mean = batch.f_mean_dim([0i64].as_slice(), false, Kind::Double)?;
    let mean_square = mean.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?;
    let variance = square - mean_square;
    Ok(if variance > 0.0 {
        1.0 - reconstruction / variance
    } else {
        0.0
    })
}
