//! One pass over a dataset: the language model up to the deepest site, each site's autoencoder, and what its latents do.

use super::active::Active;
use super::examples::Examples;
use super::passage::Passage;
use super::probes::Probes;
use super::representation::{CODE, Representation, Sums};
use super::sample::Sample;
use super::statistics::Statistics;
use crate::autoencoder::Autoencoder;
use crate::dataset::{DatasetError, TokenizedDataset};
use crate::language_model::{HookPoint, LanguageModel, LanguageModelError};
use tch::{Device, Kind, TchError, Tensor};

/// Tokens that the language model reads at once.
const TOKENS_PER_PASS: usize = 2_048;

/// Numbers of a dense matrix of latents, at most (unless one sequence has more): 64 MiB.
const DENSE_LATENTS: usize = 1 << 24;

/// A pass could not go on.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The dataset cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The language model cannot be run.
    #[error(transparent)]
    LanguageModel(#[from] LanguageModelError),
    /// libtorch failed.
    #[error("libtorch failed: {0}")]
    Libtorch(#[from] TchError),
}

/// An autoencoder and the activations that it reads.
#[derive(Debug)]
pub struct Site {
    /// Where its input is read.
    pub reads: HookPoint,
    /// What it makes latents with.
    pub autoencoder: Autoencoder,
    /// Its latents.
    pub latents: usize,
}

/// What is kept.
#[derive(Clone, Copy, Debug)]
pub struct PassOptions {
    /// Packed sequences to read.
    pub sample: Sample,
    /// Strongest examples of each latent.
    pub top_k: usize,
    /// Tokens on either side of an example's strongest.
    pub context: u16,
    /// Whether examples get a code, to be compared by what the model makes of them.
    pub codes: bool,
    /// Threads that look for active latents.
    pub threads: usize,
}

/// A pass that is under way.
///
/// Beside model and autoencoders it takes, for each site, what [`Examples`] takes, 12 bytes a latent, and twice a dense matrix of
/// [`DENSE_LATENTS`] numbers or of one sequence, whichever is more; and what [`Probes`] takes.
#[derive(Debug)]
pub struct Pass {
    options: PassOptions,
    statistics: Vec<Statistics>,
    probes: Probes,
    representation: Option<Representation>,
    next: u32,
    tokens: u64,
}

/// Sequences whose activations are at hand.
struct Batch {
    passages: Vec<Passage>,
    /// Rows of each passage.
    rows: Vec<usize>,
    /// Of each site, f32 [rows, width].
    activations: Vec<Tensor>,
}

impl Pass {
    /// Over what these sites read.
    #[must_use]
    pub fn new(sites: &[Site], options: PassOptions) -> Self {
        let code = if options.codes { CODE } else { 0 };
        let of_site = |site: &Site| {
            let examples = Examples::new(site.latents, options.top_k, options.context, code);
            Statistics::new(site.latents, examples)
        };
        let latents: Vec<usize> = sites.iter().map(|site| site.latents).collect();
        Self {
            options,
            statistics: sites.iter().map(of_site).collect(),
            probes: Probes::new(options.sample, &latents),
            representation: None,
            next: 0,
            tokens: 0,
        }
    }

    /// Whether all has been read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.next >= self.options.sample.count()
    }

    /// How much has been read, 0 to 100.
    #[must_use]
    pub fn percent(&self) -> f64 {
        100.0 * f64::from(self.next) / f64::from(self.options.sample.count().max(1))
    }

    /// Tokens of text that were read.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// What was collected, for each site.
    #[must_use]
    pub fn statistics(&self) -> &[Statistics] {
        &self.statistics
    }

    /// The random windows.
    #[must_use]
    pub fn probes(&self) -> &Probes {
        &self.probes
    }

    /// Reads the next sequences.
    ///
    /// # Errors
    /// [`PassError`].
    pub fn step(
        &mut self,
        model: &LanguageModel,
        dataset: &TokenizedDataset,
        sites: &[Site],
    ) -> Result<(), PassError> {
        let _no_grad = tch::no_grad_guard();
        let batch = self.read(model, dataset, sites)?;
        self.tokens += batch.rows.iter().sum::<usize>() as u64;
        let sums = self.sums(&batch, sites)?;
        let mut active = Vec::with_capacity(sites.len());
        for (site, activations) in sites.iter().zip(&batch.activations) {
            active.push(self.active(site, activations, &batch)?);
        }
        for (at, passage) in batch.passages.iter().enumerate() {
            let sums = sums.get(at);
            for (statistics, active) in self.statistics.iter_mut().zip(&active) {
                statistics.read(passage, &active[at], sums);
            }
            let here: Vec<&Active> = active.iter().map(|of_site| &of_site[at]).collect();
            self.probes.read(passage, self.options.context, &here, sums);
        }
        Ok(())
    }

    fn read(
        &mut self,
        model: &LanguageModel,
        dataset: &TokenizedDataset,
        sites: &[Site],
    ) -> Result<Batch, PassError> {
        let length = dataset.context_length().max(1);
        let count = (TOKENS_PER_PASS / length).max(1) as u32;
        let sample = self.options.sample;
        let end = self.next.saturating_add(count).min(sample.count());
        let numbers: Vec<u64> = (self.next..end)
            .map(|nth| u64::from(sample.number(nth)))
            .collect();
        let read = dataset.batch(&numbers)?;
        let mut is_text = vec![false; numbers.len() * length];
        let all = is_text.len();
        read.is_text.f_copy_data(&mut is_text, all)?;
        let passages: Vec<Passage> = (self.next..end)
            .zip(is_text.chunks_exact(length))
            .map(|(nth, is_text)| Passage::new(sample.number(nth), is_text))
            .collect();
        let device = model.device();
        let points: Vec<HookPoint> = sites.iter().map(|site| site.reads).collect();
        let hooked = model.activations(&read.tokens.f_to_device(device)?, &points)?;
        let text = read
            .is_text
            .f_view([-1])?
            .f_nonzero()?
            .f_view([-1])?
            .f_to_device(device)?;
        let width = model.config().hidden_size;
        let activations = hooked
            .iter()
            .map(|activations| {
                activations
                    .f_reshape([-1, width])?
                    .f_index_select(0, &text)?
                    .f_to_kind(Kind::Float)
            })
            .collect::<Result<Vec<_>, TchError>>()?;
        self.next = end;
        Ok(Batch {
            rows: passages.iter().map(|passage| passage.text.len()).collect(),
            passages,
            activations,
        })
    }

    /// The running sums of each passage at the deepest site; none where no codes are wanted.
    fn sums(&mut self, batch: &Batch, sites: &[Site]) -> Result<Vec<Sums>, PassError> {
        let deepest = (0..sites.len()).max_by_key(|at| sites[*at].reads);
        let Some(activations) = deepest.and_then(|at| batch.activations.get(at)) else {
            return Ok(Vec::new());
        };
        if !self.options.codes || activations.size()[0] == 0 {
            return Ok(Vec::new());
        }
        let representation = match self.representation.take() {
            Some(representation) => representation,
            None => Representation::new(activations)?,
        };
        let sums = representation.sums(activations, &batch.rows)?;
        self.representation = Some(representation);
        Ok(sums)
    }

    /// What is active in each passage.
    fn active(
        &self,
        site: &Site,
        activations: &Tensor,
        batch: &Batch,
    ) -> Result<Vec<Active>, PassError> {
        let mut found = Vec::with_capacity(batch.passages.len());
        let mut first_row = 0;
        while found.len() < batch.passages.len() {
            let rest = &batch.rows[found.len()..];
            let mut rows = rest[0];
            let mut count = 1;
            while count < rest.len() && (rows + rest[count]) * site.latents <= DENSE_LATENTS {
                rows += rest[count];
                count += 1;
            }
            let passages = &batch.passages[found.len()..found.len() + count];
            let here = activations.f_narrow(0, first_row, rows as i64)?;
            let latents = site.autoencoder.encode(&here)?;
            found.extend(if latents.device() == Device::Cpu {
                of_dense(&latents, passages, site.latents, self.options.threads)?
            } else {
                of_indices(&latents, passages, site.latents)?
            });
            first_row += rows as i64;
        }
        Ok(found)
    }
}

