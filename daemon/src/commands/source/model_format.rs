//! What a model's files say of themselves, read from their first bytes.

use super::{Files, SourceError, gguf};
use std::{
    fs::{self, File},
    io::{BufReader, Read},
    path::{Path, PathBuf},
};
use trainmaster_domain::model::Quantization;

/// A configuration is a page of JSON; more is something else.
const MOST_CONFIG_BYTES: u64 = 4 << 20;
const MOST_SAFETENSORS_HEADER_BYTES: u64 = 100 << 20;

/// What is known of a model before anyone has loaded it.
#[derive(Debug)]
pub(in crate::commands) struct ModelFormat {
    /// Its family, if its files say.
    pub(in crate::commands) architecture: Option<String>,
    /// How its weights are held, if it is one of the document's ways.
    pub(in crate::commands) quantization: Option<Quantization>,
    /// How its weights are held, in the words of its files.
    pub(in crate::commands) weights: String,
}

impl ModelFormat {
    /// Looks at a GGUF file or a Hugging Face directory. Blocks.
    pub(in crate::commands) fn read(files: &Files) -> Result<Self, SourceError> {
        let path = Path::new(&files.path);
        let not_a_model = |problem: String| SourceError::NotAModel {
            path: files.path.clone(),
            problem,
        };
        if path.is_dir() {
            return hugging_face(path).map_err(|error| match error {
                Fault::Source(error) => error,
                Fault::Format(problem) => not_a_model(problem),
            });
        }
        let file = File::open(path).map_err(|e| SourceError::io(path, e))?;
        let header = gguf::read(BufReader::new(file)).map_err(|problem| {
            not_a_model(format!(
                "{problem}; it must be a GGUF file or a Hugging Face directory"
            ))
        })?;
        let (weights, quantization) = file_type(header.file_type);
        Ok(Self {
            architecture: header.architecture,
            quantization,
            weights,
        })
    }
}

enum Fault {
    Source(SourceError),
    Format(String),
}

fn hugging_face(directory: &Path) -> Result<ModelFormat, Fault> {
    let config = directory.join("config.json");
    let file = File::open(&config).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::Format(
            "there is no config.json in it; name the GGUF file itself, or a Hugging Face directory"
                .to_owned(),
        ),
        _ => Fault::Source(SourceError::io(&config, error)),
    })?;
    let config: serde_json::Value =
        serde_json::from_reader(BufReader::new(file).take(MOST_CONFIG_BYTES))
            .map_err(|error| Fault::Format(format!("its config.json is not JSON ({error})")))?;
    let text = |key: &str| config.get(key).and_then(|value| value.as_str());
    let weights_file = first_safetensors(directory)?;
    // What the trainer quantised says so itself, beside what it was made of.
    let here = config.get("trainmaster_quantization");
    let (weights, quantization) = if let Some(name) = here.and_then(|q| q.get("quantization")) {
        let quantization = serde_json::from_value(name.clone()).ok();
        (name.as_str().unwrap_or("unknown").to_owned(), quantization)
    } else if let Some(quantized) = config.get("quantization_config") {
        let bits = quantized
            .get("bits")
            .and_then(serde_json::Value::as_u64)
            .or_else(|| (quantized.get("load_in_8bit")? == true).then_some(8))
            .or_else(|| (quantized.get("load_in_4bit")? == true).then_some(4));
        match bits {
            Some(8) => ("8 bits".to_owned(), Some(Quantization::Int8)),
            Some(4) => ("4 bits".to_owned(), Some(Quantization::Q4)),
            _ => ("an unknown quantization".to_owned(), None),
        }
    } else {
        match text("torch_dtype").or_else(|| text("dtype")) {
            Some(dtype) => data_type(dtype),
            None => data_type(&first_data_type(&weights_file)?),
        }
    };
    Ok(ModelFormat {
        architecture: text("model_type").map(architecture),
        quantization,
        weights,
    })
}

/// The document's name of a family, where transformers has another.
fn architecture(model_type: &str) -> String {
    match model_type {
        "gpt_neox" => "pythia",
        other => other,
    }
    .to_owned()
}

fn first_safetensors(directory: &Path) -> Result<PathBuf, Fault> {
    let entries =
        fs::read_dir(directory).map_err(|e| Fault::Source(SourceError::io(directory, e)))?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .min()
        .ok_or_else(|| Fault::Format("there is no .safetensors file in it".to_owned()))
}

