//! Names and scores: what becomes of each latent that is a feature.

use super::open::{Opened, Place};
use super::{End, Progress};
use crate::features::artifact::{FeatureRow, rounded};
use crate::features::label::Label;
use crate::features::pass::Pass;
use crate::features::score::{
    COMPONENTS, Calibration, Context, Evaluated, Evaluator, PERMUTED, VERSION, four_digits,
};
use crate::random::Random;
use crate::run::Run;
use crate::run::failure::RunError;
use trainmaster_domain::hyperparameters::Hook;
use trainmaster_domain::run::journal::Scoring;
use trainmaster_domain::run::spec::Extract;

/// Features that are evaluated at once; with a vocabulary of 50,000 their logits take 13 MB.
const AT_ONCE: usize = 64;

/// A feature: which latent of which of the wanted sites.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) site: usize,
    pub(super) latent: usize,
}

/// The latents that are features, ascending by their number.
pub(super) fn found(spec: &Extract, opened: &Opened, pass: &Pass) -> Vec<Found> {
    let mut found = Vec::new();
    for (site, statistics) in pass.statistics().iter().enumerate() {
        let is_feature = |latent: &usize| {
            let count = statistics.count(*latent);
            count > 0 && frequency(count, pass) >= spec.minimum_frequency
        };
        let latents = (0..statistics.latents()).filter(is_feature);
        found.extend(latents.map(|latent| Found { site, latent }));
    }
    found.sort_by_key(|found| opened.places[found.site].first + found.latent);
    found
}

/// A row for each feature, and how they were scored.
pub(super) fn evaluate(
    run: &mut Run,
    spec: &Extract,
    opened: &Opened,
    pass: &Pass,
) -> Result<(Vec<FeatureRow>, Scoring), End> {
    let mut progress = Progress::begin(run, "scoring")?;
    let found = found(spec, opened, pass);
    let evaluator = Evaluator::new(
        &opened.model,
        &opened.dataset,
        &opened.texts,
        pass.probes(),
        &opened.embedder,
    )?;
    let most = opened.embedder.examples();
    let sample = sample(&found, pass);
    let mixed = permuted(&sample, pass, most);
    let (mut permuted, mut done) = (Vec::new(), 0);
    let all = (sample.len() + found.len()).max(1);
    each_site(opened, &evaluator, &sample, &mut |lens, batch| {
        let latents: Vec<usize> = batch.iter().map(|found| found.latent).collect();
        let evaluated =
            evaluator.evaluate(lens, &latents, &mixed[done..done + batch.len()], true)?;
        permuted.extend(evaluated.iter().filter_map(|one| one.components.raw()));
        done += batch.len();
        progress.tell(run, 100.0 * done as f64 / all as f64)
    })?;
    let calibration = Calibration::new(permuted);
    let mut rows = Vec::with_capacity(found.len());
    each_site(opened, &evaluator, &found, &mut |lens, batch| {
        let latents: Vec<usize> = batch.iter().map(|found| found.latent).collect();
        let examples: Vec<Vec<Context>> = batch
            .iter()
            .map(|found| examples(*found, pass, most))
            .collect();
        let evaluated = evaluator.evaluate(lens, &latents, &examples, false)?;
        for (found, evaluated) in batch.iter().zip(&evaluated) {
            rows.push(row(*found, evaluated, calibration, opened, pass)?);
        }
        done += batch.len();
        progress.tell(run, 100.0 * done as f64 / all as f64)
    })?;
    let scoring = Scoring {
        version: VERSION,
        components: COMPONENTS.map(str::to_owned).to_vec(),
        embedder: opened.embedder.name(),
        permuted_mean: four_digits(calibration.mean),
        permuted_p95: four_digits(calibration.p95),
    };
    Ok((rows, scoring))
}

type Take<'a> = dyn FnMut(&crate::features::score::Lens<'_>, &[Found]) -> Result<(), End> + 'a;

