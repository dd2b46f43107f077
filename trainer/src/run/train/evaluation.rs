//! What autoencoders in training are worth on text that they are never trained on.
//!
//! An activation is replaced by its reconstruction wherever the autoencoder is for it: at positions of text whose activations are no outliers.
//! All else keeps its activation, also where zero replaces the others. Sums are f64 and in one order, so a measurement is the same each time.
//! At a time it holds the activations and latents of 512 tokens, or of one sequence, and a copy of one autoencoder.

mod quality;

use super::site::{Site, not_finite};
use crate::autoencoder::Autoencoder;
use crate::dataset::{Batch, TokenizedDataset};
use crate::language_model::{HookPoint, LanguageModel, NextTokenLoss};
use crate::run::failure::RunError;
use crate::run::life::{Life, Next};
use crate::run::model_activations::ModelActivations;
use quality::Quality;
use tch::{Kind, TchError, Tensor};
use trainmaster_domain::run::journal::{Evaluated, EvaluatedSite};

/// Tokens that are measured at once.
const TOKENS_PER_PASS: u64 = 512;

/// The held-out text, and what does not change during a run.
pub(super) struct Evaluation {
    /// Sequences that are measured together.
    chunks: Vec<Vec<u64>>,
    /// The loss of the language model as it is.
    clean: Option<f64>,
    /// Its loss with zero in place of the activation, for each place.
    ablated: Vec<Option<f64>>,
}

/// What replaces the activations of a place.
enum Replacement<'a> {
    Zero,
    Reconstruction(&'a Autoencoder, &'a mut Quality),
}

impl Evaluation {
    /// On the sequences that a source holds out; none where it holds out none.
    pub(super) fn of(source: &ModelActivations) -> Option<Self> {
        let dataset = source.dataset();
        let sequences = dataset.num_sequences();
        let together = (TOKENS_PER_PASS / dataset.context_length().max(1) as u64).max(1);
        let held_out: Vec<u64> = (sequences - source.held_out()..sequences).collect();
        (!held_out.is_empty()).then(|| Self {
            chunks: held_out
                .chunks(together as usize)
                .map(<[u64]>::to_vec)
                .collect(),
            clean: None,
            ablated: vec![None; source.places().sites.len()],
        })
    }

    /// Measures each place after `step` steps; none when the run was asked for something else meanwhile.
    pub(super) fn measure(
        &mut self,
        model: &LanguageModel,
        dataset: &TokenizedDataset,
        streams: &[HookPoint],
        sites: &[Site],
        life: &Life,
        step: u64,
    ) -> Result<Option<Evaluated>, RunError> {
        let text = Text {
            chunks: &self.chunks,
            model,
            dataset,
            streams,
            life,
        };
        let mut measured = Vec::with_capacity(sites.len());
        for (site, ablated) in sites.iter().zip(&mut self.ablated) {
            let autoencoder = site.autoencoder()?;
            let mut quality = Quality::new();
            let Some(clean) = once(&mut self.clean, || text.loss(None))? else {
                return Ok(None);
            };
            let without = once(ablated, || text.loss(Some((site, Replacement::Zero))))?;
            let spliced = text.loss(Some((
                site,
                Replacement::Reconstruction(&autoencoder, &mut quality),
            )))?;
            let (Some(ablated), Some(spliced)) = (without, spliced) else {
                return Ok(None);
            };
            let found = of_site(site, &quality, clean, spliced, ablated)
                .map_err(|error| RunError::of_libtorch("evaluating", &error))?;
            if !found.is_finite() {
                return Err(not_finite(step));
            }
            measured.push(found);
        }
        Ok(Some(Evaluated {
            step,
            sites: measured,
        }))
    }
}

/// What was found before, or what is found now.
fn once(
    known: &mut Option<f64>,
    find: impl FnOnce() -> Result<Option<f64>, RunError>,
) -> Result<Option<f64>, RunError> {
    if known.is_none() {
        *known = find()?;
    }
    Ok(*known)
}

fn of_site(
    site: &Site,
    quality: &Quality,
    clean: f64,
    spliced: f64,
    ablated: f64,
) -> Result<EvaluatedSite, TchError> {
    let latents = quality.latents()?;
    let spliced = Some(spliced).filter(|loss| loss.is_finite());
    let lost = ablated - clean;
    Ok(EvaluatedSite {
        layer: site.place.layer,
        hook: site.place.hook,
        explained_variance: quality.explained_variance()?,
        active_latents: latents.active,
        dead_latents: latents.dead,
        dense_latents: latents.dense,
        ce_clean: clean,
        ce_spliced: spliced,
        ce_ablated: ablated,
        ce_score: spliced
            .filter(|_| lost != 0.0)
            .map(|spliced| (ablated - spliced) / lost),
        tokens: quality.tokens(),
    })
}

