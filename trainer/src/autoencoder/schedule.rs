//! How the learning rate and the weight of the sparsity loss change over a training.

use crate::learning_rate::{self, Decay};
use trainmaster_domain::hyperparameters::{Hyperparameters, LrSchedule};

/// The learning rate of a step, counted from 1. It rises linearly over `warmupSteps` to its peak, reached at the last of them,
/// and then follows the schedule, which at the last step of the training arrives at 0 (constant: stays).
#[must_use]
pub fn learning_rate(hyperparameters: &Hyperparameters, step: u64) -> f64 {
    let decay = match hyperparameters.lr_schedule {
        LrSchedule::Constant => Decay::Constant,
        LrSchedule::Linear => Decay::Polynomial(1.0),
        LrSchedule::Cosine => Decay::Cosine,
    };
    learning_rate::learning_rate(
        hyperparameters.learning_rate,
        u64::from(hyperparameters.warmup_steps),
        u64::from(hyperparameters.training_steps),
        decay,
        step,
    )
}

/// λ of a step, counted from 1: rises linearly over `sparsityWarmupSteps` (none: a twentieth of `trainingSteps`).
#[must_use]
pub fn sparsity_coefficient(hyperparameters: &Hyperparameters, step: u64) -> f64 {
    let warmup = hyperparameters
        .sparsity_warmup_steps
        .unwrap_or(hyperparameters.training_steps / 20);
    if warmup == 0 || step >= u64::from(warmup) {
        hyperparameters.l1_coefficient
    } else {
        hyperparameters.l1_coefficient * step as f64 / f64::from(warmup)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(lr_schedule: LrSchedule, warmup_steps: u32) -> Hyperparameters {
        Hyperparameters {
            learning_rate: 0.01,
            training_steps: 110,
            lr_schedule,
            warmup_steps,
            ..Hyperparameters::default()
        }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn the_learning_rate_rises_linearly_and_peaks_at_the_last_step_of_the_warm_up() {
        for schedule in [LrSchedule::Constant, LrSchedule::Linear, LrSchedule::Cosine] {
            let h = with(schedule, 10);
            for step in 1..=10 {
                assert!(close(learning_rate(&h, step), 0.001 * step as f64));
            }
            assert!(close(learning_rate(&h, 11), 0.01));
        }
    }

    #[test]
    fn constant_stays_linear_and_cosine_fall_to_nothing_at_the_last_step() {
        assert!(close(
            learning_rate(&with(LrSchedule::Constant, 10), 110),
            0.01
        ));
        assert!(close(
            learning_rate(&with(LrSchedule::Linear, 10), 110),
            0.0
        ));
        assert!(close(
            learning_rate(&with(LrSchedule::Cosine, 10), 110),
            0.0
        ));
        // 100 decaying steps: 11 is the first of them, 110 the last, so a third of the way is step 44.
        assert!(close(
            learning_rate(&with(LrSchedule::Linear, 10), 44),
            0.01 * 2.0 / 3.0
        ));
        assert!(close(
            learning_rate(&with(LrSchedule::Cosine, 10), 44),
            0.01 * 0.75
        ));
    }

    #[test]
    fn a_training_of_one_step_learns() {
        for schedule in [LrSchedule::Constant, LrSchedule::Linear, LrSchedule::Cosine] {
            let h = Hyperparameters {
                training_steps: 1,
                ..with(schedule, 0)
            };
            assert!(close(learning_rate(&h, 1), 0.01));
        }
    }

    #[test]
    fn the_sparsity_loss_is_warmed_up_over_a_twentieth_of_the_steps_unless_said_otherwise() {
        let mut h = with(LrSchedule::Constant, 0);
        h.l1_coefficient = 5.0;
        assert!(close(sparsity_coefficient(&h, 1), 1.0));
        assert!(close(sparsity_coefficient(&h, 5), 5.0));
        h.sparsity_warmup_steps = Some(0);
        assert!(close(sparsity_coefficient(&h, 1), 5.0));
        h.sparsity_warmup_steps = Some(10);
        assert!(close(sparsity_coefficient(&h, 5), 2.5));
    }
}
