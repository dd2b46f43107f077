//! Values as columns can hold them. What does not fit is brought to the nearest that does: the event keeps the truth, and
//! one odd value must not stop a read model for good.

use std::borrow::Cow;

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

/// Text as a column of Postgres holds it: valid UTF-8 without the character 0.
pub(crate) fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        text
    }
}

/// JSON text as `jsonb` holds it: its strings have no character 0.
pub(crate) fn json(bytes: &[u8]) -> Cow<'_, str> {
    const ZERO: &str = "\\u0000";
    let text = String::from_utf8_lossy(bytes);
    if !text.contains(ZERO) {
        return text;
    }
    let mut safe = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(at) = rest.find('\\') {
        safe.push_str(&rest[..at]);
        // An escape is ASCII, and so is what it escapes: `\\u0000` is text that looks like one.
        let length = if rest[at..].starts_with(ZERO) {
            safe.push_str("\\ufffd");
            ZERO.len()
        } else {
            let length = rest[at..].chars().take(2).map(char::len_utf8).sum();
            safe.push_str(&rest[at..at + length]);
            length
        };
        rest = &rest[at + length..];
    }
    safe.push_str(rest);
    Cow::Owned(safe)
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
    #[test]
    fn the_character_0_is_replaced_where_postgres_refuses_it() {
        assert_eq!(utf8(b"a\0b\xff"), "a\u{fffd}b\u{fffd}");
        assert_eq!(utf8(b"plain"), "plain");
        assert_eq!(json(br#"["\u0000a"]"#), r#"["\ufffda"]"#);
        assert_eq!(json(br#"["\\u0000"]"#), r#"["\\u0000"]"#);
        assert_eq!(json(br#"["\\\u0000","\n"]"#), r#"["\\\ufffd","\n"]"#);
    }
}
