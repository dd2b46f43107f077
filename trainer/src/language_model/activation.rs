//! The activation functions of MLPs.

use super::config::ConfigFault;
use tch::{TchError, Tensor};

/// An activation function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// x · sigmoid(x).
    #[default]
    Silu,
    /// GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415), exact.
    Gelu,
    /// GELU by its approximation with tanh.
    GeluTanh,
    /// max(x, 0).
    Relu,
}

impl Activation {
    /// The function that `config.json` calls `name`, if it is one of the `known` of the family.
    pub(super) fn named(name: &str, known: &[&str]) -> Result<Self, ConfigFault> {
        let function = match name {
            "silu" => Some(Self::Silu),
            "gelu" => Some(Self::Gelu),
            "gelu_new" => Some(Self::GeluTanh),
            "relu" => Some(Self::Relu),
            _ => None,
        };
        function.filter(|_| known.contains(&name)).ok_or_else(|| {
            ConfigFault::Unsupported(format!(
                "its activation function is {name}; {} is what can be run",
                known.join(" or ")
            ))
        })
    }

    /// transformers' name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_new",
            Self::Relu => "relu",
        }
    }

    /// Applies it in place.
    pub(super) fn apply(self, mut input: Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Silu => input.f_silu_(),
            Self::Gelu => input.f_gelu_("none"),
            Self::GeluTanh => input.f_gelu_("tanh"),
            Self::Relu => input.f_relu_(),
        }
    }
}
