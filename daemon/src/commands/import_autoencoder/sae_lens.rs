//! What a SAELens directory's `cfg.json` says of its autoencoder (SAELens 6).

use crate::commands::source::SourceError;
use serde_json::Value;
use std::{fs::File, io::Read, path::Path};
use trainmaster_domain::{
    hyperparameters::{ActivationFunction, Hook, Hyperparameters},
    training::EncoderType,
};

/// A configuration is a page of JSON; more is something else.
const MOST_CONFIG_BYTES: u64 = 4 << 20;

/// What is known of an autoencoder before anyone has loaded it.
#[derive(Debug, PartialEq)]
pub(super) struct Described {
    pub(super) encoder_type: EncoderType,
    pub(super) layer: u32,
    hook: Hook,
    function: ActivationFunction,
    k: Option<u32>,
    d_in: u32,
    d_sae: u32,
}

impl Described {
    /// Looks at a directory. Blocks.
    pub(super) fn read(directory: &Path) -> Result<Self, SourceError> {
        let path = directory.join("cfg.json");
        let mut text = String::new();
        File::open(&path)
            .and_then(|file| file.take(MOST_CONFIG_BYTES).read_to_string(&mut text))
            .map_err(|error| SourceError::io(&path, error))?;
        serde_json::from_str(&text)
            .map_err(|error| error.to_string())
            .and_then(|configuration| Self::of(&configuration))
            .map_err(|problem| SourceError::NotAnAutoencoder {
                path: directory.display().to_string(),
                problem,
            })
    }

    fn of(configuration: &Value) -> Result<Self, String> {
        let size = |name: &str| {
            configuration[name]
                .as_u64()
                .and_then(|size| u32::try_from(size).ok())
                .filter(|size| *size > 0)
                .ok_or_else(|| format!("{name:?} of cfg.json is not a positive number"))
        };
        let architecture = configuration["architecture"].as_str().unwrap_or("standard");
        let (encoder_type, function) = match architecture {
            "standard" => (EncoderType::Sparse, ActivationFunction::Relu),
            "topk" => (EncoderType::Sparse, ActivationFunction::TopK),
            "jumprelu" => (EncoderType::Sparse, ActivationFunction::JumpRelu),
            "gated" => (EncoderType::Sparse, ActivationFunction::Gated),
            "transcoder" => (EncoderType::Transcoder, ActivationFunction::Relu),
            "jumprelu_transcoder" => (EncoderType::Transcoder, ActivationFunction::JumpRelu),
            "skip_transcoder" => (EncoderType::Skip, ActivationFunction::Relu),
            "jumprelu_skip_transcoder" => (EncoderType::Skip, ActivationFunction::JumpRelu),
            other => {
                return Err(format!(
                    "architecture {other:?} is none of standard, topk, jumprelu, gated, transcoder, jumprelu_transcoder, \
                     skip_transcoder and jumprelu_skip_transcoder"
                ));
            }
        };
        let metadata = &configuration["metadata"];
        let name = |key: &str| {
            metadata[key]
                .as_str()
                .or_else(|| configuration[key].as_str())
        };
        let (layer, hook) = ["hook_name", "hook_name_out", "hf_hook_name"]
            .into_iter()
            .filter_map(name)
            .find_map(|name| site(name, encoder_type))
            .ok_or_else(|| {
                format!(
                    "its hook {:?} is not the residual stream after a layer, an MLP or attention, as in blocks.5.hook_resid_post",
                    name("hook_name").unwrap_or("(none)")
                )
            })?;
        Ok(Self {
            encoder_type,
            layer,
            hook,
            k: match function {
                ActivationFunction::TopK => Some(size("k")?),
                _ => None,
            },
            function,
            d_in: size("d_in")?,
            d_sae: size("d_sae")?,
        })
    }

