//! Places in the forward pass whose activations can be read and replaced.

use super::Family;
use tch::{TchError, Tensor};
use trainmaster_domain::hyperparameters::Hook;

/// Where in a layer, in the order in which the pass gets there. Each means what it means in TransformerLens, also where
/// attention and MLP are computed in parallel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Site {
    /// What attention adds to the residual stream (`hook_attn_out`).
    AttentionOutput,
    /// What the MLP reads, after its norm (what a transcoder reads; `mlp.hook_in`).
    MlpInput,
    /// What the MLP adds to the residual stream (`hook_mlp_out`).
    MlpOutput,
    /// The residual stream after the layer (`hook_resid_post`).
    Residual,
}

impl From<Hook> for Site {
    fn from(hook: Hook) -> Self {
        match hook {
            Hook::Residual => Self::Residual,
            Hook::Mlp => Self::MlpOutput,
            Hook::Attention => Self::AttentionOutput,
        }
    }
}

/// A place in a language model. Earlier ones are less than later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookPoint {
    /// The layer, counted from 0.
    pub layer: usize,
    /// Where in it.
    pub site: Site,
}

impl HookPoint {
    /// TransformerLens's name of it.
    pub fn name(self) -> String {
        let site = match self.site {
            Site::Residual => "hook_resid_post",
            Site::MlpOutput => "hook_mlp_out",
            Site::MlpInput => "mlp.hook_in",
            Site::AttentionOutput => "hook_attn_out",
        };
        format!("blocks.{}.{site}", self.layer)
    }

    /// The module of transformers whose output it is (of [`Site::MlpInput`], whose input).
    pub fn module_name(self, family: Family) -> String {
        let layer = family.layer_name(self.layer);
        match self.site {
            Site::Residual => layer,
            Site::MlpInput | Site::MlpOutput => format!("{layer}.mlp"),
            Site::AttentionOutput => format!("{layer}.{}", family.attention_name()),
        }
    }
}

/// Sees the activation at every hook, `[batch, length, hidden]`, as the pass gets there, and may return another of the same
/// shape, with which the pass goes on.
pub type Intervene<'a> = dyn FnMut(HookPoint, &Tensor) -> Result<Option<Tensor>, TchError> + 'a;
