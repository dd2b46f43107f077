//! A feature and its examples, as people look at them: the tokens on which it fires are highlighted as strongly as it fires.

use crate::{
    cli::{format, table::pairs},
    queries::{Example, FeatureDetail},
};
use std::io::{self, IsTerminal};

/// How tokens are highlighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// By background colours of a terminal.
    Colours,
    /// By brackets around tokens that fire at half the strongest or more.
    Brackets,
}

/// Shades from the faintest to the strongest: numbers of the 256 colours of terminals.
const SHADES: [u8; 6] = [229, 223, 216, 209, 202, 196];

impl Style {
    /// Colours where there is a terminal that wants them (<https://no-color.org>).
    pub(super) fn of_terminal() -> Self {
        let wants_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if io::stdout().is_terminal() && !wants_none {
            Self::Colours
        } else {
            Self::Brackets
        }
    }
}

pub(super) fn lines(detail: &FeatureDetail, style: Style) -> Vec<String> {
    let feature = &detail.feature;
    let marks = match (feature.is_favorite, feature.is_hidden) {
        (true, true) => "favourite, hidden",
        (true, false) => "favourite",
        (false, true) => "hidden",
        (false, false) => "",
    };
    let text = |text: &Option<String>| text.as_deref().map(harmless).unwrap_or_default();
    let measure = |value: Option<f64>| value.map(format::measure).unwrap_or_default();
    let mut lines = pairs(&[
        ("id", feature.id.to_string()),
        ("name", text(&feature.name)),
        ("description", text(&feature.description)),
        ("marks", marks.to_owned()),
        ("training", feature.training_id.clone()),
        (
            "layer",
            feature
                .layer
                .map(|layer| layer.to_string())
                .unwrap_or_default(),
        ),
        ("neuron", feature.neuron_index.to_string()),
        ("frequency", format::measure(feature.activation_frequency)),
        ("max activation", measure(feature.max_activation_value)),
        ("score", measure(feature.interpretability_score)),
        ("updated", format::time(feature.updated_at)),
    ]);
    if !detail.examples.is_empty() {
        lines.push(String::new());
    }
    for example in &detail.examples {
        lines.push(line(example, style));
    }
    lines
}

/// An example in one line: its strongest activation, then its tokens.
fn line(example: &Example, style: Style) -> String {
    let strongest = example.max_activation;
    let mut line = format!("{:>9}  ", format::measure(strongest));
    for (n, token) in example.tokens.iter().enumerate() {
        let activation = example.activations.get(n).copied().unwrap_or(0.0);
        let share = if strongest > 0.0 {
            (activation / strongest).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let token = harmless(token);
        match style {
            Style::Colours => match shade(share) {
                Some(shade) => {
                    // Black on the shade; then as before.
                    line.push_str(&format!("\x1b[30;48;5;{shade}m{token}\x1b[0m"));
                }
                None => line.push_str(&token),
            },
            Style::Brackets if share >= 0.5 => {
                // The space in front of a word stays outside.
                let word = token.trim_start();
                line.push_str(&token[..token.len() - word.len()]);
                line.push_str(&format!("[{word}]"));
            }
            Style::Brackets => line.push_str(&token),
        }
    }
    line
}

fn shade(share: f64) -> Option<u8> {
    if share.is_nan() || share <= 0.0 {
        return None;
    }
    let step = (share * SHADES.len() as f64).ceil() as usize;
    SHADES.get(step.clamp(1, SHADES.len()) - 1).copied()
}

/// Text that a terminal takes for nothing but text: line breaks and tabs become signs of themselves, other control characters, and those that
/// change the direction of writing, a replacement.
pub(super) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => '⏎',
            '\t' => '⇥',
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                '\u{fffd}'
            }
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Example {
        Example {
            id: 1,
            dataset_sample_id: None,
            sample_index: None,
            tokens: vec![
                "the".into(),
                " sea".into(),
                "\x1b[2J\n".into(),
                " shore".into(),
            ],
            activations: vec![0.0, 8.0, 0.5, 4.0],
            max_activation: 8.0,
            context_before: None,
            context_after: None,
        }
    }

    #[test]
    fn what_fires_is_highlighted_in_proportion() {
        assert_eq!(
            line(&example(), Style::Brackets),
            "    8.000  the [sea]\u{fffd}[2J⏎ [shore]"
        );
        let colours = line(&example(), Style::Colours);
        assert!(
            colours.contains("the\x1b[30;48;5;196m sea\x1b[0m"),
            "{colours:?}"
        );
        assert!(
            colours.contains("\x1b[30;48;5;216m shore\x1b[0m"),
            "{colours:?}"
        );
        assert!(
            colours.contains("\x1b[30;48;5;229m\u{fffd}[2J⏎\x1b[0m"),
            "{colours:?}"
        );
    }

    #[test]
    fn text_cannot_steer_the_terminal() {
        assert_eq!(
            harmless("a\x1b[31m\r\u{7}\u{9b}\u{202e}b"),
            "a\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}\u{fffd}b"
        );
    }

    #[test]
    fn shades_begin_above_nothing_and_end_at_the_strongest() {
        assert_eq!(shade(0.0), None);
        assert_eq!(shade(f64::NAN), None);
        assert_eq!(shade(0.01), Some(229));
        assert_eq!(shade(1.0), Some(196));
    }
}
