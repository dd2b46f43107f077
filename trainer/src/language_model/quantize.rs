//! Makes a quantised model of another, one weight at a time.

use super::{
    Checkpoint, LanguageModelError,
    plan::Product,
    quantized_directory::{FORMAT, MARK, Mark, RotaryPairs, WEIGHTS},
    quantized_weight::{QuantizedWeight, Scheme, dtype},
};
use crate::tokenizer::TokenizerFiles;
use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    fs::File,
    io::{BufWriter, Write},
    ops::ControlFlow,
    path::Path,
};
use tch::{Device, Kind, Tensor};
use trainmaster_domain::model::Quantization;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizedFiles {
    /// Bytes of all files.
    pub disk_size_bytes: u64,
    /// Bytes of the weights' file.
    pub weights_bytes: u64,
    /// Weights that are held as integers, of `weights`.
    pub quantized_weights: i64,
    /// All weights, tied ones counted once.
    pub weights: i64,
}

/// Writes the model `source`, its products' weights held as `to` says, into `directory`, which is there and empty. The files are
/// synced; whoever wants the directory whole or not at all calls this within [`crate::run::durable::write_directory`]. Their layout
/// is described in `quantized_directory.rs`. `progress` is told after each weight how many of how many are written, and may
/// end it. Needs some four times the memory of the largest product's weight in f32, or the embedding's in f16.
///
/// # Errors
/// What is wrong with the source, [`LanguageModelError::Unsupported`] where it has been quantised here already or holds what
/// f16 cannot, [`LanguageModelError::NotWritten`], [`LanguageModelError::Cancelled`].
pub fn quantize(
    source: &Checkpoint,
    to: Quantization,
    directory: &Path,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<QuantizedFiles, LanguageModelError> {
    if matches!(source, Checkpoint::Quantized(_)) {
        return Err(LanguageModelError::Unsupported {
            path: source.path().to_owned(),
            detail: "it has been quantised before, and would lose precision twice; quantise what it was made of"
                .to_owned(),
        });
    }
    let _no_grad = tch::no_grad_guard();
    let mut sizes = 0;
    let mut write = |name: &str, bytes: &[u8]| {
        sizes += bytes.len() as u64;
        write_synced(&directory.join(name), |file| file.write_all(bytes))
    };
    let mut config = source.config_json()?;
    let tokenizer = TokenizerFiles::of(source)?;
    for (field, value) in tokenizer.config {
        config.insert(field.to_owned(), value);
    }
    let mark = Mark {
        format: FORMAT,
        quantization: to,
        rotary_pairs: if source.pairs_are_interleaved() {
            RotaryPairs::Interleaved
        } else {
            RotaryPairs::HalfSplit
        },
    };
    config.insert(MARK.to_owned(), json!(mark));
    write(
        "config.json",
        format!("{:#}\n", Value::Object(config)).as_bytes(),
    )?;
    for (name, bytes) in tokenizer.files {
        write(name, &bytes)?;
    }
    let weights = weights_of(source, to);
    let header = header(&weights);
    let weights_bytes = header.len() as u64 + weights.iter().map(Stored::bytes).sum::<u64>();
    write_synced_with(&directory.join(WEIGHTS), |path, file| {
        let mut out = BufWriter::new(file);
        let refused = |source| not_written(path, source);
        out.write_all(&header).map_err(refused)?;
        for (done, weight) in weights.iter().enumerate() {
            for tensor in weight.tensors(source)? {
                out.write_all(&bytes_of(&tensor)?).map_err(refused)?;
            }
            if progress(done + 1, weights.len()).is_break() {
                return Err(LanguageModelError::Cancelled);
            }
        }
        out.flush().map_err(refused)
    })?;
    let elements = |quantized_only: bool| {
        let counted = weights
            .iter()
            .filter(|weight| !quantized_only || matches!(weight.held, Held::Integers(_)));
        counted
            .map(|weight| weight.shape.iter().product::<i64>())
            .sum()
    };
    Ok(QuantizedFiles {
        disk_size_bytes: sizes + weights_bytes,
        weights_bytes,
        quantized_weights: elements(true),
        weights: elements(false),
    })
}

/// A weight to be written.
struct Stored {
    name: String,
    /// As the source has it.
    shape: Vec<i64>,
    product: Option<Product>,
    held: Held,
}

#[derive(Clone, Copy)]
enum Held {
    Numbers(Kind),
    Integers(Scheme),
}

fn weights_of(source: &Checkpoint, to: Quantization) -> Vec<Stored> {
    let plan = source.plan();
    let products: HashMap<_, _> = plan
        .layers
        .iter()
        .flat_map(|layer| layer.products())
        .map(|product| (product.weight(), product))
        .collect();
    let numbers = Held::Numbers(match to {
        Quantization::Fp32 => Kind::Float,
        _ => Kind::Half,
    });
    let weights = plan.weights(plan.layers.len(), true).into_iter();
    weights
        .map(|(name, shape)| {
            let product = products.get(&name).map(|product| (*product).clone());
            let held = match (&product, Scheme::of(to)) {
                (Some(product), Some(scheme)) if scheme.fits(product.inputs) => {
                    Held::Integers(scheme)
                }
                // Norms and biases are few.
                _ if shape.len() == 1 => Held::Numbers(Kind::Float),
                _ => numbers,
            };
            Stored {
                name,
                shape,
                product,
                held,
            }
        })
        .collect()
}

impl Stored {
    /// Name, kind and shape of each tensor that is written.
    fn parts(&self) -> Vec<(String, Kind, Vec<i64>)> {
        let shape = match &self.product {
            Some(product) => vec![product.outputs, product.inputs],
            None => self.shape.clone(),
        };
        match (self.held, shape.as_slice()) {
            (Held::Integers(scheme), [outputs, inputs]) => scheme
                .parts(*outputs, *inputs)
                .into_iter()
                .map(|(part, kind, shape)| (format!("{}.{part}", self.name), kind, shape))
                .collect(),
            (Held::Numbers(kind), _) => vec![(self.name.clone(), kind, shape)],
            (Held::Integers(_), _) => Vec::new(),
        }
    }

    fn bytes(&self) -> u64 {
        let parts = self.parts();
        parts
            .iter()
            .map(|(_, kind, shape)| {
                shape.iter().product::<i64>() as u64 * kind.elt_size_in_bytes() as u64
            })
            .sum()
    }

    /// What is written.
    fn tensors(&self, source: &Checkpoint) -> Result<Vec<Tensor>, LanguageModelError> {
        let kind = match self.held {
            Held::Numbers(kind) => kind,
            Held::Integers(_) => Kind::Float,
        };
        let weight = source.weight(&self.name, &self.shape, kind, Device::Cpu)?;
        let weight = match &self.product {
            Some(product) => product
                .outputs_first(&weight)
                .map_err(LanguageModelError::torch("reorder a weight"))?,
            None => weight,
        };
        let tensors = match self.held {
            Held::Numbers(_) => vec![weight],
            Held::Integers(scheme) => QuantizedWeight::of(scheme, &weight)?.parts,
        };
        for tensor in tensors.iter().filter(|tensor| tensor.is_floating_point()) {
            let is_finite = tensor
                .f_isfinite()
                .and_then(|finite| finite.f_all())
                .and_then(bool::try_from)
                .map_err(LanguageModelError::torch("quantise a weight"))?;
            if !is_finite {
                return Err(LanguageModelError::Unsupported {
                    path: source.path().to_owned(),
                    detail: format!(
                        "its weight {} holds what is not finite in 16 bits; use it as it is, or as FP32",
                        self.name
                    ),
                });
            }
        }
        Ok(tensors)
    }
}

/// The header of a safetensors file: its length, then JSON, filled up so that weights are aligned.
fn header(weights: &[Stored]) -> Vec<u8> {
    let mut tensors = Map::new();
    let mut offset = 0;
    for (name, kind, shape) in weights.iter().flat_map(Stored::parts) {
        let end = offset + shape.iter().product::<i64>() as u64 * kind.elt_size_in_bytes() as u64;
        let described =
            json!({ "dtype": dtype(kind), "shape": shape, "data_offsets": [offset, end] });
        tensors.insert(name, described);
        offset = end;
    }
    let mut json = Value::Object(tensors).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.extend(json);
    header
}

fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>, LanguageModelError> {
    let torch = LanguageModelError::torch("read a weight's bytes");
    let tensor = tensor.f_contiguous().map_err(&torch)?;
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor
        .f_copy_data_u8(&mut bytes, tensor.numel())
        .map_err(&torch)?;
    Ok(bytes)
}

fn not_written(path: &Path, source: std::io::Error) -> LanguageModelError {
    LanguageModelError::NotWritten {
        path: path.to_owned(),
        source,
    }
}

fn write_synced(
    path: &Path,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<(), LanguageModelError> {
    write_synced_with(path, |path, file| {
        write(file).map_err(|source| not_written(path, source))
    })
}

fn write_synced_with(
    path: &Path,
    write: impl FnOnce(&Path, &mut File) -> Result<(), LanguageModelError>,
) -> Result<(), LanguageModelError> {
    let mut file = File::create(path).map_err(|source| not_written(path, source))?;
    write(path, &mut file)?;
    file.sync_all().map_err(|source| not_written(path, source))
}
