//! Looks at a model's files: what it is, how large, whether it is what it was registered as.

use super::{Checkpoint, LanguageModelError};
use std::path::Path;
use tch::Kind;
use trainmaster_domain::run::journal::ModelInspected;

/// Tokens that a run has in flight: 8 sequences of 256.
const TOKENS_IN_FLIGHT: i64 = 2048;

/// Verifies that the model at `path` can be read and is what it was registered as (`architecture`: `llama`, `gpt2`, `pythia`
/// or `phi`; `quantization`:
/// `Q4`, `Q8`, `INT8`, `FP16` or `FP32`, as most of its weights are stored), and counts its parameters. `kind` is what runs
/// compute in, which decides the memory that they need.
///
/// # Errors
/// What is wrong with the files; [`LanguageModelError::RegisteredOtherwise`].
pub fn inspect(
    path: &Path,
    architecture: &str,
    quantization: &str,
    kind: Kind,
) -> Result<ModelInspected, LanguageModelError> {
    let checkpoint = Checkpoint::open(path)?;
    let otherwise =
        |what, registered: &str, found: String| LanguageModelError::RegisteredOtherwise {
            path: path.to_owned(),
            what,
            registered: registered.to_owned(),
            found,
        };
    let family = checkpoint.config().family;
    if !family.is_called(architecture) {
        let found = family.architecture().to_owned();
        return Err(otherwise("architecture", architecture, found));
    }
    let found = checkpoint.quantization();
    // Q8_0 is 8-bit integers with a scale for each block, so both of the document's names fit.
    if quantization != found && !(quantization == "INT8" && found == "Q8") {
        return Err(otherwise("quantization", quantization, found));
    }
    let config = checkpoint.config();
    let plan = checkpoint.plan();
    let element_bytes = kind.elt_size_in_bytes() as i64;
    let table_bytes = checkpoint.table_kind(kind).elt_size_in_bytes() as i64;
    let (mut params_count, mut weight_bytes) = (0, 0);
    for (name, shape) in plan.weights(config.num_layers, true) {
        checkpoint.check(&name, &shape)?;
        let elements = shape.iter().product::<i64>();
        params_count += elements;
        weight_bytes += match (checkpoint.scheme(&name), shape.as_slice()) {
            (Some(scheme), [outputs, inputs]) => scheme.bytes(*outputs, *inputs),
            _ if plan.is_table(&name) => elements * table_bytes,
            _ => elements * element_bytes,
        };
    }
    if checkpoint.has_integers() {
        weight_bytes += plan.largest_product(config.num_layers) * element_bytes;
    }
    let widest = 6 * config.hidden_size + 3 * config.intermediate_size;
    Ok(ModelInspected {
        params_count,
        memory_required_bytes: weight_bytes + TOKENS_IN_FLIGHT * widest * element_bytes,
        disk_size_bytes: i64::try_from(checkpoint.disk_size_bytes()).unwrap_or(i64::MAX),
        architecture_config: config.to_json(),
        ..ModelInspected::default()
    })
}
