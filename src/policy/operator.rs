//! The names of the condition operators.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>

use super::keys::KeyType;

/// How the values of a key with several values are taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantifier {
    /// The key has one value.
    One,
    /// `ForAnyValue:`
    Any,
    /// `ForAllValues:`
    All,
}

/// How a value is compared, before negation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    String,
    StringIgnoringCase,
    StringLike,
    Numeric(Relation),
    Date(Relation),
    Bool,
    Binary,
    Ip,
    Arn,
}

/// How two ordered values relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Relation {
    pub(super) fn holds<T: Ord>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// An operator, read from its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    /// `Null`: whether the key is absent.
    Null,
    Compare {
        quantifier: Quantifier,
        comparison: Comparison,
        /// A negated operator holds when the key is absent.
        negated: bool,
        /// `…IfExists`: holds when the key is absent.
        if_exists: bool,
    },
}

impl Operator {
    /// Reads a name such as `ForAnyValue:StringNotEqualsIfExists`.
    pub(super) fn named(name: &str) -> Option<Self> {
        if name == "Null" {
            return Some(Self::Null);
        }
        let (quantifier, rest) = match name.split_once(':') {
            None => (Quantifier::One, name),
            Some(("ForAnyValue", rest)) => (Quantifier::Any, rest),
            Some(("ForAllValues", rest)) => (Quantifier::All, rest),
            Some(_) => return None,
        };
        let (base, if_exists) = match rest.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        let (comparison, negated) = comparison(base)?;
        Some(Self::Compare {
            quantifier,
            comparison,
            negated,
            if_exists,
        })
    }
}

impl Comparison {
    /// Whether values of `kind` can be compared so. Any value can be compared as text.
    pub(super) fn suits(self, kind: KeyType) -> bool {
        kind == KeyType::Any
            || match self {
                Self::String | Self::StringIgnoringCase | Self::StringLike => true,
                Self::Numeric(_) => matches!(kind, KeyType::Numeric | KeyType::Date),
                Self::Date(_) => kind == KeyType::Date,
                Self::Bool => kind == KeyType::Bool,
                Self::Binary => kind == KeyType::String,
                Self::Ip => kind == KeyType::Ip,
                Self::Arn => matches!(kind, KeyType::Arn | KeyType::String),
            }
    }
}

fn comparison(name: &str) -> Option<(Comparison, bool)> {
    let found = match name {
        "StringEquals" => (Comparison::String, false),
        "StringNotEquals" => (Comparison::String, true),
        "StringEqualsIgnoreCase" => (Comparison::StringIgnoringCase, false),
        "StringNotEqualsIgnoreCase" => (Comparison::StringIgnoringCase, true),
        "StringLike" => (Comparison::StringLike, false),
        "StringNotLike" => (Comparison::StringLike, true),
        "Bool" => (Comparison::Bool, false),
        "BinaryEquals" => (Comparison::Binary, false),
        "IpAddress" => (Comparison::Ip, false),
        "NotIpAddress" => (Comparison::Ip, true),
        // The two pairs are the same operator: both take wildcards.
        "ArnEquals" | "ArnLike" => (Comparison::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Comparison::Arn, true),
        _ => {
            let numeric = name.strip_prefix("Numeric").and_then(relation);
            let date = name.strip_prefix("Date").and_then(relation);
            return numeric
                .map(|(relation, negated)| (Comparison::Numeric(relation), negated))
                .or(date.map(|(relation, negated)| (Comparison::Date(relation), negated)));
        }
    };
    Some(found)
}

fn relation(name: &str) -> Option<(Relation, bool)> {
    Some(match name {
        "Equals" => (Relation::Equal, false),
        "NotEquals" => (Relation::Equal, true),
        "LessThan" => (Relation::Less, false),
        "LessThanEquals" => (Relation::LessOrEqual, false),
        "GreaterThan" => (Relation::Greater, false),
        "GreaterThanEquals" => (Relation::GreaterOrEqual, false),
        _ => return None,
    })
}
