//! `Condition`: reading it, and whether it holds.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::arn::{Arn, ArnPattern};
use super::document::{DocumentKind, Version};
use super::json::{Member, Node};
use super::keys::{Facts, Key, Plane};
use super::operator::{Comparison, Operator, Quantifier, Relation};
use super::pattern::{Outcome, Pattern};
use super::reader::{Located, Reader};
use super::request::Lookup;
use super::statement::Effect;
use super::value::{Cidr, Number, parse_date};

/// One operator on one key.
#[derive(Debug)]
pub(super) struct Condition {
    /// The operator as it is written.
    pub(super) operator: Box<str>,
    pub(super) key: Key,
    pub(super) test: Test,
}

/// What is asked of the values of a key.
#[derive(Debug)]
pub(super) enum Test {
    /// `Null`: whether the key is to be absent.
    Null(Vec<bool>),
    Compare {
        quantifier: Quantifier,
        negated: bool,
        if_exists: bool,
        with: Operands,
    },
}

/// The values to compare with, compiled; matching one of them is enough.
#[derive(Debug)]
pub(super) enum Operands {
    Strings(Vec<Pattern>),
    StringsIgnoringCase(Vec<Pattern>),
    Numbers(Relation, Vec<Number>),
    Dates(Relation, Vec<Timestamp>),
    Bools(Vec<bool>),
    Binaries(Vec<Vec<u8>>),
    Ranges(Vec<Cidr>),
    Arns(Vec<ArnPattern>),
}

impl Condition {
    /// Whether the condition holds for the request.
    ///
    /// What cannot be answered counts against the caller: an unknown fact about the process, or a
    /// value that is not of the compared type, fails an Allow and fulfils a Deny. A variable
    /// without a value matches nothing, and never helps an Allow.
    pub(super) fn holds(&self, effect: Effect, lookup: &Lookup<'_>) -> bool {
        let values = lookup.get(&self.key);
        if values.is_none() && !self.key.known.fact.is_empty() {
            return effect == Effect::Deny;
        }
        let (quantifier, negated, if_exists, with) = match &self.test {
            Test::Null(wanted) => return wanted.contains(&values.is_none()),
            Test::Compare {
                quantifier,
                negated,
                if_exists,
                with,
            } => (*quantifier, *negated, *if_exists, with),
        };
        let Some(values) = values else {
            return match quantifier {
                _ if if_exists => true,
                Quantifier::One => negated,
                Quantifier::Any => false,
                Quantifier::All => true,
            };
        };
        let one = |value: &str| fulfils(with.compare(value, lookup), negated, effect);
        match (quantifier, &*values) {
            (Quantifier::One, [value]) => one(value),
            (Quantifier::One, _) => fulfils(Outcome::Unknown, negated, effect),
            (Quantifier::Any, values) => values.iter().any(|value| one(value)),
            (Quantifier::All, values) => values.iter().all(|value| one(value)),
        }
    }

    /// The facts about the process that it needs.
    pub(super) fn facts(&self) -> Facts {
        let variables = match &self.test {
            Test::Null(_) => Facts::empty(),
            Test::Compare { with, .. } => with.facts(),
        };
        variables | self.key.known.fact
    }
}

/// Whether an element is fulfilled by `outcome`, given that it is `negated` (`StringNotEquals`,
/// `NotResource`) in a statement with this effect.
pub(super) fn fulfils(outcome: Outcome, negated: bool, effect: Effect) -> bool {
    match outcome {
        Outcome::Match => !negated,
        Outcome::NoMatch => negated,
        Outcome::Unresolved => effect == Effect::Deny && negated,
        Outcome::Unknown => effect == Effect::Deny,
    }
}

impl Operands {
    fn compare(&self, value: &str, lookup: &Lookup<'_>) -> Outcome {
        match self {
            Self::Strings(list) => Outcome::any(list.iter().map(|p| p.matches(value, lookup))),
            Self::StringsIgnoringCase(list) => {
                Outcome::any(list.iter().map(|p| p.matches_ignoring_case(value, lookup)))
            }
            Self::Arns(list) => {
                let arn = Arn::split(value);
                Outcome::any(list.iter().map(|pattern| pattern.matches(arn, lookup)))
            }
            Self::Numbers(relation, list) => typed(list, Number::parse(value), |value, operand| {
                relation.holds(value, operand)
            }),
            Self::Dates(relation, list) => typed(list, parse_date(value), |value, operand| {
                relation.holds(value, operand)
            }),
            Self::Bools(list) => typed(list, parse_bool(value), PartialEq::eq),
            Self::Binaries(list) => typed(list, STANDARD.decode(value).ok(), PartialEq::eq),
            Self::Ranges(list) => typed(list, value.parse().ok(), |address: &IpAddr, range| {
                range.contains(*address)
            }),
        }
    }

    fn facts(&self) -> Facts {
        match self {
            Self::Strings(list) | Self::StringsIgnoringCase(list) => {
                list.iter().map(Pattern::facts).collect()
            }
            Self::Arns(list) => list.iter().map(ArnPattern::facts).collect(),
            _ => Facts::empty(),
        }
    }
}

