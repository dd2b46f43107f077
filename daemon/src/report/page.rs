//! The page.

use super::{
    Report,
    charts::{self, ChartError},
    features,
    html::escaped,
    tables,
};
use crate::queries::Metric;

/// Nothing is loaded and nothing runs, whatever a name or a text may say.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// A curve: its title, and a step's value.
type Curve = (&'static str, fn(&Metric) -> Option<f64>);

const CURVES: [Curve; 4] = [
    ("Loss", |metric| Some(metric.loss)),
    ("L0: active latents a token", |metric| metric.sparsity),
    ("Explained variance", |metric| metric.explained_variance),
    ("Dead latents", |metric| metric.dead_neurons.map(f64::from)),
];

/// The report as an HTML document.
///
/// # Errors
/// [`ChartError`].
pub fn page(report: &Report) -> Result<String, ChartError> {
    let training = &report.training.training;
    let id = escaped(&training.id);
    let mut sections = vec![
        section("Training", &tables::facts(&report.training)),
        section("Curves", &curves(&report.metrics)?),
    ];
    if let Some(evaluation) = tables::evaluation(&report.training.evaluations) {
        sections.push(section("Evaluation", &evaluation));
    }
    sections.push(section("Features", &feature_density(report)?));
    if !report.features.is_empty() {
        sections.push(section(
            "Best features",
            &format!(
                "<p class=\"facts\">highest interpretability score first; tokens are marked where the feature fires</p>{}",
                features::cards(&report.features)
            ),
        ));
    }
    sections.push(section(
        "Hyperparameters",
        &tables::hyperparameters(&training.hyperparameters),
    ));
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <link rel=\"icon\" href=\"data:,\"><title>{id}</title><style>{}</style></head>\n\
         <body><main><h1>{id}</h1>\n{}</main></body></html>\n",
        include_str!("page/style.css"),
        sections.concat()
    ))
}

fn section(title: &str, content: &str) -> String {
    format!("<section><h2>{}</h2>{content}</section>\n", escaped(title))
}

fn figure(title: &str, svg: &str) -> String {
    format!(
        "<figure><figcaption>{}</figcaption>{svg}</figure>",
        escaped(title)
    )
}

fn curves(metrics: &[Metric]) -> Result<String, ChartError> {
    let mut figures = String::new();
    for (title, value) in CURVES {
        let points: Vec<(f64, f64)> = metrics
            .iter()
            .filter_map(|metric| Some((f64::from(metric.step), value(metric)?)))
            .collect();
        if let Some(svg) = charts::curve(&points)? {
            figures.push_str(&figure(title, &svg));
        }
    }
    Ok(if figures.is_empty() {
        "<p>Too few steps have been recorded for a curve.</p>".to_owned()
    } else {
        format!("<div class=\"charts\">{figures}</div>")
    })
}

fn feature_density(report: &Report) -> Result<String, ChartError> {
    let all: i64 = report.density.iter().map(|bin| bin.features).sum();
    Ok(match charts::density(&report.density)? {
        Some(svg) => format!(
            "<p class=\"facts\">{all} features</p><div class=\"charts\">{}</div>",
            figure("How often features are active", &svg)
        ),
        None => "<p>No features have been extracted.</p>".to_owned(),
    })
}