/// Of latents in this machine's memory: rows are looked through by several threads.
fn of_dense(
    latents: &Tensor,
    passages: &[Passage],
    d_sae: usize,
    threads: usize,
) -> Result<Vec<Active>, TchError> {
    let latents = latents.f_to_kind(Kind::Float)?.f_contiguous()?;
    // SAFETY: a contiguous f32 tensor in this machine's memory, which lives and is not written to as long as the slice.
    let dense: &[f32] = unsafe {
        std::slice::from_raw_parts(latents.data_ptr().cast_const().cast(), latents.numel())
    };
    let mut work = Vec::with_capacity(passages.len());
    let mut rest = dense;
    for passage in passages {
        let (rows, behind) = rest.split_at(passage.text.len() * d_sae);
        work.push((rows, passage));
        rest = behind;
    }
    let share = work.len().div_ceil(threads.max(1)).max(1);
    let look = |(rows, passage): &(&[f32], &Passage)| Active::of_rows(rows, &passage.text, d_sae);
    if share >= work.len() {
        return Ok(work.iter().map(look).collect());
    }
    std::thread::scope(|scope| {
        let shares: Vec<_> = work
            .chunks(share)
            .map(|share| scope.spawn(move || share.iter().map(look).collect::<Vec<_>>()))
            .collect();
        let joined = shares.into_iter().map(|share| share.join());
        let all: Result<Vec<Vec<Active>>, _> = joined.collect();
        all.map(|all| all.into_iter().flatten().collect())
            .map_err(|_| TchError::Torch("a thread that looked for active latents panicked".into()))
    })
}

/// Of latents on a device: only the active pairs are copied.
fn of_indices(
    latents: &Tensor,
    passages: &[Passage],
    d_sae: usize,
) -> Result<Vec<Active>, TchError> {
    let active = latents.f_gt(0.0)?;
    let indices: Vec<i64> =
        Vec::<i64>::try_from(active.f_nonzero()?.f_to_device(Device::Cpu)?.f_view([-1])?)?;
    let values = latents.f_masked_select(&active)?.f_to_kind(Kind::Float)?;
    let values: Vec<f32> = Vec::<f32>::try_from(values.f_to_device(Device::Cpu)?)?;
    let mut pairs = indices.chunks_exact(2).zip(values).peekable();
    let mut end = 0;
    Ok(passages
        .iter()
        .map(|passage| {
            let start = end;
            end += passage.text.len();
            let mut here = Vec::new();
            while let Some((index, value)) = pairs.next_if(|(index, _)| (index[0] as usize) < end) {
                here.push((
                    index[1] as u32,
                    passage.text[index[0] as usize - start],
                    value,
                ));
            }
            Active::of_pairs(&here, d_sae)
        })
        .collect())
}
