//! A product with a weight.

use tch::{Device, Kind, TchError, Tensor};

/// `y = x Wᵀ + b`.
///
/// In f32 on a CPU the product is oneDNN's where libtorch has it. libtorch's own choice is MKL, which on processors other than
/// Intel's was measured at less than half the speed (AMD, AVX-512: 107 against 220 GFLOP/s a core), with equal rounding. bf16
/// products are oneDNN's anyway. The choice depends on the machine and never on a measurement, so that a training that goes on
/// computes the same bits.
pub(super) enum Linear {
    /// libtorch's choice.
    Plain {
        weight: Tensor,
        bias: Option<Tensor>,
    },
    /// oneDNN's: the weight in its layout; it wants a bias.
    OneDnn { weight: Tensor, bias: Tensor },
}

impl Linear {
    /// Of a weight `[out, in]` and a bias `[out]`.
    pub(super) fn new(weight: Tensor, bias: Option<Tensor>) -> Result<Self, TchError> {
        if weight.device() != Device::Cpu || weight.kind() != Kind::Float {
            return Ok(Self::Plain { weight, bias });
        }
        match Self::one_dnn(&weight, bias.as_ref()) {
            Ok(linear) => Ok(linear),
            // A libtorch that was built without oneDNN.
            Err(_) => Ok(Self::Plain { weight, bias }),
        }
    }

    fn one_dnn(weight: &Tensor, bias: Option<&Tensor>) -> Result<Self, TchError> {
        let (outputs, inputs) = weight.size2()?;
        let bias = match bias {
            Some(bias) => bias.shallow_clone(),
            None => Tensor::f_zeros([outputs], (Kind::Float, Device::Cpu))?,
        };
        let linear = Self::OneDnn {
            weight: weight.f_to_mkldnn(Kind::Float)?,
            bias,
        };
        let _tried = linear.forward(&Tensor::f_zeros([1, inputs], (Kind::Float, Device::Cpu))?)?;
        Ok(linear)
    }

    /// The product with `input` (`[…, in]`): `[…, out]`.
    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Plain { weight, bias } => input.f_linear(weight, bias.as_ref()),
            Self::OneDnn { weight, bias } => input
                .f_contiguous()?
                .f_to_mkldnn(Kind::Float)?
                .f_mkldnn_linear(weight, Some(bias))?
                .f_to_dense(Kind::Float, false),
        }
    }
}
