//! Models quantised here: what is stored, what it computes, what is said of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "quantization/models.rs"]
mod models;

use std::{collections::HashMap, fs, ops::ControlFlow, path::Path};
use tch::{Kind, Tensor};
use trainmaster_domain::model::Quantization;
use trainmaster_trainer::{
    generation::Conventions,
    language_model::{Checkpoint, HookPoint, KvCache, Site, inspect, quantize},
    tokenizer::Tokenizer,
};

use models::{ALL, MODELS, load, quantized, tests, tokens};

fn relative_error(ours: &Tensor, exact: &Tensor) -> f64 {
    assert_eq!(ours.size(), exact.size());
    let (ours, exact) = (ours.to_kind(Kind::Double), exact.to_kind(Kind::Double));
    f64::try_from((ours - &exact).norm() / exact.norm()).unwrap()
}

fn floats(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).contiguous().view(-1)).unwrap()
}

/// The weights of a quantised directory as the documented layout says, computed one by one.
fn unpacked(directory: &Path) -> HashMap<String, Tensor> {
    let stored: HashMap<_, _> = Tensor::read_safetensors(directory.join("weights.safetensors"))
        .unwrap()
        .into_iter()
        .collect();
    let mut weights = HashMap::new();
    for (name, tensor) in &stored {
        let Some((weight, part)) = name.rsplit_once('.') else {
            panic!("{name}")
        };
        let columns = *tensor.size().last().unwrap() as usize;
        let of = |part: &str| floats(&stored[&format!("{weight}.{part}")]);
        let values: Vec<f64> = match part {
            "weight" | "bias" => {
                weights.insert(name.clone(), tensor.to_kind(Kind::Float));
                continue;
            }
            "scale" | "minimum" => continue,
            "int8" => {
                let scales = of("scale");
                let integers = floats(tensor).into_iter().enumerate();
                integers.map(|(at, q)| q * scales[at / columns]).collect()
            }
            "q8" => {
                let scales = of("scale");
                let integers = floats(tensor).into_iter().enumerate();
                integers.map(|(at, q)| q * scales[at / 32]).collect()
            }
            "q4" => {
                let (scales, minima) = (of("scale"), of("minimum"));
                let bytes = floats(tensor);
                let weights = 0..2 * bytes.len();
                weights
                    .map(|at| {
                        let (block, within) = (at / 32, at % 32);
                        let byte = bytes[block * 16 + within % 16] as u8;
                        let q = if within < 16 { byte & 15 } else { byte >> 4 };
                        f64::from(q) * scales[block] + minima[block]
                    })
                    .collect()
            }
            other => panic!("{other}"),
        };
        let shape = [tensor.size()[0], -1];
        let values = Tensor::from_slice(&values).view(shape);
        weights.insert(weight.to_owned(), values.to_kind(Kind::Float));
    }
    weights
}

/// The model that a quantised one stands for, as a Hugging Face directory in f32.
fn stood_for(model: &Path, quantized: &Path) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::copy(
        model.join("config.json"),
        directory.path().join("config.json"),
    )
    .unwrap();
    let is_gpt2 = model.ends_with("gpt2");
    let weights: Vec<_> = unpacked(quantized)
        .into_iter()
        .map(|(name, weight)| {
            // GPT-2's own files hold inputs first.
            let is_product = name.contains(".h.") && weight.dim() == 2;
            let weight = if is_gpt2 && is_product {
                weight.transpose(0, 1).contiguous()
            } else {
                weight
            };
            (name, weight)
        })
        .collect();
    Tensor::write_safetensors(&weights, directory.path().join("model.safetensors")).unwrap();
    directory
}

#[test]
fn a_quantised_model_computes_what_its_stored_weights_compute() {
    for name in MODELS {
        for to in ALL {
            let (directory, _) = quantized(&tests(name), to);
            let exact = stood_for(&tests(name), directory.path());
            let (ours, exact) = (
                load(directory.path(), Kind::Float),
                load(exact.path(), Kind::Float),
            );
            let tokens = tokens(&exact);
            let hook = HookPoint {
                layer: 1,
                site: Site::Residual,
            };
            let residuals = [&ours, &exact].map(|model| {
                let activations = model.activations(&tokens, &[hook]);
                activations.unwrap().remove(0)
            });
            let error = relative_error(&residuals[0], &residuals[1]);
            assert!(error < 1e-5, "{name} {to:?}: residual {error:e}");
            let logits = [&ours, &exact].map(|model| model.logits(&tokens).unwrap());
            let error = relative_error(&logits[0], &logits[1]);
            assert!(error < 1e-5, "{name} {to:?}: logits {error:e}");
        }
    }
}

