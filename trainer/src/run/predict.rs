//! Segmenting images with a trained network.

use super::failure::RunError;
use super::life::Next;
use super::watched::News;
use super::{Run, device, durable};
use crate::segmentation::{
    SegmentationError,
    listing::{images, pairs},
    model,
    predict::{Prediction, output_of, predict as segment},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use trainmaster_domain::run::control::Request;
use trainmaster_domain::run::journal::{Predicted, Record};
use trainmaster_domain::run::spec::PredictSegmentation;

/// What was found in each image, as a file of the output directory.
const SUMMARY: &str = "prediction.json";

/// What a record says of images is at most so long: a line of the journal has an end. The file says it of all.
const MOST_SAID: usize = 128 * 1024;

/// An image to segment, its labels, and where its classes go.
struct Wanted {
    image: PathBuf,
    labels: Option<PathBuf>,
    output: PathBuf,
}

/// Segments all images and says what was found. Each file is there whole or not at all; those that are there already are replaced.
///
/// # Errors
/// [`RunError`]: the run ends without a result.
pub(super) fn predict(run: &mut Run, wanted: &PredictSegmentation) -> Result<(), RunError> {
    run.say_progress("loading", 0.0)?;
    let model_path = Path::new(&wanted.model_path);
    durable::expect(model_path, &wanted.model_sha256)?;
    let (network, config) = model::load(model_path, device(&run.spec.resources.device)?)?;
    let output_dir = Path::new(&wanted.output_dir);
    fs::create_dir_all(output_dir).map_err(|error| RunError::of_file(output_dir, &error))?;
    let images = list(wanted, output_dir)?;

    run.say_progress("predicting", 0.0)?;
    let count = images.len() as f64;
    let mut news = News::new();
    let mut found = Vec::with_capacity(images.len());
    for (n, image) in images.iter().enumerate() {
        run.still_ours()?;
        let mut ended = None;
        let prediction = segment(
            &network,
            &config,
            &image.image,
            image.labels.as_deref(),
            &image.output,
            &mut |done| {
                run.life.progress();
                let percent = 100.0 * (n as f64 + done) / count;
                ended = match run.life.heard() {
                    Next::GoOn if news.is(percent) => {
                        run.say_progress("predicting", percent).err().map(Err)
                    }
                    Next::GoOn => None,
                    Next::Asked(Request::Stop) => Some(Ok(())),
                    Next::Asked(Request::Pause) => Some(Err(RunError::Interrupted)),
                    Next::Leave => Some(Err(RunError::Superseded)),
                    Next::Save | Next::Requeue => Some(Err(RunError::Left)),
                };
                match ended {
                    None => ControlFlow::Continue(()),
                    Some(_) => ControlFlow::Break(()),
                }
            },
        );
        match ended {
            Some(Ok(())) => return run.say(Record::Cancelled {}, true),
            Some(Err(error)) => return Err(error),
            None => found.extend(prediction?),
        }
    }
    run.still_ours()?;
    let summary = output_dir.join(SUMMARY);
    write_summary(
        &summary,
        &of_all(wanted, &config.shape.classes, &found, found.len()),
    )
    .map_err(|error| RunError::of_file(&summary, &error))?;
    let mut said = found.len();
    let mut prediction = of_all(wanted, &config.shape.classes, &found, said);
    while prediction.to_string().len() > MOST_SAID && said > 0 {
        said /= 2;
        prediction = of_all(wanted, &config.shape.classes, &found, said);
    }
    run.say(
        Record::Predicted(Box::new(Predicted {
            output_dir: wanted.output_dir.clone(),
            prediction,
        })),
        true,
    )
}

/// Every image once, under the name that its file of classes gets.
fn list(wanted: &PredictSegmentation, output_dir: &Path) -> Result<Vec<Wanted>, RunError> {
    let misfit = |what: String| RunError::from(SegmentationError::Misfit { what });
    let mut by_output: BTreeMap<PathBuf, Wanted> = BTreeMap::new();
    for path in &wanted.images {
        let path = Path::new(path);
        let listed: Vec<(PathBuf, Option<PathBuf>)> = match &wanted.labels_path {
            Some(labels) => pairs(path, Path::new(labels))?
                .into_iter()
                .map(|pair| (pair.image, Some(pair.labels)))
                .collect(),
            None => images(path)?
                .into_values()
                .map(|image| (image, None))
                .collect(),
        };
        for (image, labels) in listed {
            let output = output_of(&image, output_dir);
            for taken in [Some(&image), labels.as_ref()].into_iter().flatten() {
                if is_same(taken, &output) {
                    return Err(misfit(format!(
                        "the prediction of {} would replace {}: name another output directory",
                        image.display(),
                        taken.display()
                    )));
                }
            }
            let one = Wanted {
                image,
                labels,
                output: output.clone(),
            };
            if let Some(other) = by_output.insert(output, one)
                && let Some(one) = by_output.get(&output_of(&other.image, output_dir))
                && !is_same(&one.image, &other.image)
            {
                return Err(misfit(format!(
                    "the predictions of {} and {} would have one name: predict them into different directories",
                    other.image.display(),
                    one.image.display()
                )));
            }
        }
    }
    if by_output.is_empty() {
        return Err(RunError::from(SegmentationError::Empty {
            what: "there is no image to segment: name at least one".into(),
        }));
    }
    Ok(by_output.into_values().collect())
}

fn is_same(a: &Path, b: &Path) -> bool {
    matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

/// What was found in all, and in each of the first images.
fn of_all(wanted: &PredictSegmentation, classes: &i64, found: &[Prediction], said: usize) -> Value {
    let dice: Vec<f64> = found.iter().filter_map(|image| image.mean_dice).collect();
    let mean_dice = (!dice.is_empty()).then(|| dice.iter().sum::<f64>() / dice.len() as f64);
    let mut all = json!({
        "model_path": wanted.model_path,
        "model_sha256": wanted.model_sha256,
        "classes": classes,
        "count": found.len(),
        "summary": Path::new(&wanted.output_dir).join(SUMMARY),
        "images": found.get(..said),
    });
    if let Some(mean) = mean_dice {
        all["mean_dice"] = json!(mean);
    }
    if said < found.len() {
        all["images_left_out"] = json!(found.len() - said);
    }
    all
}

fn write_summary(path: &Path, summary: &Value) -> std::io::Result<()> {
    let beside = path.with_file_name(format!(".{SUMMARY}.{}.partial", std::process::id()));
    let mut file = fs::File::create(&beside)?;
    file.write_all(format!("{summary:#}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    durable::sync_directory(path.parent().unwrap_or(Path::new(".")))
}
