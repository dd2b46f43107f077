//! A product with a weight.

use super::quantized_weight::{QuantizedWeight, Scheme};
use tch::{Device, Kind, TchError, Tensor};

/// Inputs up to which libtorch's own product of bf16 with int8 weights was measured to be faster than dequantising first: 18 times
/// for one, equal for some 64. In f32 it is slower always.
const FEW_INPUTS: i64 = 32;

/// `y = x Wᵀ + b`.
pub(super) struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
    kernel: Kernel,
}

enum Weight {
    /// In the kernel's layout.
    Dense(Tensor),
    /// Dequantised into the buffer for each product. All products of a model share the buffer: they come one after the other.
    Quantized {
        weight: QuantizedWeight,
        buffer: Tensor,
        /// Scales in bf16, where products of few inputs are libtorch's own with int8.
        packed: Option<Tensor>,
    },
}

/// Whose product it is.
///
/// In f32 on a CPU the product is oneDNN's where libtorch has it. libtorch's own choice is MKL, which on processors other than
/// Intel's was measured at less than half the speed (AMD, AVX-512: 107 against 220 GFLOP/s a core), with equal rounding. bf16
/// products are oneDNN's anyway. The choice depends on the machine and never on a measurement, so that a training that goes on
/// computes the same bits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kernel {
    /// libtorch's choice.
    Plain,
    /// oneDNN's; it wants a bias.
    OneDnn,
}

impl Linear {
    /// Of a weight `[out, in]` and a bias `[out]`.
    pub(super) fn new(weight: Tensor, bias: Option<Tensor>) -> Result<Self, TchError> {
        let (outputs, inputs) = weight.size2()?;
        if Kernel::for_device(weight.device(), weight.kind()) == Kernel::OneDnn {
            let one_dnn = || {
                let weight = weight.f_to_mkldnn(Kind::Float)?;
                let bias = bias_or_zeros(bias.as_ref(), outputs)?;
                Kernel::OneDnn.try_on(inputs, &weight, &bias)?;
                Ok::<_, TchError>((weight, bias))
            };
            // An error: a libtorch that was built without oneDNN.
            if let Ok((weight, bias)) = one_dnn() {
                return Ok(Self {
                    weight: Weight::Dense(weight),
                    bias: Some(bias),
                    kernel: Kernel::OneDnn,
                });
            }
        }
        Ok(Self {
            weight: Weight::Dense(weight),
            bias,
            kernel: Kernel::Plain,
        })
    }

    /// Of a quantised weight and a bias `[out]`. `buffer` is of one dimension, of the kind and on the device of the products,
    /// and large enough for the weight.
    pub(super) fn quantized(
        weight: QuantizedWeight,
        bias: Option<Tensor>,
        buffer: &Tensor,
    ) -> Result<Self, TchError> {
        let (outputs, inputs) = (weight.outputs, weight.inputs);
        let packed = if weight.scheme == Scheme::Int8
            && buffer.device() == Device::Cpu
            && buffer.kind() == Kind::BFloat16
        {
            Some(weight.parts[1].f_to_kind(Kind::BFloat16)?)
        } else {
            None
        };
        let mut kernel = Kernel::for_device(buffer.device(), buffer.kind());
        let mut bias = bias;
        if kernel == Kernel::OneDnn {
            let any = buffer
                .f_narrow(0, 0, outputs * inputs)?
                .f_view([outputs, inputs])?;
            let full = bias_or_zeros(bias.as_ref(), outputs)?;
            match kernel.try_on(inputs, &any, &full) {
                Ok(()) => bias = Some(full),
                Err(_) => kernel = Kernel::Plain,
            }
        }
        Ok(Self {
            weight: Weight::Quantized {
                weight,
                buffer: buffer.shallow_clone(),
                packed,
            },
            bias,
            kernel,
        })
    }

    /// The product with `input` (`[…, in]`): `[…, out]`.
    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        match &self.weight {
            Weight::Dense(weight) => self.kernel.product(input, weight, self.bias.as_ref()),
            Weight::Quantized {
                weight,
                packed: Some(scales),
                ..
            } if input.numel() as i64 <= FEW_INPUTS * weight.inputs => {
                let mut shape = input.size();
                let product = input
                    .f_reshape([-1, weight.inputs])?
                    .f_internal_weight_int8pack_mm(&weight.parts[0], scales)?;
                if let Some(last) = shape.last_mut() {
                    *last = weight.outputs;
                }
                let product = product.f_view(shape.as_slice())?;
                match &self.bias {
                    Some(bias) => product.f_add(bias),
                    None => Ok(product),
                }
            }
            Weight::Quantized { weight, buffer, .. } => {
                let weight = weight.dequantised_in(buffer)?;
                self.kernel.product(input, &weight, self.bias.as_ref())
            }
        }
    }
}

impl Kernel {
    fn for_device(device: Device, kind: Kind) -> Self {
        if device == Device::Cpu && kind == Kind::Float {
            Self::OneDnn
        } else {
            Self::Plain
        }
    }

    fn try_on(self, inputs: i64, weight: &Tensor, bias: &Tensor) -> Result<(), TchError> {
        let input = Tensor::f_zeros([1, inputs], (Kind::Float, Device::Cpu))?;
        self.product(&input, weight, Some(bias)).map(drop)
    }

    fn product(
        self,
        input: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Tensor, TchError> {
        match self {
            Self::Plain => input.f_linear(weight, bias),
            Self::OneDnn => input
                .f_contiguous()?
                .f_to_mkldnn(Kind::Float)?
                .f_mkldnn_linear(weight, bias)?
                .f_to_dense(Kind::Float, false),
        }
    }
}

fn bias_or_zeros(bias: Option<&Tensor>, outputs: i64) -> Result<Tensor, TchError> {
    match bias {
        Some(bias) => Ok(bias.shallow_clone()),
        None => Tensor::f_zeros([outputs], (Kind::Float, Device::Cpu)),
    }
}