fn typed<V, T>(list: &[T], value: Option<V>, fits: impl Fn(&V, &T) -> bool) -> Outcome {
    match value {
        Some(value) => Outcome::of(list.iter().any(|operand| fits(&value, operand))),
        None => Outcome::Unknown,
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Reads a `Condition` element: an object of operators, each an object of keys and their values.
pub(super) fn parse<'a>(reader: &mut Reader<'a>, node: &Node<'a>) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for member in reader.members(node, "Condition") {
        let Some(operator) = Operator::named(&member.name) else {
            reader.problem(
                member.offset,
                format!("unknown condition operator {:?}", member.name),
            );
            continue;
        };
        let keys = reader.members(&member.value, &member.name);
        if keys.is_empty() {
            reader.problem(
                member.offset,
                format!("{} compares no condition key", member.name),
            );
        }
        for key in keys {
            conditions.extend(parse_one(reader, operator, &member.name, key));
        }
    }
    conditions
}

fn parse_one<'a>(
    reader: &mut Reader<'a>,
    operator: Operator,
    operator_name: &str,
    member: &Member<'a>,
) -> Option<Condition> {
    let Some(key) = Key::named(&member.name) else {
        reader.problem(
            member.offset,
            format!("unknown condition key {:?}", member.name),
        );
        return None;
    };
    if let Err(reason) = check(reader.kind, operator, operator_name, &key) {
        reader.problem(member.offset, reason);
        return None;
    }
    let list = reader.scalars(&member.value, &key.name);
    let version = reader.version;
    let mut values = Values {
        reader,
        list,
        operator: operator_name,
    };
    let test = match operator {
        Operator::Null => Test::Null(values.parsed("true or false", parse_bool)),
        Operator::Compare {
            quantifier,
            comparison,
            negated,
            if_exists,
        } => {
            let with = values.operands(comparison, version);
            Test::Compare {
                quantifier,
                negated,
                if_exists,
                with,
            }
        }
    };
    Some(Condition {
        operator: operator_name.into(),
        key,
        test,
    })
}

/// Whether the operator can be used on the key, in a document of this kind.
fn check(kind: DocumentKind, operator: Operator, name: &str, key: &Key) -> Result<(), String> {
    let known = key.known;
    let carried = match kind {
        DocumentKind::Identity => true,
        DocumentKind::Key => known.plane != Plane::File,
        DocumentKind::Tree => known.plane != Plane::Key,
    };
    if !carried {
        return Err(format!(
            "no request that a {kind} policy decides has {}",
            key.name
        ));
    }
    let Operator::Compare {
        quantifier,
        comparison,
        ..
    } = operator
    else {
        return Ok(());
    };
    if !comparison.suits(known.kind) {
        let kind = known.kind;
        return Err(format!(
            "{name} cannot compare {}, whose values are {kind}",
            key.name
        ));
    }
    if known.multivalued && quantifier == Quantifier::One {
        return Err(format!(
            "{} can have several values: write ForAnyValue:{name} or ForAllValues:{name}",
            key.name
        ));
    }
    Ok(())
}

/// The values of one condition, to be compiled.
struct Values<'r, 'n, 'a> {
    reader: &'r mut Reader<'a>,
    list: Vec<Located<'n>>,
    operator: &'n str,
}

impl Values<'_, '_, '_> {
    fn operands(&mut self, comparison: Comparison, version: Version) -> Operands {
        match comparison {
            Comparison::String => {
                Operands::Strings(self.compile(|text| Pattern::parse(text, false, version)))
            }
            Comparison::StringLike => {
                Operands::Strings(self.compile(|text| Pattern::parse(text, true, version)))
            }
            Comparison::StringIgnoringCase => Operands::StringsIgnoringCase(
                self.compile(|text| Pattern::parse(text, false, version)),
            ),
            Comparison::Arn => {
                Operands::Arns(self.compile(|text| ArnPattern::parse(text, version)))
            }
            Comparison::Numeric(relation) => {
                Operands::Numbers(relation, self.parsed("a decimal number", Number::parse))
            }
            Comparison::Date(relation) => Operands::Dates(
                relation,
                self.parsed(
                    "a date (2026-01-31T12:00:00Z, or seconds since 1970)",
                    parse_date,
                ),
            ),
            Comparison::Bool => Operands::Bools(self.parsed("true or false", parse_bool)),
            Comparison::Binary => {
                Operands::Binaries(self.parsed("base64", |text| STANDARD.decode(text).ok()))
            }
            Comparison::Ip => {
                Operands::Ranges(self.parsed("an IP address or a CIDR range", Cidr::parse))
            }
        }
    }

    fn parsed<T>(&mut self, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let name = self.operator;
        self.compile(|text| {
            parse(text).ok_or_else(|| format!("{name} expects {expected}, not {text:?}"))
        })
    }

    fn compile<T>(&mut self, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let mut compiled = Vec::new();
        for (offset, text) in &self.list {
            match parse(text) {
                Ok(value) => compiled.push(value),
                Err(reason) => self.reader.problem(*offset, reason),
            }
        }
        compiled
    }
}
