//! Names that a program can give: what a feature fires on and what it promotes.

use super::token_text::TokenTexts;
use std::collections::HashMap;
use trainmaster_domain::feature::MAX_NAME;

/// Tokens that a name lists, of each kind; a description lists twice as many.
const LISTED: usize = 5;

/// The longest text of a token in a list, in characters.
const LONGEST: usize = 24;

/// What is known of a feature in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// At most [`MAX_NAME`] characters.
    pub name: String,
    /// A sentence or two.
    pub description: String,
}

impl Label {
    /// Of the strongest token of each example (the strongest example first), of the tokens that it promotes (the most promoted
    /// first) and of the fraction of tokens on which it fires.
    #[must_use]
    pub fn new(strongest: &[u32], promoted: &[u32], frequency: f64, texts: &TokenTexts) -> Self {
        let fires_on = by_count(strongest);
        let list = |ids: &[u32], most: usize| {
            let quoted = ids.iter().filter_map(|id| quote(texts.of(*id)));
            quoted.take(most).collect::<Vec<_>>().join(", ")
        };
        let mut name = format!("fires on {}", list(&fires_on, LISTED));
        let mut description = format!(
            "Fires on {} of tokens, among the strongest on {}.",
            percentage(frequency),
            list(&fires_on, 2 * LISTED)
        );
        if !promoted.is_empty() {
            name += &format!("; promotes {}", list(promoted, LISTED));
            description += &format!(
                " Where it fires, it promotes {}.",
                list(promoted, 2 * LISTED)
            );
        }
        Self {
            name: name.chars().take(MAX_NAME).collect(),
            description,
        }
    }
}

/// Each id once, the most frequent first, among equals the one that came first.
fn by_count(ids: &[u32]) -> Vec<u32> {
    let mut counts = HashMap::<u32, usize>::new();
    let mut order = Vec::new();
    for id in ids {
        let count = counts.entry(*id).or_default();
        if *count == 0 {
            order.push(*id);
        }
        *count += 1;
    }
    order.sort_by_key(|id| std::cmp::Reverse(counts[id]));
    order
}

/// A token in quotation marks, control characters escaped; none for one without a text.
fn quote(text: &str) -> Option<String> {
    let mut cut: String = text.chars().take(LONGEST).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    (!text.is_empty()).then(|| format!("{cut:?}"))
}

/// With two significant digits.
fn percentage(fraction: f64) -> String {
    let percent = 100.0 * fraction;
    let digits = (1.0 - percent.max(1e-9).log10().floor()).clamp(0.0, 8.0);
    format!("{percent:.*} %", digits as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_token_comes_first() {
        assert_eq!(by_count(&[7, 3, 3, 9, 7]), [7, 3, 9]);
    }

    #[test]
    fn frequencies_have_two_significant_digits() {
        let of = |fraction| percentage(fraction);
        assert_eq!(of(0.123_4), "12 %");
        assert_eq!(of(0.001_234), "0.12 %");
        assert_eq!(of(0.000_012_34), "0.0012 %");
    }

    #[test]
    fn long_and_unprintable_tokens_are_cut_and_escaped() {
        assert_eq!(quote("\n"), Some("\"\\n\"".into()));
        assert_eq!(quote(""), None);
        let cut = quote(&" ".repeat(100)).unwrap();
        assert_eq!(cut.chars().count(), LONGEST + 3);
    }
}
