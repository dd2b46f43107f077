//! How far the log had got, signed, in a line that can be kept elsewhere.
//!
//! A chain of hashes cannot show that its end is gone, and `log.heads` goes with a database that is set back to an earlier dump. A head
//! that was kept outside of it stays: [`Log::verify`](super::Log::verify_with) with a head tells whether the log still begins with
//! what the head speaks of.
//!
//! **What a head proves.** Whoever holds the key of the state directory said at that time: up to and with this position the log has these
//! streams and these events, each with every column as it was, because the digest ([`StreamsDigest`]) covers the last hash of
//! each stream and with it, by the chain, all events before. So a log that is verified against it has lost, changed and gained nothing
//! up to that position. It does not prove that the time is right, nor anything about events after the position, nor about what was
//! removed before it was made; and whoever has the key can sign another one, so the public key should be kept apart from the heads.

mod digest;
mod export;
mod key;
mod take;

pub(in crate::log) use digest::StreamsDigest;
pub use export::{ExportError, HeadExport};
pub use key::{HeadKey, HeadKeyError};

use chrono::{DateTime, SecondsFormat, Utc};
use ed25519_dalek::{Signature, VerifyingKey};
use std::{collections::HashMap, fmt, str::FromStr};
use trainmaster_domain::Position;

/// The first word of a head; another form would have another one.
const FORM: &str = "trainmaster-head-1";

/// A head whose signature is right. As text, one line:
///
/// ```text
/// trainmaster-head-1 position=812-33 events=18 streams=3 digest=<64 hex> at=2026-01-01T12:00:00.000Z key=<64 hex> signature=<128 hex>
/// ```
///
/// The signature (Ed25519, RFC 8032) is over the line as far as the blank before `signature=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last event that it speaks of; [`Position::START`] of an empty log.
    pub position: Position,
    /// Events up to and with it.
    pub events: u64,
    /// Streams that they form.
    pub streams: u64,
    /// See [`StreamsDigest`].
    pub digest: [u8; 32],
    /// When it was made, by the database's clock.
    pub at: DateTime<Utc>,
    key: VerifyingKey,
    signature: Signature,
}

/// Why text is no head, or one that cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHead {
    /// It is something else.
    #[error(
        "this is no head of a log: it must be one line that begins with {FORM}, as `trainmaster log head` prints it ({0})"
    )]
    Form(&'static str),
    /// The signature is not that of the key.
    #[error(
        "the head's signature is wrong: the line was altered, or the key in it is not the one that signed"
    )]
    Signature,
    /// Another key signed it than the one that is trusted.
    #[error("the head was signed by key {found}, not by {expected}")]
    Key {
        /// The key in the head.
        found: String,
        /// The key that is trusted.
        expected: String,
    },
}

impl Head {
    /// The key that signed it, as hex.
    #[must_use]
    pub fn public_key(&self) -> String {
        hex(self.key.as_bytes())
    }

    /// The digest as hex.
    #[must_use]
    pub fn digest_hex(&self) -> String {
        hex(&self.digest)
    }

    /// The signature as hex.
    #[must_use]
    pub fn signature_hex(&self) -> String {
        hex(&self.signature.to_bytes())
    }

    /// Whether it is `public_key`, as [`Self::public_key`] gives it, that signed it.
    ///
    /// # Errors
    /// [`InvalidHead::Key`].
    pub fn must_be_of(&self, public_key: &str) -> Result<(), InvalidHead> {
        let found = self.public_key();
        if found.eq_ignore_ascii_case(public_key.trim()) {
            Ok(())
        } else {
            Err(InvalidHead::Key {
                found,
                expected: public_key.trim().chars().take(100).collect(),
            })
        }
    }

