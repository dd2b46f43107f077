//! What an extraction reads: model, dataset, autoencoders, and what scores them.

use super::End;
use crate::autoencoder::{Autoencoder, precision::product_kind};
use crate::dataset::TokenizedDataset;
use crate::features::examples::Examples;
use crate::features::pass::Site;
use crate::features::representation::CODE;
use crate::features::sample::Sample;
use crate::features::score::Embedder;
use crate::features::sentence_encoder::{SentenceEncoder, SentenceEncoderError};
use crate::features::token_text::TokenTexts;
use crate::language_model::{self, HookPoint, LanguageModel, LoadOptions};
use crate::run::failure::RunError;
use crate::run::life::Next;
use crate::run::{Run, device, durable};
use crate::tokenizer::Tokenizer;
use std::ops::ControlFlow;
use std::path::Path;
use tch::Device;
use trainmaster_domain::hyperparameters::{HookSite, Precision};
use trainmaster_domain::run::journal::{Failure, FailureClass};
use trainmaster_domain::run::spec::Extract;

/// All that is read.
pub(super) struct Opened {
    pub(super) model: LanguageModel,
    pub(super) dataset: TokenizedDataset,
    pub(super) texts: TokenTexts,
    pub(super) embedder: Embedder,
    /// The wanted sites …
    pub(super) sites: Vec<Site>,
    /// … and what else is to be known of each.
    pub(super) places: Vec<Place>,
    /// Packed sequences to read.
    pub(super) sample: Sample,
}

/// Where a site's latents belong.
pub(super) struct Place {
    /// As the training names it.
    pub(super) site: HookSite,
    /// Where a latent's direction is added to the residual stream.
    pub(super) writes: HookPoint,
    /// The number of the first latent, counted through all the training's sites.
    pub(super) first: usize,
}

impl Opened {
    /// Whether examples are compared by what the studied model makes of them.
    pub(super) fn reads_itself(&self) -> bool {
        matches!(self.embedder, Embedder::Own)
    }
}

/// Opens what a spec names, and checks that it fits together and into memory.
pub(super) fn open(run: &mut Run, spec: &Extract) -> Result<Opened, End> {
    let device = device(&run.spec.resources.device)?;
    let dataset = TokenizedDataset::open(Path::new(&spec.tokenized_path))?;
    let all = u32::try_from(dataset.num_sequences()).unwrap_or(u32::MAX);
    let wanted = spec.max_samples.and_then(|most| u32::try_from(most).ok());
    let sample = Sample::new(wanted.unwrap_or(all), all);
    check_hash(spec)?;
    let kind = product_kind(Precision::Auto, device)
        .map_err(|error| RunError::of_libtorch("trying the device", &error))?;
    let model = load(
        run,
        spec,
        LoadOptions {
            device,
            kind,
            layers: None,
        },
    )?;
    let vocabulary = model.config().vocab_size;
    if i64::from(dataset.id_bound()) > vocabulary {
        return Err(End::Failed(RunError::ShapeMismatch {
            what: format!(
                "the dataset {} has token ids up to {}, and the model {} a vocabulary of {vocabulary}: tokenise the dataset with this \
                 model's tokenizer",
                spec.tokenized_path,
                dataset.id_bound() - 1,
                spec.model_path,
            ),
        }));
    }
    run.say_progress("loading", 80.0)?;
    let (sites, places) = sites(spec, &model, device)?;
    check_memory(run, spec, &sites, sample.count())?;
    let embedder = match &spec.embedder_path {
        None => Embedder::Own,
        Some(path) => Embedder::Sentences(Box::new(
            SentenceEncoder::open(Path::new(path), device, kind).map_err(of_sentence_encoder)?,
        )),
    };
    Ok(Opened {
        texts: TokenTexts::new(Tokenizer::open(Path::new(&spec.model_path))?)?,
        model,
        dataset,
        embedder,
        sites,
        places,
        sample,
    })
}

