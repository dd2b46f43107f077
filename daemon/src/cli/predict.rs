//! `predict`: images are to be segmented; what was found in each, if it is waited for.

use super::{
    arguments::images::PredictArguments,
    client::{Client, encode},
    failure::Failure,
    format,
    jobs::follow::until_done,
    output::Output,
    register::{Answer, absolute, without_nulls},
    table::Table,
};
use serde_json::{Value, json};
use std::{path::Path, process::ExitCode, time::Duration};

pub(super) async fn predict(
    client: &Client,
    arguments: PredictArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let path = |path: &Path| absolute(client, path);
    let images: Vec<String> = arguments
        .images
        .iter()
        .map(|image| path(image))
        .collect::<Result<_, _>>()?;
    let body = without_nulls(json!({
        "model": arguments.model,
        "images": images,
        "labels": arguments.labels.as_deref().map(path).transpose()?,
        "output_dir": arguments.output.as_deref().map(path).transpose()?,
        "placement": arguments.placement.body(),
    }));
    let request = &arguments.request;
    let answer: Answer = client
        .post(
            "/v1/predictions",
            Some(body),
            request.idempotency_key.as_deref(),
        )
        .await?;
    if !request.wait {
        if output.is_json() {
            output.json(&answer)?;
        } else {
            output.line(&answer.id);
        }
        return Ok(ExitCode::SUCCESS);
    }
    output.remark(&answer.id);
    let limit = Duration::from_secs(request.timeout);
    until_done(client, "prediction", &answer, limit, output).await?;
    let job: Value = client
        .get(&format!("/v1/jobs/{}", encode(&answer.id)))
        .await?;
    if output.is_json() {
        output.json(&job)?;
    } else {
        summary(&job["predicted"], output);
    }
    Ok(ExitCode::SUCCESS)
}

/// What was found, a line an image.
pub(super) fn summary(predicted: &Value, output: Output) {
    for line in lines(predicted) {
        output.line(super::generate::printable(&line));
    }
}

fn lines(predicted: &Value) -> Vec<String> {
    let found = &predicted["prediction"];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let dice = |value: &Value| {
        value
            .as_f64()
            .map_or_else(|| "-".to_owned(), |it| format!("{it:.3}"))
    };
    let images = found["images"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let has_labels = found["mean_dice"].is_number();
    let mut head = vec!["IMAGE", ">CONFIDENCE", "PARTS OF CLASSES"];
    if has_labels {
        head.push(">DICE");
    }
    let mut table = Table::new(&head);
    for image in images {
        let parts: Vec<String> = image["fractions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_f64)
            .map(|part| format!("{:.1}%", 100.0 * part))
            .collect();
        let mut row = vec![
            text(&image["image"]),
            dice(&image["mean_confidence"]),
            format::short(&parts.join(" "), 60),
        ];
        if has_labels {
            row.push(dice(&image["mean_dice"]));
        }
        table.row(row);
    }
    let mut lines = if table.is_empty() {
        vec![]
    } else {
        table.lines()
    };
    if let Some(left_out) = found["images_left_out"].as_u64() {
        lines.push(format!(
            "… and {left_out} more; all are in {}",
            text(&found["summary"])
        ));
    }
    let mean = if has_labels {
        format!(", Dice {}", dice(&found["mean_dice"]))
    } else {
        String::new()
    };
    let count = found["count"].as_u64().unwrap_or(images.len() as u64);
    lines.push(format!(
        "{count} images{mean}: {}",
        text(&predicted["output_dir"])
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_a_line_an_image_and_one_for_all() {
        let predicted = json!({ "output_dir": "/out", "prediction": {
            "count": 3, "mean_dice": 0.75, "images_left_out": 1, "summary": "/out/prediction.json",
            "images": [
                { "image": "/a.png", "fractions": [0.9, 0.1], "mean_confidence": 0.98, "mean_dice": 0.8 },
                { "image": "/b.png", "fractions": [1.0, 0.0], "mean_confidence": 0.91 },
            ],
        } });
        assert_eq!(
            lines(&predicted),
            [
                "IMAGE   CONFIDENCE  PARTS OF CLASSES   DICE",
                "/a.png       0.980  90.0% 10.0%       0.800",
                "/b.png       0.910  100.0% 0.0%           -",
                "… and 1 more; all are in /out/prediction.json",
                "3 images, Dice 0.750: /out",
            ]
        );
        assert_eq!(lines(&json!({ "output_dir": "/out" })), ["0 images: /out"]);
    }
}