#[test]
fn stored_weights_are_the_nearest_there_are() {
    let source: HashMap<_, _> = Tensor::read_safetensors(tests("tiny-llama/model.safetensors"))
        .unwrap()
        .into_iter()
        .collect();
    for to in [Quantization::Int8, Quantization::Q8, Quantization::Q4] {
        let (directory, files) = quantized(&tests("tiny-llama"), to);
        let stored = unpacked(directory.path());
        assert_eq!(stored.len(), source.len());
        let mut products = 0;
        for (name, weight) in &source {
            let weight = weight.to_kind(Kind::Float);
            let error = (&stored[name] - &weight).abs();
            let is_product = name.contains("_proj");
            if !is_product {
                // f16 rounds by at most 2^-11.
                let bound = weight.abs() / 2048.0 + 1e-7;
                assert!(
                    bool::try_from(error.le_tensor(&bound).all()).unwrap(),
                    "{name}"
                );
                continue;
            }
            products += weight.numel() as i64;
            let groups = match to {
                Quantization::Int8 => weight.shallow_clone(),
                _ => weight.view([weight.size()[0], -1, 32]),
            };
            let range = match to {
                Quantization::Q4 => {
                    let range =
                        groups.amax([-1].as_slice(), true) - groups.amin([-1].as_slice(), true);
                    range / 15.0
                }
                _ => groups.abs().amax([-1].as_slice(), true) / 127.0,
            };
            // Half a step; scales and minima are rounded to f16, which moves the ends of a block by some more.
            let slack = groups.abs().amax([-1].as_slice(), true) / 1000.0;
            let bound = range * 0.5 + slack;
            let error = error.view_as(&groups);
            assert!(
                bool::try_from(error.le_tensor(&bound).all()).unwrap(),
                "{name} {to:?}"
            );
            // Not all alike: integers are used in full.
            assert!(f64::try_from(error.max()).unwrap() > 0.0);
        }
        assert_eq!(files.quantized_weights, products);
        assert_eq!(files.weights, 512 * 64 + 64 * 9 + products);
    }
}

#[test]
fn files_shrink_as_far_as_the_bits_say() {
    let (embedding, norms) = (512 * 64, 64 * 9);
    let products = 4 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 128);
    let rows = 4 * (64 + 32 + 32 + 64 + 128 + 128 + 64);
    let expected = [
        4 * (embedding + products) + 4 * norms,
        2 * (embedding + products) + 4 * norms,
        2 * embedding + products + 4 * rows + 4 * norms,
        2 * embedding + products + products / 16 + 4 * norms,
        2 * embedding + products / 2 + products / 8 + 4 * norms,
    ];
    for (to, expected) in ALL.into_iter().zip(expected) {
        let (directory, files) = quantized(&tests("tiny-llama"), to);
        let length = |name: &str| {
            let file = fs::metadata(directory.path().join(name));
            file.unwrap().len()
        };
        assert_eq!(files.weights_bytes, length("weights.safetensors"), "{to:?}");
        assert_eq!(
            files.disk_size_bytes,
            length("weights.safetensors") + length("config.json") + length("tokenizer.json")
        );
        let header = files.weights_bytes - expected;
        assert!(header < 16_000, "{to:?}: {header} bytes beside the weights");
    }
}

#[test]
fn a_quantised_model_is_inspected_as_what_it_is() {
    let plain = inspect(&tests("tiny-llama"), "llama", "FP16", Kind::Float).unwrap();
    let mut memory = Vec::new();
    for to in ALL {
        let (directory, files) = quantized(&tests("tiny-llama"), to);
        let found = inspect(directory.path(), "llama", to.as_str(), Kind::Float).unwrap();
        assert_eq!(found.params_count, plain.params_count);
        assert_eq!(found.architecture_config, plain.architecture_config);
        assert_eq!(found.disk_size_bytes as u64, files.disk_size_bytes);
        memory.push(found.memory_required_bytes);
        let other = if to == Quantization::Q4 { "Q8" } else { "Q4" };
        let error = inspect(directory.path(), "llama", other, Kind::Float).unwrap_err();
        assert_eq!(error.code(), "registered_otherwise");
    }
    // Computed in f32, FP16 needs as much as FP32; integers stay integers.
    assert_eq!(memory[0], plain.memory_required_bytes);
    assert_eq!(memory[0], memory[1]);
    let activations = 2048 * (6 * 64 + 3 * 128) * 4;
    let buffer = 4 * 64 * 128;
    let q4 = 2 * 512 * 64 + 4 * 64 * 9 + 4 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 128) * 5 / 8;
    assert_eq!(memory[4], q4 + buffer + activations);
    assert!(memory[4] < memory[3] && memory[3] < memory[0]);
}

