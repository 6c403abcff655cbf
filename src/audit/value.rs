//! Values of request parameters and response elements.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::json;

/// A value of `requestParameters` or `responseElements`.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A number.
    Number(u64),
    /// A number that may be negative.
    Integer(i64),
    /// A truth value.
    Bool(bool),
    /// Bytes, base64 in the record.
    Bytes(Cow<'a, [u8]>),
    /// Strings by name, such as an encryption context.
    Map(Cow<'a, BTreeMap<String, String>>),
    /// Values in their order.
    List(Vec<Self>),
    /// Values by name. Each name once.
    Object(Vec<(&'static str, Self)>),
}

/// What stands for the part of a value that is left out.
const TRUNCATED: &str = "(truncated)";
/// Bytes that an item takes beyond its own: quotes and separators.
const PER_ITEM: usize = 6;

/// The beginning of `text`, at most `most` bytes, and a mark if that is not all.
pub fn truncated(text: Cow<'_, str>, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text;
    }
    let kept = &text[..text.floor_char_boundary(most)];
    format!("{kept} {TRUNCATED}").into()
}

impl Value<'_> {
    /// Bytes, about as many as in the record.
    fn size(&self) -> usize {
        let size = match self {
            Self::Text(text) => text.len(),
            Self::Number(_) | Self::Integer(_) | Self::Bool(_) => 0,
            Self::Bytes(bytes) => bytes.len(),
            Self::Map(map) => map.iter().map(pair_size).sum(),
            Self::List(list) => list.iter().map(Self::size).sum(),
            Self::Object(members) => members.iter().map(|(_, value)| value.size()).sum(),
        };
        size + PER_ITEM
    }

    /// The value, or as much of its beginning as takes about `most` bytes, and a mark.
    #[must_use]
    pub fn truncated(self, most: usize) -> Self {
        if self.size() <= most {
            return self;
        }
        let mut left = most;
        let mut fits = |size: usize| {
            let rest = left.checked_sub(size);
            left = rest.unwrap_or(0);
            rest.is_some()
        };
        match self {
            Self::Text(text) => Self::Text(truncated(text, most)),
            Self::Map(map) => {
                let kept = map.iter().take_while(|pair| fits(pair_size(*pair)));
                let kept = kept.map(|(name, value)| (name.clone(), value.clone()));
                let mark = (TRUNCATED.to_owned(), String::new());
                Self::Map(Cow::Owned(kept.chain([mark]).collect()))
            }
            Self::List(list) => {
                let kept = list.into_iter().take_while(|item| fits(item.size()));
                Self::List(kept.chain([TRUNCATED.into()]).collect())
            }
            Self::Object(members) => {
                let most = most / members.len();
                let members = members.into_iter();
                let short = members.map(|(name, value)| (name, value.truncated(most)));
                Self::Object(short.collect())
            }
            Self::Bytes(_) | Self::Number(_) | Self::Integer(_) | Self::Bool(_) => TRUNCATED.into(),
        }
    }
}

fn pair_size((name, value): (&String, &String)) -> usize {
    name.len() + value.len() + PER_ITEM
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => out.serialize_str(text),
            Self::Number(number) => out.serialize_u64(*number),
            Self::Integer(number) => out.serialize_i64(*number),
            Self::Bool(truth) => out.serialize_bool(*truth),
            Self::Bytes(bytes) => out.collect_str(&json::base64(bytes)),
            Self::Map(map) => out.collect_map(map.iter()),
            Self::List(list) => out.collect_seq(list),
            Self::Object(members) => {
                out.collect_map(members.iter().map(|(name, value)| (name, value)))
            }
        }
    }
}

/// `impl From` of one type for one variant of [`Value`].
macro_rules! value_from {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl<'a> From<$from> for Value<'a> {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}
value_from! {
    &'a str => Text, String => Text, Cow<'a, str> => Text, u64 => Number, u32 => Number,
    i64 => Integer,
    bool => Bool, &'a [u8] => Bytes, Vec<u8> => Bytes,
}

impl<'a> From<&'a BTreeMap<String, String>> for Value<'a> {
    fn from(map: &'a BTreeMap<String, String>) -> Self {
        Self::Map(Cow::Borrowed(map))
    }
}
