//! A JSON document as a tree that knows where in the text each value stands.
//!
//! `serde_json` does the parsing; its raw values borrow from the text, and their addresses give the
//! positions that a refusal names.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A policy nests six levels; more is no policy, and unbounded recursion is a way to end a process.
const MAX_DEPTH: usize = 12;

/// A value and where it stands.
pub(super) struct Node<'a> {
    /// The byte offset of its first character.
    pub(super) offset: usize,
    /// The byte offset after its last one.
    pub(super) end: usize,
    pub(super) value: Value<'a>,
}

pub(super) enum Value<'a> {
    Object(Vec<Member<'a>>),
    Array(Vec<Node<'a>>),
    String(Cow<'a, str>),
    /// A number or boolean, as it is written.
    Scalar(&'a str),
    Null,
}

/// A member of an object, in the order of the text; names may repeat.
pub(super) struct Member<'a> {
    pub(super) name: Cow<'a, str>,
    /// Byte offset of the name, or of the value where the name is written with escapes.
    pub(super) offset: usize,
    pub(super) value: Node<'a>,
}

/// Why a text is no JSON document.
pub(super) struct SyntaxError {
    pub(super) offset: usize,
    pub(super) reason: String,
}

/// Parses `text`.
pub(super) fn parse(text: &str) -> Result<Node<'_>, SyntaxError> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| SyntaxError {
        offset: offset_of(text, error.line(), error.column()),
        reason: reason(&error),
    })?;
    Parser { text }.node(raw.get(), 0)
}

struct Parser<'a> {
    text: &'a str,
}

impl<'a> Parser<'a> {
    fn offset(&self, part: &'a str) -> usize {
        part.as_ptr().addr() - self.text.as_ptr().addr()
    }

    fn node(&self, raw: &'a str, depth: usize) -> Result<Node<'a>, SyntaxError> {
        let offset = self.offset(raw);
        let failed = |error: &serde_json::Error| SyntaxError {
            offset,
            reason: reason(error),
        };
        if depth > MAX_DEPTH {
            return Err(SyntaxError {
                offset,
                reason: "nested more deeply than a policy ever is".into(),
            });
        }
        let value = match raw.as_bytes().first() {
            Some(b'{') => {
                let Members(members) = serde_json::from_str(raw).map_err(|e| failed(&e))?;
                let members = members.into_iter().map(|(name, raw)| {
                    let value = self.node(raw.get(), depth + 1)?;
                    let offset = match name {
                        Cow::Borrowed(name) => self.offset(name) - 1,
                        Cow::Owned(_) => value.offset,
                    };
                    Ok(Member {
                        name,
                        offset,
                        value,
                    })
                });
                Value::Object(members.collect::<Result<_, _>>()?)
            }
            Some(b'[') => {
                let items: Vec<&'a RawValue> = serde_json::from_str(raw).map_err(|e| failed(&e))?;
                let items = items.into_iter().map(|raw| self.node(raw.get(), depth + 1));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Some(b'"') => {
                let Name(text) = serde_json::from_str(raw).map_err(|e| failed(&e))?;
                Value::String(text)
            }
            Some(b'n') => Value::Null,
            _ => Value::Scalar(raw),
        };
        Ok(Node {
            offset,
            end: offset + raw.len(),
            value,
        })
    }
}

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Every member of an object: a map type would silently drop repeated names.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// `serde_json`'s message without its own position, which is relative to the part it was given.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let end = message.rfind(" at line ").unwrap_or(message.len());
    format!("not valid JSON: {}", &message[..end])
}

/// The byte offset of `serde_json`'s position: lines from 1, columns in bytes, 0 before the first.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let line_start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let offset = (line_start + column.saturating_sub(1)).min(text.len());
    text.floor_char_boundary(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> (usize, String) {
        let error = parse(text).err().expect("refused");
        (error.offset, error.reason)
    }

    #[test]
    fn values_and_names_know_where_they_stand() {
        let text = "\n {\"a\" : [ 1,\"x\" ] , \"\\u0062\": true}";
        let Value::Object(members) = parse(text).ok().unwrap().value else {
            panic!()
        };
        assert!(text[members[0].offset..].starts_with("\"a\""));
        let Value::Array(items) = &members[0].value.value else {
            panic!()
        };
        assert!(text[items[1].offset..].starts_with("\"x\""));
        assert_eq!(members[1].name, "b");
        assert!(
            text[members[1].offset..].starts_with("true"),
            "an escaped name: its value"
        );
    }

    #[test]
    fn repeated_names_are_all_kept() {
        let Value::Object(members) = parse(r#"{"a":1,"a":2}"#).ok().unwrap().value else {
            panic!()
        };
        assert_eq!(members.len(), 2);
    }

    #[test]
    fn a_syntax_error_is_reported_where_it_is() {
        assert_eq!(refusal("{\n \"a\" 1}").0, 7);
        assert_eq!(refusal("").0, 0);
        assert!(refusal("{} x").1.contains("trailing"));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(refusal(&text).1.contains("deeply"));
    }
}
