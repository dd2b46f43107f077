//! Which weights a model consists of and how they are stored: what its family says, and loading, checking and quantising read.

use tch::{TchError, Tensor};

/// All weights of a model, by their Hugging Face names.
pub(crate) struct Plan {
    /// `[vocab, hidden]`
    pub embedding: String,
    /// Learned positions, `[max_position_embeddings, hidden]`.
    pub positions: Option<String>,
    pub layers: Vec<LayerPlan>,
    pub final_norm: NormPlan,
    /// The unembedding where it is not the embedding.
    pub untied_head: Option<String>,
    /// A bias of the logits.
    pub head_bias: Option<String>,
    pub hidden: i64,
    pub vocab: i64,
    pub longest: i64,
}

/// A layer's weights.
pub(crate) struct LayerPlan {
    pub attention_norm: NormPlan,
    /// Products that together give queries, then keys, then values.
    pub query_key_value: Vec<Product>,
    pub attention_output: Product,
    /// None: the MLP reads what attention reads.
    pub mlp_norm: Option<NormPlan>,
    /// Of a gated MLP.
    pub gate: Option<Product>,
    pub up: Product,
    pub down: Product,
}

/// A norm's weight, and the bias that makes it a LayerNorm.
pub(crate) struct NormPlan {
    pub name: String,
    pub biased: bool,
}

/// A product's weight and bias: `<name>.weight` and `<name>.bias`.
#[derive(Clone)]
pub(crate) struct Product {
    pub name: String,
    pub outputs: i64,
    pub inputs: i64,
    pub biased: bool,
    pub layout: Layout,
    pub rows: Rows,
}

/// How a product's weight is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[outputs, inputs]`
    OutputsFirst,
    /// `[inputs, outputs]`
    InputsFirst,
}

/// What the rows of a product are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Rows to be taken as they are.
    Plain,
    /// Heads of queries or keys; the first `turned` rows of each are turned by rotary embeddings.
    Heads { count: i64, turned: i64 },
    /// Of each head its queries, then its keys, then its values.
    PerHead { count: i64, turned: i64 },
}

impl Product {
    /// A product whose weight is `[outputs, inputs]`, its rows as they are.
    pub(crate) fn new(name: String, outputs: i64, inputs: i64, biased: bool) -> Self {
        Self {
            name,
            outputs,
            inputs,
            biased,
            layout: Layout::OutputsFirst,
            rows: Rows::Plain,
        }
    }

    /// The same, with other rows.
    pub(crate) fn of(self, rows: Rows) -> Self {
        Self { rows, ..self }
    }

    /// The same, stored `[inputs, outputs]`.
    pub(crate) fn inputs_first(self) -> Self {
        Self {
            layout: Layout::InputsFirst,
            ..self
        }
    }

    pub(crate) fn weight(&self) -> String {
        format!("{}.weight", self.name)
    }

    pub(crate) fn bias(&self) -> Option<String> {
        self.biased.then(|| format!("{}.bias", self.name))
    }

    /// The weight as `[outputs, inputs]`, of one as it is stored.
    pub(crate) fn outputs_first(&self, stored: &Tensor) -> Result<Tensor, TchError> {
        match self.layout {
            Layout::OutputsFirst => Ok(stored.shallow_clone()),
            Layout::InputsFirst => stored.f_transpose(0, 1)?.f_contiguous(),
        }
    }

    /// The weight's shape in the file.
    pub(crate) fn stored_shape(&self) -> [i64; 2] {
        match self.layout {
            Layout::OutputsFirst => [self.outputs, self.inputs],
            Layout::InputsFirst => [self.inputs, self.outputs],
        }
    }
}

impl LayerPlan {
    /// The products, in the order in which they are loaded.
    pub(crate) fn products(&self) -> impl Iterator<Item = &Product> {
        let attention = self.query_key_value.iter().chain([&self.attention_output]);
        attention.chain(&self.gate).chain([&self.up, &self.down])
    }

    fn products_mut(&mut self) -> impl Iterator<Item = &mut Product> {
        let output = [&mut self.attention_output].into_iter();
        let attention = self.query_key_value.iter_mut().chain(output);
        let mlp = [&mut self.up, &mut self.down].into_iter();
        attention.chain(&mut self.gate).chain(mlp)
    }

    fn norms(&self) -> impl Iterator<Item = &NormPlan> {
        [&self.attention_norm].into_iter().chain(&self.mlp_norm)
    }
}

impl NormPlan {
    fn weights(&self) -> impl Iterator<Item = String> {
        let parts = if self.biased {
            &["weight", "bias"][..]
        } else {
            &["weight"]
        };
        parts.iter().map(|part| format!("{}.{part}", self.name))
    }
}

impl Plan {
    /// The same of files that hold every product's weight as `[outputs, inputs]`.
    pub(crate) fn outputs_first(mut self) -> Self {
        for product in self.layers.iter_mut().flat_map(LayerPlan::products_mut) {
            product.layout = Layout::OutputsFirst;
        }
        self
    }

    /// Whether the weight `name` is an embedding, learned positions or the unembedding.
    pub(crate) fn is_table(&self, name: &str) -> bool {
        let others = self.positions.iter().chain(&self.untied_head);
        name == self.embedding || others.into_iter().any(|table| table == name)
    }

    /// Elements of the largest weight that is multiplied with at once: queries, keys and values are one.
    pub(crate) fn largest_product(&self, layers: usize) -> i64 {
        let sizes = self.layers.iter().take(layers).map(|layer| {
            let elements = |product: &Product| product.outputs * product.inputs;
            let joined: i64 = layer.query_key_value.iter().map(elements).sum();
            layer.products().map(elements).fold(joined, i64::max)
        });
        sizes.max().unwrap_or(0)
    }

    /// Name and stored shape of each weight of the embedding and the first `layers` layers, and of the head `with_head`.
    pub(crate) fn weights(&self, layers: usize, with_head: bool) -> Vec<(String, Vec<i64>)> {
        let mut weights = vec![(self.embedding.clone(), vec![self.vocab, self.hidden])];
        if let Some(positions) = &self.positions {
            weights.push((positions.clone(), vec![self.longest, self.hidden]));
        }
        for layer in self.layers.iter().take(layers) {
            for name in layer.norms().flat_map(NormPlan::weights) {
                weights.push((name, vec![self.hidden]));
            }
            for product in layer.products() {
                weights.push((product.weight(), product.stored_shape().to_vec()));
                if let Some(bias) = product.bias() {
                    weights.push((bias, vec![product.outputs]));
                }
            }
        }
        if with_head {
            for name in self.final_norm.weights() {
                weights.push((name, vec![self.hidden]));
            }
            if let Some(head) = &self.untied_head {
                weights.push((head.clone(), vec![self.vocab, self.hidden]));
            }
            if let Some(bias) = &self.head_bias {
                weights.push((bias.clone(), vec![self.vocab]));
            }
        }
        weights
    }
}
