//! How interpretable a feature is, without a language model as a judge: version 1.
//!
//! | component | from | what is asked | at chance |
//! |---|---|---|---|
//! | `example_embedding` | Paulo and Belrose 2025 (arXiv:2507.08473) | are stretches of text where it fires alike, and unlike random ones? | 0.5 |
//! | `following` | the logit lens, on the examples | does it promote the tokens that follow where it fires? | 0.5 |
//! | `output` | Arad, Mueller and Belinkov 2025 (arXiv:2505.20063) | when it is made to fire, does the model say what the logit lens promises? | 0 |
//!
//! The first two are areas under the ROC curve; `evidence` is what lies above chance, doubled. Features that speak of the input and
//! features that act on the output are rarely the same (Arad et al.), so one component is enough: `raw = 1 − Π (1 − evidence)`.
//!
//! What meaningless features get is measured: up to [`PERMUTED`] features are given the examples of others (and, for `output`, the promise
//! of another). With `m` the mean of their `raw`, the score is `(raw − m) / (1 − m)`, and 0 where that is negative.
//!
//! All randomness is seeded; on a CPU the same input gives the same score.

mod auc;
pub mod embedder;
mod evaluate;
mod neutral;

pub use auc::area_under_curve;
pub use embedder::{Context, Embedder};
pub use evaluate::{Evaluated, Evaluator, Lens, ScoreError};

use serde_json::{Value, json};

/// The version of the method.
pub const VERSION: u32 = 1;

/// The names of the components.
pub const COMPONENTS: [&str; 3] = ["example_embedding", "following", "output"];

/// Features whose examples are permuted to learn what no meaning looks like, at most.
pub const PERMUTED: usize = 256;

/// The components of a feature's score; none: there was too little to judge by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Components {
    /// Area under the curve, 0 to 1.
    pub example_embedding: Option<f64>,
    /// Area under the curve, 0 to 1.
    pub following: Option<f64>,
    /// 0 to 1.
    pub output: Option<f64>,
}

impl Components {
    /// All evidence together, 0 to 1; none where the examples do not suffice to compare any.
    #[must_use]
    pub fn raw(&self) -> Option<f64> {
        let above_chance = |area: f64| (2.0 * area - 1.0).max(0.0);
        let embedding = above_chance(self.example_embedding?);
        let following = self.following.map_or(0.0, above_chance);
        let output = self.output.unwrap_or(0.0);
        Some(1.0 - (1.0 - embedding) * (1.0 - following) * (1.0 - output))
    }

    /// As a JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let values = [self.example_embedding, self.following, self.output];
        let mut object = json!({});
        for (name, value) in COMPONENTS.iter().zip(values) {
            if let Some(value) = value {
                object[*name] = json!(four_digits(value));
            }
        }
        if let Some(raw) = self.raw() {
            object["raw"] = json!(four_digits(raw));
        }
        object
    }
}

/// Rounded to four decimals.
#[must_use]
pub fn four_digits(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// What meaningless features get, before it is taken off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calibration {
    /// Mean of their `raw`.
    pub mean: f64,
    /// Their 95th percentile.
    pub p95: f64,
}

impl Calibration {
    /// Of the `raw` of permuted features.
    #[must_use]
    pub fn new(mut raw: Vec<f64>) -> Self {
        if raw.is_empty() {
            return Self::default();
        }
        raw.sort_by(f64::total_cmp);
        let at = (0.95 * (raw.len() - 1) as f64).round() as usize;
        Self {
            mean: raw.iter().sum::<f64>() / raw.len() as f64,
            p95: raw[at],
        }
    }

    /// The score of a feature: 0 for what is no better than meaningless, 1 for the best there can be.
    #[must_use]
    pub fn score(&self, raw: f64) -> f64 {
        ((raw - self.mean) / (1.0 - self.mean).max(1e-3)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_component_is_enough_and_chance_is_none() {
        let chance = Components {
            example_embedding: Some(0.5),
            following: Some(0.4),
            output: Some(0.0),
        };
        assert_eq!(chance.raw(), Some(0.0));
        let speaks = Components {
            output: Some(0.9),
            ..chance
        };
        assert!((speaks.raw().unwrap() - 0.9).abs() < 1e-12);
        assert_eq!(Components::default().raw(), None);
    }

    #[test]
    fn what_permuted_features_get_is_taken_off() {
        let calibration = Calibration::new(vec![0.1, 0.3]);
        assert!((calibration.mean - 0.2).abs() < 1e-12);
        assert!(calibration.score(0.2).abs() < 1e-12);
        assert!((calibration.score(0.6) - 0.5).abs() < 1e-12);
        assert_eq!(calibration.score(0.1), 0.0);
        assert_eq!(calibration.score(1.0), 1.0);
    }
}
