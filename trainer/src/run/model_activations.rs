//! Activations of a language model.

use super::failure::RunError;
use crate::autoencoder::{
    activations::{ActivationError, ActivationSource},
    sae_lens::Provenance,
};
use tch::Tensor;
use trainmaster_domain::run::spec::{Resources, Train};

pub(super) struct ModelActivations;

impl ModelActivations {
    pub(super) fn open(_train: &Train, _resources: &Resources) -> Result<Self, RunError> {
        Err(RunError::Unsupported {
            what: "not yet".into(),
        })
    }
    pub(super) fn provenance(&self, train: &Train) -> Provenance {
        Provenance {
            model_name: train.model_name.clone(),
            hook_name: String::new(),
            hf_hook_name: String::new(),
            context_size: 0,
            prepend_bos: true,
        }
    }
}

impl ActivationSource for ModelActivations {
    fn width(&self) -> i64 {
        0
    }
    fn sequences(&self) -> u64 {
        0
    }
    fn activations_per_sequence(&self) -> u64 {
        0
    }
    fn sequences_per_pass(&self) -> usize {
        8
    }
    fn read(&mut self, _: &[u64]) -> Result<Tensor, ActivationError> {
        unreachable!()
    }
}
