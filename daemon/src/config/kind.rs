//! The types that a setting may have: what is expected of a value, and how one is shown.

use super::Secret;
use serde::{Deserialize, Deserializer, de};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// A type of setting.
pub(crate) trait Kind {
    /// What a value must look like, for people.
    const EXPECTED: &'static str;
    /// Whether an environment variable holds it letter for letter.
    const TEXT: bool = false;
    /// Whether it is kept from being shown.
    const SECRET: bool = false;
    /// The value as TOML; none when it is not set.
    fn shown(&self) -> Option<String>;
}

macro_rules! numbers {
    ($($type:ty => $expected:literal),*) => { $(
        impl Kind for $type {
            const EXPECTED: &'static str = $expected;
            fn shown(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )* };
}
numbers! {
    u32 => "a whole number, 0 or more",
    u64 => "a whole number, 0 or more",
    i32 => "a whole number",
    f64 => "a number",
    bool => "true or false"
}

/// Text as a TOML basic string.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl Kind for String {
    const EXPECTED: &'static str = "text in quotes";
    const TEXT: bool = true;
    fn shown(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Kind for PathBuf {
    const EXPECTED: &'static str = "a path in quotes";
    const TEXT: bool = true;
    fn shown(&self) -> Option<String> {
        Some(quoted(&self.to_string_lossy()))
    }
}

impl Kind for SocketAddr {
    const EXPECTED: &'static str = "an address with a port in quotes, such as \"127.0.0.1:7423\"";
    const TEXT: bool = true;
    fn shown(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Kind for Secret {
    const EXPECTED: &'static str = "text in quotes";
    const TEXT: bool = true;
    const SECRET: bool = true;
    fn shown(&self) -> Option<String> {
        Some(quoted("***"))
    }
}

impl<T: Kind> Kind for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    const TEXT: bool = T::TEXT;
    const SECRET: bool = T::SECRET;
    fn shown(&self) -> Option<String> {
        self.as_ref().and_then(Kind::shown)
    }
}

/// A length of time, written as a number of seconds; fractions are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(Duration);

impl Seconds {
    /// So many whole seconds.
    #[must_use]
    pub const fn new(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// As the standard library has it.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds)
            .map(Self)
            .map_err(|_| de::Error::invalid_value(de::Unexpected::Float(seconds), &Self::EXPECTED))
    }
}

impl Kind for Seconds {
    const EXPECTED: &'static str = "a number of seconds, 0 or more";
    fn shown(&self) -> Option<String> {
        Some(self.0.as_secs_f64().to_string())
    }
}