fn load(run: &Run, spec: &Extract, options: LoadOptions) -> Result<LanguageModel, End> {
    let model = LanguageModel::load(Path::new(&spec.model_path), options, &mut |_, _| {
        run.life.progress();
        match run.life.heard() {
            Next::GoOn => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    });
    super::go_on(run)?;
    Ok(model?)
}

fn sites(
    spec: &Extract,
    model: &LanguageModel,
    device: Device,
) -> Result<(Vec<Site>, Vec<Place>), End> {
    let (mut sites, mut places) = (Vec::new(), Vec::new());
    for (position, site) in spec.sites.iter().enumerate() {
        if !spec.wanted.contains(site) {
            continue;
        }
        let writes = HookPoint {
            layer: site.layer as usize,
            site: site.hook.into(),
        };
        let reads = match spec.encoder_type.as_str() {
            "sparse" => writes,
            _ => HookPoint {
                site: language_model::Site::MlpInput,
                ..writes
            },
        };
        if writes.layer >= model.config().num_layers {
            return Err(End::Failed(RunError::ShapeMismatch {
                what: format!(
                    "the training has a site in layer {}, and the model {} only {} layers: give the model that it was trained on",
                    writes.layer,
                    spec.model_path,
                    model.config().num_layers
                ),
            }));
        }
        let result = Path::new(&spec.autoencoder_path);
        let directory = if spec.sites.len() > 1 {
            result.join(site.name())
        } else {
            result.to_owned()
        };
        let autoencoder = Autoencoder::load(&directory, device)?;
        let (width, _) = autoencoder.w_enc.size2().map_err(of_weights)?;
        let (latents, output) = autoencoder.w_dec.size2().map_err(of_weights)?;
        let hidden = model.config().hidden_size;
        if (width, output) != (hidden, hidden) {
            return Err(End::Failed(RunError::ShapeMismatch {
                what: format!(
                    "the autoencoder {} is {width} wide, and the model {} {hidden}: give the model that it was trained on",
                    directory.display(),
                    spec.model_path
                ),
            }));
        }
        let latents = usize::try_from(latents).unwrap_or_default();
        sites.push(Site {
            reads,
            autoencoder,
            latents,
        });
        places.push(Place {
            site: *site,
            writes,
            // All autoencoders of a training have as many latents.
            first: position * latents,
        });
    }
    if sites.is_empty() {
        return Err(End::Failed(RunError::Unsupported {
            what: "none of the training's sites is wanted: name layers and hooks that it has"
                .into(),
        }));
    }
    Ok((sites, places))
}

fn check_hash(spec: &Extract) -> Result<(), End> {
    let found = durable::contents(Path::new(&spec.autoencoder_path))?.sha256;
    if found == spec.autoencoder_sha256 {
        return Ok(());
    }
    Err(End::Failed(RunError::Reported(Failure {
        class: FailureClass::Workload,
        code: "file_altered".into(),
        message: format!(
            "the autoencoder {} has been altered since its training announced it (SHA-256 {found}, announced {}): put it back, or train again",
            spec.autoencoder_path, spec.autoencoder_sha256
        ),
    })))
}

/// Refuses what would not fit before hours are spent on it.
fn check_memory(run: &Run, spec: &Extract, sites: &[Site], sequences: u32) -> Result<(), End> {
    let latents: usize = sites.iter().map(|site| site.latents).sum();
    let code = if spec.embedder_path.is_some() {
        0
    } else {
        CODE
    };
    let needed = Examples::bytes(
        latents,
        sequences.min(spec.top_k_examples) as usize,
        spec.context_tokens as usize,
        code,
    );
    match run.spec.resources.memory_limit_bytes {
        Some(limit) if needed > limit => Err(End::Failed(RunError::Unsupported {
            what: format!(
                "the strongest examples of {latents} latents would take {} MB and the run may have {} MB: extract from fewer sites, or \
                 lower top_k_examples or context_tokens",
                needed / 1_000_000,
                limit / 1_000_000
            ),
        })),
        _ => Ok(()),
    }
}

fn of_weights(error: tch::TchError) -> RunError {
    RunError::of_libtorch("reading an autoencoder", &error)
}

/// In the journal's words.
pub(super) fn of_sentence_encoder(error: SentenceEncoderError) -> RunError {
    match error {
        SentenceEncoderError::File { .. } => RunError::Reported(Failure {
            class: FailureClass::Workload,
            code: "file_missing".into(),
            message: error.to_string(),
        }),
        SentenceEncoderError::Unsupported { .. } => RunError::Unsupported {
            what: error.to_string(),
        },
        SentenceEncoderError::Weights(error) => error.into(),
        SentenceEncoderError::Tokenize(_) => RunError::Internal {
            what: error.to_string(),
        },
        SentenceEncoderError::Libtorch(error) => {
            RunError::of_libtorch("running the sentence encoder", &error)
        }
    }
}
