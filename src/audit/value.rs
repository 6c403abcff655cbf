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