    /// As a training of ours would have been asked for it, as far as is known: no steps were done here.
    pub(super) fn hyperparameters(&self) -> Hyperparameters {
        Hyperparameters {
            training_steps: 0,
            expansion_factor: self.d_sae.div_ceil(self.d_in),
            layer: Some(self.layer),
            hook: self.hook,
            activation_function: Some(self.function),
            top_k: self.k,
            ..Hyperparameters::default()
        }
    }
}

/// The layer and place of a hook, named as TransformerLens or as transformers does.
fn site(name: &str, encoder_type: EncoderType) -> Option<(u32, Hook)> {
    let mut words = name.split('.').peekable();
    let layer: u32 = loop {
        if let Ok(layer) = words.next()?.parse() {
            break layer;
        }
    };
    let place: Vec<&str> = words.collect();
    let site = match place.as_slice() {
        ["hook_resid_post"] | [] => (layer, Hook::Residual),
        // Before a layer is after the one before it.
        ["hook_resid_pre"] => (layer.checked_sub(1)?, Hook::Residual),
        ["hook_mlp_out" | "mlp"] => (layer, Hook::Mlp),
        ["hook_attn_out" | "attn" | "self_attn" | "attention"] => (layer, Hook::Attention),
        ["hook_mlp_in"] | ["ln2", "hook_normalized"] | ["mlp", "hook_in"]
            if encoder_type != EncoderType::Sparse =>
        {
            (layer, Hook::Mlp)
        }
        _ => return None,
    };
    (encoder_type == EncoderType::Sparse || site.1 == Hook::Mlp).then_some(site)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hooks_are_found_by_either_name() {
        for (name, encoder_type, expected) in [
            (
                "blocks.5.hook_resid_post",
                EncoderType::Sparse,
                Some((5, Hook::Residual)),
            ),
            (
                "blocks.5.hook_resid_pre",
                EncoderType::Sparse,
                Some((4, Hook::Residual)),
            ),
            ("blocks.0.hook_resid_pre", EncoderType::Sparse, None),
            (
                "blocks.12.hook_mlp_out",
                EncoderType::Sparse,
                Some((12, Hook::Mlp)),
            ),
            (
                "model.layers.3",
                EncoderType::Sparse,
                Some((3, Hook::Residual)),
            ),
            (
                "model.layers.3.self_attn",
                EncoderType::Sparse,
                Some((3, Hook::Attention)),
            ),
            ("blocks.3.attn.hook_z", EncoderType::Sparse, None),
            (
                "blocks.3.ln2.hook_normalized",
                EncoderType::Skip,
                Some((3, Hook::Mlp)),
            ),
            ("blocks.3.ln2.hook_normalized", EncoderType::Sparse, None),
            ("blocks.3.hook_resid_post", EncoderType::Transcoder, None),
            ("", EncoderType::Sparse, None),
        ] {
            assert_eq!(site(name, encoder_type), expected, "{name}");
        }
    }

    #[test]
    fn what_cfg_json_says_becomes_what_would_have_been_asked_for() {
        let described = Described::of(&json!({
            "architecture": "topk", "d_in": 576, "d_sae": 4608, "k": 32,
            "metadata": {"hook_name": "blocks.5.hook_resid_post"}
        }))
        .unwrap();
        let hyperparameters = described.hyperparameters();
        assert_eq!(hyperparameters.top_k, Some(32));
        assert_eq!(hyperparameters.expansion_factor, 8);
        assert_eq!(hyperparameters.layer, Some(5));
        for (wrong, word) in [
            (json!({"architecture": "crosscoder"}), "crosscoder"),
            (
                json!({"architecture": "standard", "metadata": {"hook_name": "blocks.1.hook_resid_post"}}),
                "d_in",
            ),
            (
                json!({"architecture": "standard", "d_in": 4, "d_sae": 8}),
                "hook",
            ),
        ] {
            let problem = Described::of(&wrong).unwrap_err();
            assert!(problem.contains(word), "{problem}");
        }
    }
}
