//! A tiny model with text and autoencoders for it.

use crate::directory::{dataset, model};
use serde_json::json;
use std::ops::ControlFlow;
use std::path::Path;
use tch::{Device, Kind, Tensor};
use trainmaster_trainer::autoencoder::Autoencoder;
use trainmaster_trainer::dataset::TokenizedDataset;
use trainmaster_trainer::features::pass::Site;
use trainmaster_trainer::language_model::{HookPoint, LanguageModel, LoadOptions};
use trainmaster_trainer::tensor_file::write_tensors;

pub const WIDTH: i64 = 64;

pub struct Fixture {
    pub model: LanguageModel,
    pub dataset: TokenizedDataset,
}

/// What a site's autoencoder reads: f32 [rows of text, 64], and the token of each row.
pub struct Read {
    pub activations: Tensor,
    pub tokens: Vec<i64>,
}

impl Fixture {
    pub fn new() -> Self {
        let options = LoadOptions {
            device: Device::Cpu,
            kind: Kind::Float,
            layers: None,
        };
        let load = |path: &str| {
            LanguageModel::load(Path::new(path), options, &mut |_, _| {
                ControlFlow::Continue(())
            })
        };
        Self {
            model: load(&model()).unwrap(),
            dataset: TokenizedDataset::open(Path::new(&dataset())).unwrap(),
        }
    }

    pub fn read(&self, sequences: u64, point: HookPoint) -> Read {
        let numbers: Vec<u64> = (0..sequences).collect();
        let batch = self.dataset.batch(&numbers).unwrap();
        let activations = &self.model.activations(&batch.tokens, &[point]).unwrap()[0];
        let text = batch.is_text.view([-1]).nonzero().view([-1]);
        let tokens = batch.tokens.view([-1]).index_select(0, &text);
        Read {
            activations: activations.reshape([-1, WIDTH]).index_select(0, &text),
            tokens: Vec::try_from(tokens).unwrap(),
        }
    }

    /// Writes an autoencoder whose latents look in random directions and fire on one token in twenty.
    pub fn random_autoencoder(&self, directory: &Path, latents: i64, point: HookPoint) {
        tch::manual_seed(latents + point.layer as i64);
        let directions = Tensor::randn([WIDTH, latents], (Kind::Float, Device::Cpu));
        let pre = self.read(40, point).activations.matmul(&directions);
        let threshold = pre.quantile_scalar(0.95, 0, false, "linear");
        save(directory, &directions, &-threshold);
    }

    /// Writes an autoencoder whose latents each fire on one token of the vocabulary, as well as a direction can tell; returns the tokens.
    pub fn token_detectors(&self, directory: &Path, point: HookPoint) -> Vec<i64> {
        let read = self.read(300, point);
        let mean = read.activations.mean_dim(&[0][..], false, Kind::Float);
        let tokens = Tensor::from_slice(&read.tokens);
        let counts = tokens.bincount(None::<&Tensor>, 512);
        let (_, frequent) = counts.topk(60, 0, true, true);
        // Neither the most frequent, which say little of what stands around them.
        let chosen: Vec<i64> = Vec::try_from(frequent.narrow(0, 20, 40)).unwrap();
        let (mut directions, mut biases) = (Vec::new(), Vec::new());
        for token in &chosen {
            let here = tokens.eq(*token);
            let rows = read.activations.index_select(0, &here.nonzero().view([-1]));
            let direction = rows.mean_dim(&[0][..], false, Kind::Float) - &mean;
            let pre = read.activations.matmul(&direction);
            let share = here
                .to_kind(Kind::Double)
                .mean(Kind::Double)
                .double_value(&[]);
            biases.push(-pre.quantile_scalar(1.0 - share, 0, false, "linear"));
            directions.push(direction);
        }
        save(
            directory,
            &Tensor::stack(&directions, 1),
            &Tensor::stack(&biases, 0).view([-1]),
        );
        chosen
    }
}

fn save(directory: &Path, w_enc: &Tensor, b_enc: &Tensor) {
    let (width, latents) = w_enc.size2().unwrap();
    let configuration = json!({
        "architecture": "standard",
        "d_in": width,
        "d_sae": latents,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": false,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": { "sae_lens_version": "6.0.0", "model_name": "tiny", "hook_name": "blocks.1.hook_resid_post" },
    });
    std::fs::create_dir_all(directory).unwrap();
    std::fs::write(directory.join("cfg.json"), configuration.to_string()).unwrap();
    let decoder = w_enc.tr().contiguous();
    let decoder = &decoder / decoder.norm_scalaropt_dim(2, [1], true);
    let zero = Tensor::zeros([width], (Kind::Float, Device::Cpu));
    let tensors = [
        ("W_enc", w_enc),
        ("b_enc", b_enc),
        ("W_dec", &decoder),
        ("b_dec", &zero),
    ];
    write_tensors(&directory.join("sae_weights.safetensors"), &tensors).unwrap();
}

pub fn site(directory: &Path, reads: HookPoint) -> Site {
    let autoencoder = Autoencoder::load(directory, Device::Cpu).unwrap();
    let latents = autoencoder.w_dec.size()[0] as usize;
    Site {
        reads,
        autoencoder,
        latents,
    }
}