/// Hands on features of one site, some at a time, in their order.
fn each_site(
    opened: &Opened,
    evaluator: &Evaluator<'_>,
    found: &[Found],
    take: &mut Take<'_>,
) -> Result<(), End> {
    for of_site in found.chunk_by(|left, right| left.site == right.site) {
        let site = of_site[0].site;
        let lens = evaluator.lens(&opened.sites[site], site, opened.places[site].writes)?;
        for batch in of_site.chunks(AT_ONCE) {
            take(&lens, batch)?;
        }
    }
    Ok(())
}

fn row(
    found: Found,
    evaluated: &Evaluated,
    calibration: Calibration,
    opened: &Opened,
    pass: &Pass,
) -> Result<FeatureRow, End> {
    let statistics = &pass.statistics()[found.site];
    let place = &opened.places[found.site];
    let mut strongest = Vec::new();
    for example in statistics.examples().of(found.latent) {
        let tokens = opened.dataset.sequence(u64::from(example.sequence))?;
        strongest.extend(tokens.get(example.window.position as usize));
    }
    let frequency = frequency(statistics.count(found.latent), pass);
    let label = Label::new(&strongest, &evaluated.promoted, frequency, &opened.texts);
    let score = evaluated.components.raw().map(|raw| calibration.score(raw));
    Ok(FeatureRow {
        neuron_index: number(place, found.latent)?,
        layer: i32::try_from(place.site.layer).unwrap_or(i32::MAX),
        hook: match place.site.hook {
            Hook::Residual => "residual",
            Hook::Mlp => "mlp",
            Hook::Attention => "attention",
        }
        .to_owned(),
        activation_frequency: frequency,
        max_activation_value: rounded(statistics.maximum(found.latent)),
        name: label.name,
        description: label.description,
        interpretability_score: score.map(four_digits),
        score_components: Some(evaluated.components.to_json().to_string()),
    })
}

/// A latent's number, counted through all the training's sites.
pub(super) fn number(place: &Place, latent: usize) -> Result<i32, RunError> {
    i32::try_from(place.first + latent).map_err(|_| RunError::Unsupported {
        what: "the training has more latents than can be numbered: extract from fewer sites".into(),
    })
}

fn frequency(count: u64, pass: &Pass) -> f64 {
    count as f64 / pass.tokens().max(1) as f64
}

/// At most `most` examples of a feature, from the strongest to the weakest that were kept.
fn examples(found: Found, pass: &Pass, most: usize) -> Vec<Context> {
    let kept = pass.statistics()[found.site].examples().of(found.latent);
    let taken = kept.len().min(most);
    (0..taken)
        .map(|at| Context::from(&kept[at * kept.len() / taken]))
        .collect()
}

/// Features to permute, spread over all.
fn sample(found: &[Found], pass: &Pass) -> Vec<Found> {
    let several: Vec<Found> = found
        .iter()
        .filter(|found| !examples(**found, pass, 4).is_empty())
        .copied()
        .collect();
    let taken = several.len().min(PERMUTED);
    let spread = (0..taken).map(|at| several[at * several.len() / taken]);
    // Alone, a feature has none to take examples from.
    if taken > 1 {
        spread.collect()
    } else {
        Vec::new()
    }
}

/// For each of some features as many examples as it has, each from another of them.
fn permuted(sample: &[Found], pass: &Pass, most: usize) -> Vec<Vec<Context>> {
    let own: Vec<Vec<Context>> = sample
        .iter()
        .map(|found| examples(*found, pass, most))
        .collect();
    let of_others = |(at, count): (usize, usize)| {
        let mut random = Random::new(0, "permuted", at as u64);
        (0..count)
            .map(|_| {
                let step = 1 + random.below(sample.len() as u64 - 1) as usize;
                let other = &own[(at + step) % sample.len()];
                other[random.below(other.len() as u64) as usize].clone()
            })
            .collect()
    };
    own.iter()
        .map(Vec::len)
        .enumerate()
        .map(of_others)
        .collect()
}
