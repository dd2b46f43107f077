//! BERT's encoder (Devlin et al. 2018, arXiv:1810.04805), forward only.

use super::SentenceEncoderError;
use crate::tensor_file::TensorFile;
use serde_json::Value;
use std::path::Path;
use tch::{Device, Kind, TchError, Tensor};

/// An encoder.
pub(super) struct Bert {
    /// `[vocab, hidden]`
    words: Tensor,
    /// `[positions, hidden]`, with the embedding of the first type of token added: texts here have no second part.
    positions: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
    heads: i64,
}

struct Linear {
    /// `[out, in]`
    weight: Tensor,
    /// `[out]`
    bias: Tensor,
}

struct Norm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
}

impl Linear {
    fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        input.f_linear(&self.weight, Some(&self.bias))
    }
}

impl Norm {
    fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        let size = self.weight.size();
        input.f_layer_norm(
            size,
            Some(&self.weight),
            Some(&self.bias),
            self.epsilon,
            false,
        )
    }
}

impl Bert {
    /// Reads `model.safetensors` as `config` describes it.
    pub(super) fn open(
        directory: &Path,
        config: &Value,
        device: Device,
        kind: Kind,
    ) -> Result<Self, SentenceEncoderError> {
        let unsupported = |reason: String| SentenceEncoderError::Unsupported {
            path: directory.join("config.json"),
            reason,
        };
        for (name, known) in [
            ("model_type", "bert"),
            ("hidden_act", "gelu"),
            ("position_embedding_type", "absolute"),
        ] {
            if config.get(name).is_some_and(|found| *found != known) {
                return Err(unsupported(format!(
                    "{name} is {}, not {known}",
                    config[name]
                )));
            }
        }
        let number = |name: &str| {
            let found = config[name].as_i64().filter(|number| *number > 0);
            found.ok_or_else(|| unsupported(format!("{name} is not a positive number")))
        };
        let (hidden, heads) = (number("hidden_size")?, number("num_attention_heads")?);
        if hidden % heads != 0 {
            return Err(unsupported(format!("{hidden} wide with {heads} heads")));
        }
        let intermediate = number("intermediate_size")?;
        let file = TensorFile::open(&directory.join("model.safetensors"))?;
        let reader = Reader {
            // Some keep the encoder inside a larger model.
            prefix: match file.tensor("embeddings.word_embeddings.weight", &[-1, -1]) {
                Ok(_) => "",
                Err(_) => "bert.",
            },
            file: &file,
            epsilon: config["layer_norm_eps"].as_f64().unwrap_or(1e-12),
            device,
            kind,
        };
        let layer = |number: i64| -> Result<Layer, SentenceEncoderError> {
            let linear = |name: &str, outputs, inputs| {
                reader.linear(&format!("encoder.layer.{number}.{name}"), outputs, inputs)
            };
            let norm = |name: &str| reader.norm(&format!("encoder.layer.{number}.{name}"), hidden);
            Ok(Layer {
                query: linear("attention.self.query", hidden, hidden)?,
                key: linear("attention.self.key", hidden, hidden)?,
                value: linear("attention.self.value", hidden, hidden)?,
                output: linear("attention.output.dense", hidden, hidden)?,
                attention_norm: norm("attention.output.LayerNorm")?,
                up: linear("intermediate.dense", intermediate, hidden)?,
                down: linear("output.dense", hidden, intermediate)?,
                norm: norm("output.LayerNorm")?,
            })
        };
        let types = reader.tensor("embeddings.token_type_embeddings.weight", &[-1, hidden])?;
        let positions = reader.tensor("embeddings.position_embeddings.weight", &[-1, hidden])?;
        Ok(Self {
            words: reader.tensor("embeddings.word_embeddings.weight", &[-1, hidden])?,
            positions: positions.f_add(&types.f_get(0)?)?,
            norm: reader.norm("embeddings.LayerNorm", hidden)?,
            layers: (0..number("num_hidden_layers")?)
                .map(layer)
                .collect::<Result<Vec<_>, _>>()?,
            heads,
        })
    }

    /// The longest text, in tokens.
    pub(super) fn longest(&self) -> usize {
        self.positions.size()[0] as usize
    }

    /// The average over each text's tokens: `ids` and `mask` i64 `[texts, length]`, f32 `[texts, hidden]`.
    pub(super) fn pooled(&self, ids: &Tensor, mask: &Tensor) -> Result<Tensor, TchError> {
        let device = self.words.device();
        let (ids, mask) = (ids.f_to_device(device)?, mask.f_to_device(device)?);
        let length = ids.size()[1];
        let words = Tensor::f_embedding(&self.words, &ids, -1, false, false)?;
        let embedded = words.f_add(&self.positions.f_narrow(0, 0, length)?)?;
        let mut state = self.norm.forward(&embedded)?;
        // [texts, 1, 1, length]: whom every token may look at.
        let seen = mask.f_to_kind(Kind::Bool)?.f_unsqueeze(1)?.f_unsqueeze(1)?;
        for layer in &self.layers {
            state = layer.forward(&state, &seen, self.heads)?;
        }
        let weights = mask.f_to_kind(Kind::Float)?.f_unsqueeze(2)?;
        let sum = state
            .f_to_kind(Kind::Float)?
            .f_mul(&weights)?
            .f_sum_dim_intlist(&[1][..], false, Kind::Float)?;
        sum.f_div(&weights.f_sum_dim_intlist(&[1][..], false, Kind::Float)?)
    }
}

impl Layer {
    fn forward(&self, state: &Tensor, seen: &Tensor, heads: i64) -> Result<Tensor, TchError> {
        let (texts, length, hidden) = state.size3()?;
        let split = |linear: &Linear| -> Result<Tensor, TchError> {
            linear
                .forward(state)?
                .f_view([texts, length, heads, hidden / heads])?
                .f_transpose(1, 2)
        };
        let mixed = Tensor::f_scaled_dot_product_attention(
            &split(&self.query)?,
            &split(&self.key)?,
            &split(&self.value)?,
            Some(seen),
            0.0,
            false,
            None,
            false,
        )?
        .f_transpose(1, 2)?
        .f_reshape([texts, length, hidden])?;
        let attended = self.output.forward(&mixed)?.f_add(state)?;
        let attended = self.attention_norm.forward(&attended)?;
        let inner = self.up.forward(&attended)?.f_gelu("none")?;
        self.norm
            .forward(&self.down.forward(&inner)?.f_add(&attended)?)
    }
}

struct Reader<'a> {
    file: &'a TensorFile,
    prefix: &'static str,
    epsilon: f64,
    device: Device,
    kind: Kind,
}

impl Reader<'_> {
    fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, SentenceEncoderError> {
        let tensor = self.file.tensor(&format!("{}{name}", self.prefix), shape)?;
        Ok(tensor.f_to_device(self.device)?.f_to_kind(self.kind)?)
    }

    fn linear(
        &self,
        name: &str,
        outputs: i64,
        inputs: i64,
    ) -> Result<Linear, SentenceEncoderError> {
        Ok(Linear {
            weight: self.tensor(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: self.tensor(&format!("{name}.bias"), &[outputs])?,
        })
    }

    fn norm(&self, name: &str, width: i64) -> Result<Norm, SentenceEncoderError> {
        Ok(Norm {
            weight: self.tensor(&format!("{name}.weight"), &[width])?,
            bias: self.tensor(&format!("{name}.bias"), &[width])?,
            epsilon: self.epsilon,
        })
    }
}
