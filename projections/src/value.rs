//! Values as columns can hold them. What does not fit is brought to the nearest that does: the event keeps the truth, and
//! one odd value must not stop a read model for good.

/// Text cut to the characters that a `VARCHAR` holds.
pub(crate) fn text(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// A number as an `INTEGER` holds it.
pub(crate) fn integer<N: TryInto<i32> + PartialOrd + Default>(number: N) -> i32 {
    let negative = number < N::default();
    number
        .try_into()
        .unwrap_or(if negative { i32::MIN } else { i32::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters_not_bytes() {
        assert_eq!(text("straße", 5), "straß");
        assert_eq!(text("short", 100), "short");
    }

    #[test]
    fn a_number_beyond_an_integer_becomes_the_nearest() {
        assert_eq!(integer(7_u64), 7);
        assert_eq!(integer(u64::MAX), i32::MAX);
        assert_eq!(integer(i64::MIN), i32::MIN);
    }
}
