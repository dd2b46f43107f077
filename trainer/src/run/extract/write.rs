//! Writing the artifacts.

use super::open::Opened;
use super::{End, Progress, rows};
use crate::features::artifact::{ExampleFile, ExampleRow, FeatureRow, rounded, write_features};
use crate::features::examples::Example;
use crate::features::pass::Pass;
use crate::run::failure::RunError;
use crate::run::{Run, durable};
use std::path::Path;
use trainmaster_domain::run::artifact::{ACTIVATIONS, FEATURES};
use trainmaster_domain::run::journal::Artifact;
use trainmaster_domain::run::spec::Extract;

/// Writes features and their examples as the run's result.
pub(super) fn write(
    run: &mut Run,
    spec: &Extract,
    opened: &Opened,
    pass: &Pass,
    features: &[FeatureRow],
) -> Result<(Artifact, Artifact), End> {
    let result = run.directory.join("result");
    let mut rows = (0, 0);
    let mut cancelled = false;
    let written = durable::write_directory(&result, |directory| {
        match fill(directory, run, spec, opened, pass, features) {
            Ok(written) => rows = written,
            Err(End::Failed(error)) => return Err(error),
            Err(End::Cancelled) => {
                cancelled = true;
                return Err(RunError::Interrupted);
            }
        }
        run.still_ours()
    });
    if cancelled {
        return Err(End::Cancelled);
    }
    written?;
    Ok((
        artifact(&result.join(FEATURES), rows.0)?,
        artifact(&result.join(ACTIVATIONS), rows.1)?,
    ))
}

/// Writes both files; says how many rows each has.
fn fill(
    directory: &Path,
    run: &mut Run,
    spec: &Extract,
    opened: &Opened,
    pass: &Pass,
    features: &[FeatureRow],
) -> Result<(i64, i64), End> {
    let mut progress = Progress::begin(run, "writing")?;
    let of_features = write_features(&directory.join(FEATURES), features)?;
    let mut file = ExampleFile::create(&directory.join(ACTIVATIONS))?;
    let found = rows::found(spec, opened, pass);
    for (at, feature) in found.iter().enumerate() {
        let neuron_index = rows::number(&opened.places[feature.site], feature.latent)?;
        let examples = pass.statistics()[feature.site].examples();
        for example in examples.of(feature.latent) {
            file.push(example_row(neuron_index, &example, spec, opened)?)?;
        }
        progress.tell(run, 100.0 * (at + 1) as f64 / found.len() as f64)?;
    }
    Ok((of_features, file.finish()?))
}

fn artifact(path: &Path, rows: i64) -> Result<Artifact, RunError> {
    let (size_bytes, sha256) =
        durable::hash_file(path).map_err(|error| RunError::of_file(path, &error))?;
    Ok(Artifact {
        path: path.to_string_lossy().into_owned(),
        sha256,
        size_bytes,
        rows,
    })
}

fn example_row(
    neuron_index: i32,
    example: &Example<'_>,
    spec: &Extract,
    opened: &Opened,
) -> Result<ExampleRow, RunError> {
    let sequence = opened.dataset.sequence(u64::from(example.sequence))?;
    let window = example.window;
    let damaged = || RunError::Internal {
        what: "an example lies outside of its sequence".into(),
    };
    let tokens = sequence
        .get(window.start() as usize..window.end() as usize)
        .ok_or_else(damaged)?;
    let (before, rest) = tokens.split_at(usize::from(window.before));
    let after = rest.get(1..).unwrap_or_default();
    let words: Vec<&str> = tokens.iter().map(|id| opened.texts.of(*id)).collect();
    let activations: Vec<f64> = example.activations().map(rounded).collect();
    let json = |error: serde_json::Error| RunError::Internal {
        what: error.to_string(),
    };
    Ok(ExampleRow {
        neuron_index,
        dataset_sample_id: format!("{}/{}", spec.dataset_id, example.sequence),
        sample_index: i32::try_from(example.sequence).unwrap_or(i32::MAX),
        tokens: serde_json::to_string(&words).map_err(json)?,
        activations: serde_json::to_string(&activations).map_err(json)?,
        max_activation: rounded(example.strength),
        context_before: opened.texts.of_all(before)?,
        context_after: opened.texts.of_all(after)?,
    })
}
