//! Features with their examples, the tokens on which they fire highlighted.

use super::html::{escaped, number};
use crate::queries::{BestFeature, ReportExample};

/// Tokens on either side of the strongest one that are shown.
const AROUND: usize = 24;

/// A card for each feature.
pub(super) fn cards(features: &[BestFeature]) -> String {
    features.iter().map(card).collect()
}

fn card(feature: &BestFeature) -> String {
    let name = match feature.name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => escaped(name),
        None => format!("Latent {}", feature.neuron_index),
    };
    let description = feature
        .description
        .as_deref()
        .filter(|text| !text.is_empty())
        .map(|text| format!("<p>{}</p>", escaped(text)))
        .unwrap_or_default();
    let mut facts = vec![
        format!("feature {}", feature.id),
        format!("latent {}", feature.neuron_index),
    ];
    facts.extend(feature.layer.map(|layer| format!("layer {layer}")));
    facts.extend(
        feature
            .interpretability_score
            .map(|score| format!("score {}", number(score))),
    );
    facts.push(format!(
        "on {} % of tokens",
        number(feature.activation_frequency * 100.0)
    ));
    facts.extend(
        feature
            .max_activation_value
            .map(|most| format!("at most {}", number(most))),
    );
    let most = feature
        .max_activation_value
        .filter(|most| most.is_finite() && *most > 0.0);
    let examples: String = feature
        .examples
        .iter()
        .map(|shown| example(shown, most))
        .collect();
    format!(
        "<article class=\"feature\"><h3>{name}</h3><p class=\"facts\">{}</p>{description}{examples}</article>\n",
        facts.join(" · ")
    )
}

/// A window around the strongest token. `most` is what counts as full strength, else the window's own maximum.
fn example(example: &ReportExample, most: Option<f64>) -> String {
    let strongest = example
        .activations
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1))
        .map_or(0, |(at, _)| at);
    let full = most
        .or_else(|| example.activations.get(strongest).copied())
        .filter(|full| *full > 0.0)
        .unwrap_or(1.0);
    let from = strongest.saturating_sub(AROUND);
    let to = (strongest + AROUND + 1).min(example.tokens.len());
    let tokens: String = example
        .tokens
        .iter()
        .zip(&example.activations)
        .take(to)
        .skip(from)
        .map(|(text, activation)| token(text, *activation, full))
        .collect();
    format!("<p class=\"example\">{tokens}</p>")
}

fn token(text: &str, activation: f64, full: f64) -> String {
    // A line's end would tear the example apart.
    let text = escaped(&text.replace('\n', "⏎"));
    if activation > 0.0 {
        let strength = (activation / full).clamp(0.08, 1.0);
        format!(
            "<mark style=\"background:rgba(255,170,40,{strength:.2})\" title=\"{}\">{text}</mark>",
            number(activation)
        )
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firing_tokens_are_marked_the_stronger_the_brighter_and_nothing_is_markup() {
        let html = example(
            &ReportExample {
                tokens: ["the", " <sea>", "\n", " foam"].map(String::from).to_vec(),
                activations: vec![0.0, 4.0, 0.0, 1.0],
            },
            Some(4.0),
        );
        assert_eq!(
            html,
            "<p class=\"example\">the<mark style=\"background:rgba(255,170,40,1.00)\" title=\"4.000\"> &lt;sea&gt;</mark>⏎\
             <mark style=\"background:rgba(255,170,40,0.25)\" title=\"1.000\"> foam</mark></p>"
        );
    }

    #[test]
    fn of_a_long_window_only_what_is_around_the_strongest_token_is_shown() {
        let mut activations = vec![0.0; 500];
        activations[300] = 1.0;
        let html = example(
            &ReportExample {
                tokens: (0..500).map(|at| format!("[{at}]")).collect(),
                activations,
            },
            None,
        );
        assert!(html.contains("[276]") && html.contains("[324]"), "{html}");
        assert!(!html.contains("[275]") && !html.contains("[325]"), "{html}");
    }
}