/// The held-out text as a language model reads it.
struct Text<'a> {
    chunks: &'a [Vec<u64>],
    model: &'a LanguageModel,
    dataset: &'a TokenizedDataset,
    streams: &'a [HookPoint],
    life: &'a Life,
}

impl Text<'_> {
    /// The mean loss of the next token in nats, with the activations of a place replaced; none when the run was asked for something else, or there is no text.
    fn loss(&self, mut replace: Option<(&Site, Replacement<'_>)>) -> Result<Option<f64>, RunError> {
        let mut loss = NextTokenLoss::default();
        for chunk in self.chunks {
            if self.life.heard() != Next::GoOn {
                return Ok(None);
            }
            let batch = self.dataset.batch(chunk)?;
            loss = loss.and(match &mut replace {
                None => {
                    self.model
                        .cross_entropy(&batch.tokens, Some(&batch.is_text), &mut |_, _| Ok(None))?
                }
                Some((site, replacement)) => self.replaced(&batch, site, replacement)?,
            });
            self.life.progress();
        }
        // The last sequence of a dataset may have hardly any text.
        Ok((loss.tokens > 0).then(|| loss.mean()))
    }

    fn replaced(
        &self,
        batch: &Batch,
        site: &Site,
        replacement: &mut Replacement<'_>,
    ) -> Result<NextTokenLoss, RunError> {
        let point = |stream: usize| {
            self.streams
                .get(stream)
                .copied()
                .ok_or_else(|| RunError::Internal {
                    what: "a place has no activations".into(),
                })
        };
        let input_point = point(site.streams.input)?;
        let output_point = point(site.streams.target.unwrap_or(site.streams.input))?;
        let device = self.model.device();
        let text = batch
            .is_text
            .f_view([-1])
            .and_then(|is_text| is_text.f_nonzero()?.f_view([-1])?.f_to_device(device))
            .map_err(|error| RunError::of_libtorch("evaluating", &error))?;
        let mut input = None;
        let found = self.model.cross_entropy(
            &batch.tokens,
            Some(&batch.is_text),
            &mut |point, activation| {
                if point == input_point {
                    input = Some(rows(activation, &text)?);
                }
                match &input {
                    Some(input) if point == output_point => {
                        replace(site, replacement, activation, &text, input).map(Some)
                    }
                    _ => Ok(None),
                }
            },
        )?;
        Ok(found)
    }
}

/// The activations ([batch, length, width]) of some positions: f32 [rows, width].
fn rows(activation: &Tensor, positions: &Tensor) -> Result<Tensor, TchError> {
    activation
        .f_flatten(0, 1)?
        .f_index_select(0, positions)?
        .f_to_kind(Kind::Float)
}

/// The activation at the output with what the autoencoder is for replaced; `input` are the activations at the input of the positions of text.
fn replace(
    site: &Site,
    replacement: &mut Replacement<'_>,
    activation: &Tensor,
    text: &Tensor,
    input: &Tensor,
) -> Result<Tensor, TchError> {
    let output = rows(activation, text)?;
    let mut outliers = site.state.normalization.outliers(input)?;
    if let Some(normalization) = &site.state.target_normalization {
        outliers = outliers.f_logical_or(&normalization.outliers(&output)?)?;
    }
    let own = outliers.f_logical_not()?.f_nonzero()?.f_view([-1])?;
    let positions = text.f_index_select(0, &own)?;
    let output = output.f_index_select(0, &own)?;
    let new = match replacement {
        Replacement::Zero => output.f_zeros_like()?,
        Replacement::Reconstruction(autoencoder, quality) => {
            let input = input.f_index_select(0, &own)?;
            let latents = autoencoder.encode(&input)?;
            let reconstruction = autoencoder.decode(&latents, &input)?;
            quality.add(&output, &reconstruction, &latents)?;
            reconstruction
        }
    };
    activation
        .f_flatten(0, 1)?
        .f_index_copy(0, &positions, &new.f_to_kind(activation.kind())?)?
        .f_view_as(activation)
}
