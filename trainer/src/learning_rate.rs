//! How the learning rate changes over a training.

/// How it falls after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    /// It does not.
    Constant,
    /// `(1 − done)^power` of its peak, where `done` grows from 0 to 1; a power of 1 is linear.
    Polynomial(f64),
    /// Half a cosine (Loshchilov and Hutter 2017).
    Cosine,
}

/// The learning rate of a step, counted from 1, of so many. It rises linearly over `warmup` steps to its peak, reached at the last of
/// them, and then falls, to arrive at 0 at the last step of the training.
#[must_use]
pub fn learning_rate(peak: f64, warmup: u64, steps: u64, decay: Decay, step: u64) -> f64 {
    if step <= warmup {
        return peak * step as f64 / warmup as f64;
    }
    let decaying = steps.saturating_sub(warmup).max(1);
    // The first step after the warm-up is the first that has fallen, except where it is also the only one.
    let done = (step - warmup).min(decaying);
    let fraction = if decaying == 1 {
        0.0
    } else {
        (done - 1) as f64 / (decaying - 1) as f64
    };
    match decay {
        Decay::Constant => peak,
        Decay::Polynomial(power) => peak * (1.0 - fraction).powf(power),
        Decay::Cosine => peak * 0.5 * (1.0 + (std::f64::consts::PI * fraction).cos()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Decay, learning_rate};

    #[test]
    fn a_power_below_one_falls_late() {
        let rate = |step| learning_rate(0.01, 10, 111, Decay::Polynomial(0.9), step);
        assert!((rate(10) - 0.01).abs() < 1e-12);
        assert!((rate(61) - 0.01 * 0.5f64.powf(0.9)).abs() < 1e-12);
        assert!(rate(111).abs() < 1e-12);
    }
}