/// The data type of the first tensor: a safetensors file begins with the length of a JSON header.
fn first_data_type(path: &Path) -> Result<String, Fault> {
    let broken = || {
        Fault::Format(format!(
            "the header of {} cannot be read; is it whole?",
            path.display()
        ))
    };
    let mut file =
        BufReader::new(File::open(path).map_err(|e| Fault::Source(SourceError::io(path, e)))?);
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| broken())?;
    let length = u64::from_le_bytes(length);
    if length > MOST_SAFETENSORS_HEADER_BYTES {
        return Err(broken());
    }
    let header: serde_json::Map<String, serde_json::Value> =
        serde_json::from_reader(file.take(length)).map_err(|_| broken())?;
    header
        .iter()
        .filter(|(name, _)| *name != "__metadata__")
        .find_map(|(_, tensor)| tensor.get("dtype")?.as_str())
        .map(str::to_owned)
        .ok_or_else(broken)
}

fn data_type(name: &str) -> (String, Option<Quantization>) {
    let quantization = match name.trim_start_matches("torch.") {
        "float32" | "F32" => Some(Quantization::Fp32),
        "float16" | "bfloat16" | "F16" | "BF16" => Some(Quantization::Fp16),
        "int8" | "I8" => Some(Quantization::Int8),
        _ => None,
    };
    (name.chars().take(40).collect(), quantization)
}

/// `general.file_type`: the type of most tensors, as llama.cpp numbers them.
fn file_type(number: Option<u32>) -> (String, Option<Quantization>) {
    let (name, quantization) = match number {
        Some(0) => ("F32", Some(Quantization::Fp32)),
        Some(1) => ("F16", Some(Quantization::Fp16)),
        Some(32) => ("BF16", Some(Quantization::Fp16)),
        Some(2) => ("Q4_0", Some(Quantization::Q4)),
        Some(3) => ("Q4_1", Some(Quantization::Q4)),
        Some(14) => ("Q4_K_S", Some(Quantization::Q4)),
        Some(15) => ("Q4_K_M", Some(Quantization::Q4)),
        Some(7) => ("Q8_0", Some(Quantization::Q8)),
        Some(8 | 9 | 16 | 17) => ("5 bits", None),
        Some(18) => ("6 bits", None),
        Some(10..=13) => ("2 or 3 bits", None),
        Some(other) => return (format!("GGUF file type {other}"), None),
        None => ("a type that the file does not name", None),
    };
    (name.to_owned(), quantization)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(config: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.json"), config).unwrap();
        let header = br#"{"__metadata__":{"format":"pt"},"w":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        fs::write(directory.path().join("model.safetensors"), bytes).unwrap();
        directory
    }

    fn read(path: &Path) -> Result<ModelFormat, SourceError> {
        ModelFormat::read(&super::super::examine(path.to_str().unwrap()).unwrap())
    }

    #[test]
    fn a_hugging_face_directory_says_its_family_and_data_type() {
        let plain = directory(r#"{"model_type":"llama","torch_dtype":"float32"}"#);
        let format = read(plain.path()).unwrap();
        assert_eq!(format.architecture.as_deref(), Some("llama"));
        assert_eq!(format.quantization, Some(Quantization::Fp32));
    }

    #[test]
    fn families_have_the_documents_names() {
        for (model_type, architecture) in [("gpt2", "gpt2"), ("gpt_neox", "pythia"), ("phi", "phi")]
        {
            let plain = directory(&format!(r#"{{"model_type":"{model_type}"}}"#));
            let format = read(plain.path()).unwrap();
            assert_eq!(format.architecture.as_deref(), Some(architecture));
        }
    }

    #[test]
    fn what_was_quantised_here_says_so_itself() {
        let plain = directory(
            r#"{"model_type":"llama","dtype":"bfloat16","trainmaster_quantization":{"format":1,"quantization":"INT8"}}"#,
        );
        let format = read(plain.path()).unwrap();
        assert_eq!(format.quantization, Some(Quantization::Int8));
    }

    #[test]
    fn without_a_data_type_in_the_configuration_the_weights_are_asked() {
        let plain = directory(r#"{"model_type":"llama"}"#);
        let format = read(plain.path()).unwrap();
        assert_eq!(format.quantization, Some(Quantization::Fp16));
    }

    #[test]
    fn what_is_no_model_says_what_is_missing() {
        let not_json = directory("{");
        assert!(
            read(not_json.path())
                .unwrap_err()
                .to_string()
                .contains("not JSON")
        );
        let no_config = tempfile::tempdir().unwrap();
        fs::write(no_config.path().join("notes.txt"), "x").unwrap();
        assert!(
            read(no_config.path())
                .unwrap_err()
                .to_string()
                .contains("no config.json")
        );
        let text = no_config.path().join("notes.txt");
        assert!(read(&text).unwrap_err().to_string().contains("GGUF"));
    }
}
