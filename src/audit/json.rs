//! JSON as this log writes it: one line, ASCII only.

use std::fmt;
use std::io;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::ser::Formatter;

/// Escapes everything outside printable ASCII, also what JSON allows raw: DEL, the C1 control codes
/// (U+009B starts an escape sequence in many terminals) and bidirectional overrides.
struct AsciiFormatter;

impl Formatter for AsciiFormatter {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let plain = |byte: &u8| (0x20..0x7f).contains(byte);
        if fragment.as_bytes().iter().all(plain) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut units = [0; 2];
        for character in fragment.chars() {
            if (' '..'\u{7f}').contains(&character) {
                writer.write_all(&[character as u8])?;
            } else {
                for unit in character.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

/// Appends `value` to `out`.
///
/// # Panics
/// When a map key of `value` is no string, which no type of this module has.
pub(super) fn append(out: &mut Vec<u8>, value: &impl Serialize) {
    value
        .serialize(&mut serde_json::Serializer::with_formatter(
            out,
            AsciiFormatter,
        ))
        .expect("records have string keys and a Vec takes every write");
}

/// `bytes` in standard base64 with padding (RFC 4648, section 4), without an allocation.
pub(super) fn base64(bytes: &[u8]) -> impl fmt::Display + '_ {
    Base64Display::new(bytes, &STANDARD)
}

/// Lower-case hexadecimal of a 32-byte hash.
pub(super) fn hex(hash: &[u8; 32]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(hash) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

/// The hash behind 64 lower-case hexadecimal digits.
pub(super) fn unhex(text: &[u8]) -> Option<[u8; 32]> {
    let digit = |character: u8| match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    };
    if text.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

/// `#[serde(with)]` for a hash as hexadecimal.
pub(super) mod as_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(hash: &[u8; 32], out: S) -> Result<S::Ok, S::Error> {
        let text = super::hex(hash);
        out.serialize_str(std::str::from_utf8(&text).expect("digits are ASCII"))
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(input: D) -> Result<[u8; 32], D::Error> {
        let text = std::borrow::Cow::<'a, str>::deserialize(input)?;
        super::unhex(text.as_bytes())
            .ok_or_else(|| D::Error::custom("not a SHA-256 in hexadecimal"))
    }
}

/// `#[serde(with)]` for bytes as base64.
pub(super) mod as_base64 {
    use base64::Engine;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&super::base64(bytes))
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(input: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'a, str>::deserialize(input)?;
        super::STANDARD
            .decode(text.as_bytes())
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_string_becomes_printable_ascii_and_reads_back(text in ".*") {
            let mut out = Vec::new();
            append(&mut out, &text);
            prop_assert!(out.iter().all(|byte| (0x20..0x7f).contains(byte)));
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn a_hash_reads_back_from_its_digits(hash: [u8; 32]) {
            prop_assert_eq!(unhex(&hex(&hash)), Some(hash));
        }
    }

    #[test]
    fn terminal_controls_do_not_survive() {
        let mut out = Vec::new();
        append(&mut out, &"\u{9b}31m\u{7f}\n\u{202e}");
        assert_eq!(out, br#""\u009b31m\u007f\n\u202e""#);
    }

    #[test]
    fn upper_case_or_short_digits_are_no_hash() {
        assert_eq!(unhex(&[b'A'; 64]), None);
        assert_eq!(unhex(&[b'a'; 63]), None);
    }
}
