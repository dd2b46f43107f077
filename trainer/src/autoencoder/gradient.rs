//! Loss and gradient of a step in closed form: libtorch's autograd would keep and revisit every intermediate.

mod ghost;
mod relu;
mod topk;

use super::{parameters::Parameters, workspace::Workspace};
use tch::{Kind, TchError, Tensor};

/// Which activation function the latents have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// ReLU, made sparse by an L1 loss.
    Relu,
    /// The `k` largest pre-activations, then ReLU.
    TopK(i64),
}

/// What is asked of a step beside the gradient of the reconstruction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// λ of this step.
    pub sparsity_coefficient: f64,
    /// Bool [n]: the latents that get ghost gradients.
    pub dead: Option<&'a Tensor>,
    /// Whether to count active latents, which is a pass of its own.
    pub count_active: bool,
}

/// The parts of the loss of a step and what is known of its latents.
#[derive(Debug)]
pub struct Outcome {
    /// `mean_b Σ_d (x̂ − x)²`.
    pub reconstruction: f64,
    /// `λ · mean_b Σ_i f_i ‖W_dec,i‖₂` (0 with TopK).
    pub sparsity: f64,
    /// The ghost-gradient loss (0 without dead latents).
    pub ghost: f64,
    /// Bool [n]: latents that were above 0 anywhere in the batch.
    pub fired: Tensor,
    /// Latents above 0 in the whole batch, where it was asked for.
    pub active: Option<i64>,
}

impl Outcome {
    /// The loss that the gradient belongs to.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.reconstruction + self.sparsity + self.ghost
    }
}

/// Computes losses and gradients for batches of one size.
#[derive(Debug)]
pub struct Gradient {
    workspace: Workspace,
    /// TopK's indices; none: ReLU.
    bags: Option<topk::Bags>,
    /// The gradient of the last batch.
    pub gradients: Parameters,
}

impl Gradient {
    /// For batches of `b` activations; matrix products are computed in `kind`.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(
        parameters: &Parameters,
        activation: Activation,
        b: i64,
        kind: Kind,
    ) -> Result<Self, TchError> {
        let (n, d) = parameters.decoder.size2()?;
        let device = parameters.flat.device();
        Ok(Self {
            workspace: Workspace::new(parameters, b, kind, activation == Activation::Relu)?,
            bags: match activation {
                Activation::Relu => None,
                Activation::TopK(k) => Some(topk::Bags::new(b, k, n, device)?),
            },
            gradients: Parameters::zeros(d, n, device)?,
        })
    }

    /// The loss of a batch (f32 [b, d], scaled) and, in `gradients`, its gradient.
    ///
    /// # Errors
    /// What libtorch says, a batch of another shape included.
    pub fn compute(
        &mut self,
        parameters: &Parameters,
        batch: &Tensor,
        asked: Asked,
    ) -> Result<Outcome, TchError> {
        let _no_grad = tch::no_grad_guard();
        let workspace = &mut self.workspace;
        let gradients = &mut self.gradients;
        workspace.begin(parameters, batch)?;
        workspace.encode(parameters)?;
        let mut ghost = None;
        let outcome = match &self.bags {
            Some(bags) => topk::compute(workspace, bags, parameters, gradients, asked, &mut ghost)?,
            None => relu::compute(workspace, parameters, gradients, asked, &mut ghost)?,
        };
        let ghost_loss = match &ghost {
            Some(ghost) => {
                ghost.add_to(gradients, &workspace.centred)?;
                ghost.loss
            }
            None => 0.0,
        };
        decoder_bias(parameters, gradients, &workspace.residual)?;
        Ok(Outcome {
            ghost: ghost_loss,
            ..outcome
        })
    }
}

/// `x̂ − x` into the workspace's residual, and the reconstruction loss. `product` (of any float kind) is f·W_dec.
fn residual(workspace: &mut Workspace, product: &Tensor) -> Result<f64, TchError> {
    // x̂ − x = (f·W_dec + b_dec) − x = f·W_dec − (x − b_dec)
    let _ = product.f_sub_out(&workspace.residual, &workspace.centred)?;
    let b = workspace.residual.size2()?.0;
    let norms = workspace
        .residual
        .f_norm_scalaropt_dim(2.0, [1i64].as_slice(), false)?;
    Ok(norms.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])? / b as f64)
}

// b_dec is added to the reconstruction and subtracted from the encoder's input: ∂b_dec = Σ_b ∂x̂ − (Σ_b ∂pre)·W_encᵀ.
fn decoder_bias(
    parameters: &Parameters,
    gradients: &mut Parameters,
    reconstruction_gradient: &Tensor,
) -> Result<(), TchError> {
    let through_encoder = parameters.encoder.f_tr()?.f_mv(&gradients.encoder_bias)?;
    let direct =
        reconstruction_gradient.f_sum_dim_intlist([0i64].as_slice(), false, Kind::Float)?;
    let _ = direct.f_sub_out(&gradients.decoder_bias, &through_encoder)?;
    Ok(())
}
