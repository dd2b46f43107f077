//! Embedding and unembedding: tables of a row for each token, which may be held in fewer bits than products are computed in.

use tch::{Kind, TchError, Tensor};

/// Rows of a table that are converted at once.
const AT_ONCE: i64 = 4096;

/// The rows of `table` (`[entries, hidden]`) for `indices`, as `kind`.
pub(super) fn rows(table: &Tensor, indices: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
    Tensor::f_embedding(table, indices, -1, false, false)?.f_to_kind(kind)
}

/// `input tableᵀ + bias` (`input`: `[…, hidden]`): `[…, entries]`, of the input's kind. A table of another kind is converted some
/// rows at a time.
pub(super) fn product(
    input: &Tensor,
    table: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor, TchError> {
    if table.kind() == input.kind() {
        return input.f_linear(table, bias);
    }
    let (entries, _) = table.size2()?;
    let mut shape = input.size();
    if let Some(last) = shape.last_mut() {
        *last = entries;
    }
    let all = Tensor::f_empty(shape.as_slice(), (input.kind(), input.device()))?;
    let mut start = 0;
    while start < entries {
        let count = AT_ONCE.min(entries - start);
        all.f_narrow(-1, start, count)?
            .f_copy_(&part(input, table, bias, start, count)?)?;
        start += count;
    }
    Ok(all)
}

/// Columns `start..start + count` of [`product`].
pub(super) fn part(
    input: &Tensor,
    table: &Tensor,
    bias: Option<&Tensor>,
    start: i64,
    count: i64,
) -> Result<Tensor, TchError> {
    let rows = table.f_narrow(0, start, count)?.f_to_kind(input.kind())?;
    let bias = bias
        .map(|bias| bias.f_narrow(0, start, count))
        .transpose()?;
    input.f_linear(&rows, bias.as_ref())
}