    fn signed_text(
        position: Position,
        (streams, events, digest): (u64, u64, &[u8; 32]),
        at: DateTime<Utc>,
        key: &VerifyingKey,
    ) -> String {
        format!(
            "{FORM} position={position} events={events} streams={streams} digest={} at={} key={}",
            hex(digest),
            at.to_rfc3339_opts(SecondsFormat::Millis, true),
            hex(key.as_bytes())
        )
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = (self.streams, self.events, &self.digest);
        let text = Self::signed_text(self.position, of, self.at, &self.key);
        write!(f, "{text} signature={}", self.signature_hex())
    }
}

impl FromStr for Head {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let text = text.trim();
        if text.len() > 1000 || text.contains('\n') {
            return Err(InvalidHead::Form("it is longer than a line"));
        }
        let (signed, signature) = text
            .rsplit_once(" signature=")
            .ok_or(InvalidHead::Form("it has no signature"))?;
        let mut words = signed.split(' ');
        if words.next() != Some(FORM) {
            return Err(InvalidHead::Form("it begins otherwise"));
        }
        let values: HashMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
        let value = |name: &'static str| {
            values
                .get(name)
                .copied()
                .ok_or(InvalidHead::Form("a part of it is missing"))
        };
        let number = |name| {
            value(name)?
                .parse()
                .map_err(|_| InvalidHead::Form("a number in it is none"))
        };
        let key = VerifyingKey::from_bytes(&bytes(value("key")?)?)
            .map_err(|_| InvalidHead::Form("the key in it is none"))?;
        let signature = Signature::from_bytes(&bytes(signature)?);
        key.verify_strict(signed.as_bytes(), &signature)
            .map_err(|_| InvalidHead::Signature)?;
        let head = Self {
            position: value("position")?
                .parse()
                .map_err(|_| InvalidHead::Form("the position in it is none"))?,
            events: number("events")?,
            streams: number("streams")?,
            digest: bytes(value("digest")?)?,
            at: value("at")?
                .parse()
                .map_err(|_| InvalidHead::Form("the time in it is none"))?,
            key,
            signature,
        };
        if head.to_string() == text {
            Ok(head)
        } else {
            Err(InvalidHead::Form("it says more or less than a head does"))
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes<const N: usize>(hex: &str) -> Result<[u8; N], InvalidHead> {
    let wrong = InvalidHead::Form("hexadecimal digits in it are too many, too few or none");
    if hex.len() != 2 * N || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong);
    }
    let mut bytes = [0; N];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).map_err(|_| wrong.clone())?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        HeadKey::of_seed([7; 32]).sign(
            "812-33".parse().unwrap(),
            (3, 18, [1; 32]),
            "2026-01-01T12:00:00Z".parse().unwrap(),
        )
    }

    #[test]
    fn a_head_is_a_line_and_reads_back() {
        let line = head().to_string();
        assert!(
            line.starts_with("trainmaster-head-1 position=812-33 events=18 streams=3 digest=0101")
        );
        assert_eq!(format!("{line}\n").parse::<Head>().unwrap(), head());
    }

    #[test]
    fn whatever_is_altered_in_a_head_is_found() {
        let line = head().to_string();
        // Not each, for a signature takes its time.
        for n in (0..line.len()).step_by(7) {
            let mut altered = line.clone().into_bytes();
            altered[n] = if altered[n] == b'0' { b'1' } else { b'0' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(altered.parse::<Head>().is_err(), "{altered}");
        }
        for other in [
            String::new(),
            line[..line.len() - 2].to_owned(),
            format!("{line} more=1"),
            format!("{line}\n{line}"),
            line.replace(" at=", "  at="),
        ] {
            assert!(other.parse::<Head>().is_err(), "{other}");
        }
    }

    #[test]
    fn a_head_of_another_key_is_told_by_the_key_that_is_trusted() {
        let head = head();
        head.must_be_of(&format!("{}\n", head.public_key().to_uppercase()))
            .unwrap();
        let other = HeadKey::of_seed([8; 32]).public_key();
        assert!(matches!(
            head.must_be_of(&other),
            Err(InvalidHead::Key { .. })
        ));
    }
}
