//! Loss and gradient of a step in closed form: libtorch's autograd would keep and revisit every intermediate.

mod aux_k;
mod batch_topk;
mod dead;
mod dense;
mod gated;
mod ghost;
mod jump_relu;
mod pairs;
mod relu;
mod topk;

use super::{parameters::Parameters, workspace::Workspace};
use dead::DeadGradient;
use tch::{Kind, TchError, Tensor};
use trainmaster_domain::hyperparameters::{ActivationFunction, Hyperparameters};

/// Which activation function the latents have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// ReLU, made sparse by an L1 loss.
    Relu,
    /// The `k` largest pre-activations of each activation, then ReLU (Gao et al. 2024, arXiv:2406.04093).
    TopK(i64),
    /// The `k` × b largest pre-activations of a batch of b, then ReLU (Bussmann et al. 2024, arXiv:2412.06410).
    BatchTopK(i64),
    /// A learned threshold for each latent, made sparse by an L0 loss (Rajamanoharan et al. 2024, arXiv:2407.14435).
    JumpRelu,
    /// A gate and a magnitude (Rajamanoharan et al. 2024, arXiv:2404.16014).
    Gated,
}

impl Activation {
    /// What hyperparameters ask for.
    #[must_use]
    pub fn of(hyperparameters: &Hyperparameters) -> Self {
        let k = i64::from(hyperparameters.top_k.unwrap_or(1));
        match hyperparameters.activation_function() {
            ActivationFunction::Relu => Self::Relu,
            ActivationFunction::TopK => Self::TopK(k),
            ActivationFunction::BatchTopK => Self::BatchTopK(k),
            ActivationFunction::JumpRelu => Self::JumpRelu,
            ActivationFunction::Gated => Self::Gated,
        }
    }

    /// Whether a loss, and not the function itself, makes latents sparse.
    #[must_use]
    pub fn wants_sparsity_loss(self) -> bool {
        match self {
            Self::Relu | Self::JumpRelu | Self::Gated => true,
            Self::TopK(_) | Self::BatchTopK(_) => false,
        }
    }
}

/// The auxiliary loss of dead latents ([`Asked::aux_k`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuxK {
    /// How many of the dead latents reconstruct.
    pub k: i64,
    /// Its weight in the loss.
    pub coefficient: f64,
}

/// What is asked of a step beside the gradient of the reconstruction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// λ of this step.
    pub sparsity_coefficient: f64,
    /// Bool [n]: the latents that count as dead.
    pub dead: Option<&'a Tensor>,
    /// Whether dead latents get ghost gradients.
    pub ghost: bool,
    /// Whether dead latents reconstruct the residual.
    pub aux_k: Option<AuxK>,
    /// JumpReLU: ε, the width of the estimator's kernel.
    pub bandwidth: f64,
    /// BatchTopK: about where the cut has been; it says where to look, and changes no result.
    pub usual_cut: Option<f64>,
    /// Whether to count how often each latent fired where that is a pass of its own.
    pub count: bool,
    /// Whether products may touch active latents only where few are; for tests and measurements.
    pub arithmetic: Arithmetic,
}

/// How ReLU, JumpReLU and gated latents are multiplied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// As the batch's density says.
    #[default]
    Measured,
    /// All latents.
    Dense,
    /// Active latents only.
    Sparse,
}

/// The parts of the loss of a step and what is known of its latents.
#[derive(Debug)]
pub struct Outcome {
    /// `mean_b Σ_d (ŷ − y)²`.
    pub reconstruction: f64,
    /// What the activation function adds, by itself or times λ: `mean_b Σ_i f_i ‖W_dec,i‖₂` (ReLU), `mean_b Σ_i [f_i > 0]` (JumpReLU);
    /// gated: the L1 loss of the gates and their reconstruction loss.
    pub sparsity: f64,
    /// The ghost-gradient loss and the auxiliary loss (0 without dead latents).
    pub dead: f64,
    /// Bool [n]: latents that were above 0 anywhere in the batch.
    pub fired: Tensor,
    /// i64 [n]: for how many activations each latent was above 0, where that is known.
    pub firings: Option<Tensor>,
    /// BatchTopK: the smallest latent that is above 0, if there is one.
    pub cut: Option<f64>,
    /// f32 [b]: the norm of each activation's residual.
    pub row_errors: Tensor,
}

impl Outcome {
    /// The loss that the gradient belongs to.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.reconstruction + self.sparsity + self.dead
    }
}

/// What an activation function has found out about its latents.
struct Latents {
    sparsity: f64,
    fired: Tensor,
    firings: Option<Tensor>,
    cut: Option<f64>,
}

/// Computes losses and gradients for batches of one size.
#[derive(Debug)]
pub struct Gradient {
    workspace: Workspace,
    /// What TopK's pairs have in common.
    bags: Option<topk::Bags>,
    /// The gradient of the last batch.
    pub gradients: Parameters,
}