#[test]
fn a_gguf_file_is_quantised_with_its_tokenizer() {
    let gguf = tests("tiny-llama-gguf/tiny-llama.gguf");
    let (directory, _) = quantized(&gguf, Quantization::Fp32);
    let (source, copy) = (
        load(&gguf, Kind::Float),
        load(directory.path(), Kind::Float),
    );
    let tokens = tokens(&source);
    assert_eq!(
        source.logits(&tokens).unwrap(),
        copy.logits(&tokens).unwrap()
    );
    assert_eq!(source.config(), copy.config());
    let (theirs, ours) = (
        Tokenizer::open(&gguf).unwrap(),
        Tokenizer::open(directory.path()).unwrap(),
    );
    assert_eq!(theirs.sha256(), ours.sha256());
    assert_eq!(
        (theirs.bos(), theirs.separator()),
        (ours.bos(), ours.separator())
    );
    let conventions = |path: &Path, tokenizer| {
        let conventions = Conventions::of(path, tokenizer).unwrap();
        format!("{conventions:?}")
    };
    assert_eq!(
        conventions(&gguf, &theirs),
        conventions(directory.path(), &ours)
    );
    let directory_model = tests("tiny-llama");
    let (directory, _) = quantized(&directory_model, Quantization::Q4);
    assert_eq!(
        Tokenizer::open(&directory_model).unwrap().sha256(),
        Tokenizer::open(directory.path()).unwrap().sha256()
    );
}

/// In bf16, few inputs and many go different ways through a weight of int8.
#[test]
fn bf16_computes_nearly_the_same_with_few_inputs_and_with_many() {
    for name in ["tiny-llama", "families/phi"] {
        for to in [Quantization::Int8, Quantization::Q8, Quantization::Q4] {
            let (directory, _) = quantized(&tests(name), to);
            let exact = load(directory.path(), Kind::Float);
            let half = load(directory.path(), Kind::BFloat16);
            let tokens = tokens(&exact);
            let exact = exact.logits(&tokens).unwrap();
            let whole = half.logits(&tokens).unwrap();
            assert_eq!(whole.kind(), Kind::BFloat16);
            let error = relative_error(&whole, &exact);
            assert!(error < 0.05, "{name} {to:?}: {error}");
            let mut cache = KvCache::new(&half, 2, 40).unwrap();
            for position in 0..40 {
                let logits = half
                    .next_logits(&tokens.narrow(1, position, 1), &mut cache, &mut |_, _| {
                        Ok(None)
                    })
                    .unwrap();
                let error = relative_error(&logits, &exact.select(1, position));
                assert!(error < 0.05, "{name} {to:?} at {position}: {error}");
            }
        }
    }
}

#[test]
fn quantising_can_be_watched_cancelled_and_refused() {
    let source = Checkpoint::open(&tests("tiny-llama")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    quantize(
        &source,
        Quantization::Q4,
        directory.path(),
        &mut |done, all| {
            seen.push((done, all));
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    assert_eq!(seen.len(), 38);
    assert_eq!(seen.last(), Some(&(38, 38)));
    let elsewhere = tempfile::tempdir().unwrap();
    let cancelled = quantize(&source, Quantization::Q4, elsewhere.path(), &mut |_, _| {
        ControlFlow::Break(())
    });
    assert_eq!(cancelled.unwrap_err().code(), "cancelled");
    let again = Checkpoint::open(directory.path()).unwrap();
    let refused = quantize(&again, Quantization::Q8, elsewhere.path(), &mut |_, _| {
        ControlFlow::Continue(())
    });
    assert_eq!(refused.unwrap_err().code(), "unsupported");
    let nowhere = directory.path().join("no/such");
    let refused = quantize(&source, Quantization::Q4, &nowhere, &mut |_, _| {
        ControlFlow::Continue(())
    });
    assert!(refused.unwrap_err().to_string().contains("config.json"));
}

#[test]
fn damaged_directories_are_refused() {
    let code = |damage: &dyn Fn(&Path)| {
        let (directory, _) = quantized(&tests("tiny-llama"), Quantization::Q4);
        damage(directory.path());
        let found = inspect(directory.path(), "llama", "Q4", Kind::Float);
        found.unwrap_err().code()
    };
    let weights = |directory: &Path| directory.join("weights.safetensors");
    let cut = |directory: &Path| {
        let whole = fs::read(weights(directory)).unwrap();
        fs::write(weights(directory), &whole[..whole.len() / 2]).unwrap();
    };
    assert_eq!(code(&cut), "file_truncated");
    let absent = |directory: &Path| fs::remove_file(weights(directory)).unwrap();
    assert_eq!(code(&absent), "file_missing");
    let edited = |from: &'static str, to: &'static str| {
        move |directory: &Path| {
            let path = directory.join("config.json");
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(path, text.replace(from, to)).unwrap();
        }
    };
    assert_eq!(
        code(&edited("\"format\": 1", "\"format\": 2")),
        "unsupported"
    );
    assert_eq!(code(&edited("half_split", "diagonal")), "file_malformed");
    let narrow = edited("\"intermediate_size\": 128", "\"intermediate_size\": 96");
    assert_eq!(code(&narrow), "shape_mismatch");
    let deep = edited("\"num_hidden_layers\": 4", "\"num_hidden_layers\": 5");
    assert_eq!(code(&deep), "weight_missing");
}
