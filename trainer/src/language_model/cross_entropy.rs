//! How well a model predicts a text.

use super::{Intervene, LanguageModel, LanguageModelError, model::Head, table};
use tch::{Kind, TchError, Tensor};

/// Positions whose logits are computed at once, and entries of the vocabulary: logits take at most 32 MiB.
const POSITIONS: i64 = 1024;
const ENTRIES: i64 = 8192;

/// The loss of predicting each next token, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NextTokenLoss {
    /// −log of the probability of each token that counts, added up, in nats.
    pub total_nats: f64,
    /// Tokens that count.
    pub tokens: i64,
}

impl NextTokenLoss {
    /// Nats a token; not a number where no token counts.
    pub fn mean(self) -> f64 {
        self.total_nats / self.tokens as f64
    }

    /// Of both texts together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            total_nats: self.total_nats + other.total_nats,
            tokens: self.tokens + other.tokens,
        }
    }
}

impl LanguageModel {
    /// The cross-entropy of the model's predictions with `tokens` (`[batch, length]`): of each token but the first of a sequence,
    /// given those before it; where `counts` (`[batch, length]`, bool) is given, of those tokens only for which it is true.
    /// `intervene` acts as in [`LanguageModel::logits_with`].
    ///
    /// The logits are never whole in memory: they are computed for 1,024 positions and 8,192 entries of the vocabulary at a time.
    ///
    /// # Errors
    /// As [`LanguageModel::logits_with`].
    pub fn cross_entropy(
        &self,
        tokens: &Tensor,
        counts: Option<&Tensor>,
        intervene: &mut Intervene<'_>,
    ) -> Result<NextTokenLoss, LanguageModelError> {
        let head = self.head()?;
        let residual = self.residual(tokens, intervene)?;
        let _no_grad = tch::no_grad_guard();
        loss(head, &residual, tokens, counts)
            .map_err(LanguageModelError::torch("compute the cross-entropy"))
    }
}

fn loss(
    head: &Head,
    residual: &Tensor,
    tokens: &Tensor,
    counts: Option<&Tensor>,
) -> Result<NextTokenLoss, TchError> {
    let (_, length, hidden) = residual.size3()?;
    let device = residual.device();
    let following = |tensor: &Tensor| {
        tensor
            .f_to_device(device)?
            .f_narrow(1, 1, length - 1)?
            .f_reshape([-1])
    };
    let targets = following(tokens)?;
    let predicting = residual
        .f_narrow(1, 0, length - 1)?
        .f_reshape([-1, hidden])?;
    let counted = match counts {
        Some(counts) => following(&counts.f_to_kind(Kind::Bool)?)?
            .f_nonzero()?
            .f_reshape([-1])?,
        None => Tensor::f_arange(targets.size1()?, (Kind::Int64, device))?,
    };
    let mut sum = NextTokenLoss::default();
    while sum.tokens < counted.size1()? {
        let count = POSITIONS.min(counted.size1()? - sum.tokens);
        let chosen = counted.f_narrow(0, sum.tokens, count)?;
        let normed = head.norm.forward(&predicting.f_index_select(0, &chosen)?)?;
        let nats = nats(head, &normed, &targets.f_index_select(0, &chosen)?)?;
        sum = sum.and(NextTokenLoss {
            total_nats: f64::try_from(nats.f_sum(Kind::Double)?)?,
            tokens: count,
        });
    }
    Ok(sum)
}

/// −log of the probability of each of `targets` (`[n]`): `[n]`, f32.
fn nats(head: &Head, normed: &Tensor, targets: &Tensor) -> Result<Tensor, TchError> {
    let entries = head.unembedding.size2()?.0;
    let mut log_sum = targets.f_to_kind(Kind::Float)?.f_fill_(f64::NEG_INFINITY)?;
    let mut of_target = log_sum.f_zeros_like()?;
    let mut start = 0;
    while start < entries {
        let count = ENTRIES.min(entries - start);
        let logits = table::part(normed, &head.unembedding, head.bias.as_ref(), start, count)?
            .f_to_kind(Kind::Float)?;
        log_sum = log_sum.f_logaddexp(&logits.f_logsumexp([-1].as_slice(), false)?)?;
        let within = targets.f_sub_scalar(start)?;
        let is_here = within.f_ge(0)?.f_logical_and(&within.f_lt(count)?)?;
        let here = logits
            .f_gather(1, &within.f_clamp(0, count - 1)?.f_unsqueeze(1)?, false)?
            .f_squeeze_dim(1)?;
        of_target = here.f_where_self(&is_here, &of_target)?;
        start += count;
    }
    log_sum.f_sub(&of_target)
}