impl Gradient {
    /// For batches of `b` activations; matrix products are computed in `kind`.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(parameters: &Parameters, b: i64, kind: Kind) -> Result<Self, TchError> {
        let shape = parameters.shape;
        let device = parameters.flat.device();
        Ok(Self {
            workspace: Workspace::new(parameters, b, kind)?,
            bags: match shape.activation {
                Activation::TopK(k) => Some(topk::Bags::new(b, k, shape.d_sae, device)?),
                _ => None,
            },
            gradients: Parameters::zeros(shape, device)?,
        })
    }

    /// The loss of a batch (f32 [b, d_in], scaled) whose reconstruction is to be `target` (f32 [b, d_out], scaled; the same tensor for
    /// `sparse`) and, in `gradients`, its gradient.
    ///
    /// # Errors
    /// What libtorch says, a batch of another shape included.
    pub fn compute(
        &mut self,
        parameters: &Parameters,
        batch: &Tensor,
        target: &Tensor,
        asked: Asked,
    ) -> Result<Outcome, TchError> {
        let _no_grad = tch::no_grad_guard();
        self.workspace.begin(parameters, batch, target)?;
        let mut pass = Pass {
            w: &mut self.workspace,
            parameters,
            gradients: &mut self.gradients,
            asked,
            dead: Vec::new(),
            reconstruction: 0.0,
            row_errors: Tensor::new(),
        };
        let latents = match (&self.bags, parameters.shape.activation) {
            (Some(bags), Activation::TopK(_)) => topk::compute(&mut pass, bags)?,
            (_, Activation::BatchTopK(k)) => batch_topk::compute(&mut pass, k)?,
            (_, Activation::JumpRelu) => jump_relu::compute(&mut pass)?,
            (_, Activation::Gated) => gated::compute(&mut pass)?,
            (_, Activation::Relu | Activation::TopK(_)) => relu::compute(&mut pass)?,
        };
        let mut dead = 0.0;
        for gradient in &pass.dead {
            gradient.add_to(pass.gradients, &pass.w.centred)?;
            dead += gradient.loss;
        }
        pass.outer_gradients()?;
        Ok(Outcome {
            reconstruction: pass.reconstruction,
            sparsity: latents.sparsity,
            dead,
            fired: latents.fired,
            firings: latents.firings,
            cut: latents.cut,
            row_errors: pass.row_errors,
        })
    }
}

/// One computation: what every activation function works on.
struct Pass<'a> {
    w: &'a mut Workspace,
    parameters: &'a Parameters,
    gradients: &'a mut Parameters,
    asked: Asked<'a>,
    dead: Vec<DeadGradient>,
    reconstruction: f64,
    row_errors: Tensor,
}

impl Pass<'_> {
    /// λ for one activation of the batch.
    fn weight(&self) -> Result<f64, TchError> {
        Ok(self.asked.sparsity_coefficient / self.w.batch()? as f64)
    }

    /// Takes up `product = f·W_dec` (any float kind): the residual, its loss, what dead latents make of it, and the loss's gradient.
    fn reconstructed(&mut self, product: &Tensor) -> Result<(), TchError> {
        // ŷ − y = f·W_dec − (y − b_dec − W_skip·x)
        let _ = product.f_sub_out(&self.w.residual, &self.w.aim)?;
        self.row_errors = row_norms(&self.w.residual)?;
        self.reconstruction = mean_square(&self.row_errors)?;
        if let Some(dead) = self.asked.dead {
            let dead = dead.f_nonzero()?.f_view([-1])?;
            if dead.numel() > 0 {
                if self.asked.ghost {
                    self.dead
                        .push(ghost::gradient(&dead, self.w, self.parameters)?);
                }
                if let Some(aux_k) = self.asked.aux_k {
                    self.dead
                        .push(aux_k::gradient(&dead, aux_k, self.w, self.parameters)?);
                }
            }
        }
        self.w.scale_residual()
    }

    /// The gradients of the decoder's bias and of the skip connection, once those of the encoder's biases are whole.
    fn outer_gradients(&mut self) -> Result<(), TchError> {
        let g = &mut *self.gradients;
        let direct = self
            .w
            .residual
            .f_sum_dim_intlist([0i64].as_slice(), false, Kind::Float)?;
        if self.parameters.shape.centres_input() {
            // b_dec is added to the reconstruction and taken from the encoder's input: ∂b_dec = Σ_b ∂x̂ − (Σ_b ∂(x·W_enc))·W_encᵀ.
            let through = match (&g.magnitude, &self.parameters.magnitude) {
                (Some(gradient), Some(magnitude)) => g
                    .encoder_bias
                    .f_addcmul(&gradient.bias, &magnitude.log_scale.f_exp()?)?,
                _ => g.encoder_bias.shallow_clone(),
            };
            let through = self.parameters.encoder.f_tr()?.f_mv(&through)?;
            let _ = direct.f_sub_out(&g.decoder_bias, &through)?;
        } else {
            g.decoder_bias.f_copy_(&direct)?;
        }
        if let Some(skip) = &mut g.skip {
            let residual = self.w.residual_operand()?;
            skip.f_copy_(&residual.f_tr()?.f_mm(&self.w.input)?)?;
        }
        Ok(())
    }
}

/// [b]: Euclidean norms of the rows of [b, d].
fn row_norms(of: &Tensor) -> Result<Tensor, TchError> {
    of.f_norm_scalaropt_dim(2.0, [1i64].as_slice(), false)
}

/// The mean of the squares of [b], in f64.
fn mean_square(norms: &Tensor) -> Result<f64, TchError> {
    let squares = norms.f_square()?.f_sum(Kind::Double)?;
    Ok(squares.f_double_value(&[])? / norms.size1()? as f64)
}
