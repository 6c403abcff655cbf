//! Text with wildcards and policy variables, compiled when a document is loaded.
//!
//! Variables become values while matching, after the wildcards were recognised: what a variable
//! brings is compared as it is, so a user called `*` matches only `*`.

use std::borrow::Cow;

use super::document::Version;
use super::keys::{Facts, Key};
use super::request::Lookup;

/// The answer of one comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Match,
    NoMatch,
    /// The text has a variable that the request gives no single value for.
    Unresolved,
    /// The request's value is not of the type that is compared, so there is no answer.
    Unknown,
}

impl Outcome {
    pub(super) fn of(matched: bool) -> Self {
        if matched { Self::Match } else { Self::NoMatch }
    }

    /// The outcome for a list: one match is enough; otherwise what could not be answered prevails.
    pub(super) fn any(outcomes: impl IntoIterator<Item = Self>) -> Self {
        let mut result = Self::NoMatch;
        for outcome in outcomes {
            match outcome {
                Self::Match => return Self::Match,
                Self::NoMatch => {}
                Self::Unresolved | Self::Unknown => result = outcome,
            }
        }
        result
    }
}

/// A compiled text: literals, wildcards and variables.
#[derive(Debug)]
pub(super) struct Pattern {
    pieces: Box<[Piece]>,
    variables: Box<[Variable]>,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    /// `?`: one character.
    One,
    /// `*`: any characters, or none.
    Many,
    /// The variable with this index.
    Variable(usize),
}

/// `${key}` or `${key, 'default'}`.
#[derive(Debug)]
struct Variable {
    key: Key,
    default: Option<Box<str>>,
}

impl Variable {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, default) = match text.split_once(',') {
            Some((name, default)) => (name, Some(default.trim())),
            None => (text, None),
        };
        let quoted = |text: &str| Some(text.strip_prefix('\'')?.strip_suffix('\'')?.into());
        let default = match default {
            Some(default) => Some(quoted(default).ok_or_else(|| {
                format!("the default in ${{{text}}} is to stand in single quotes")
            })?),
            None => None,
        };
        let name = name.trim();
        let key = Key::named(name).ok_or_else(|| {
            format!("${{{text}}} names no known condition key; ${{$}} writes a plain $")
        })?;
        if key.known.multivalued {
            return Err(format!(
                "{name} can have several values, so it cannot be a variable"
            ));
        }
        Ok(Self { key, default })
    }

    /// Whether it has a value, as far as that costs nothing to tell.
    fn surely_has_value(&self, lookup: &Lookup<'_>) -> bool {
        self.default.is_some() || lookup.of_principal(self.key.known.source).is_some()
    }

    fn resolve<'r>(&'r self, lookup: &Lookup<'r>) -> Option<Cow<'r, str>> {
        let value = lookup
            .get(&self.key)
            .and_then(|mut values| match values.len() {
                1 => values.pop(),
                _ => None,
            });
        value.or_else(|| self.default.as_deref().map(Cow::Borrowed))
    }
}

/// Collects pieces, joining neighbouring literals.
#[derive(Default)]
struct Builder {
    pieces: Vec<Piece>,
    variables: Vec<Variable>,
    literal: String,
}

impl Builder {
    fn push(&mut self, piece: Piece) {
        if !self.literal.is_empty() {
            let literal = std::mem::take(&mut self.literal).into_boxed_str();
            self.pieces.push(Piece::Literal(literal));
        }
        if piece != Piece::Many || self.pieces.last() != Some(&Piece::Many) {
            self.pieces.push(piece);
        }
    }

    fn text(&mut self, text: &str, wildcards: bool) {
        for character in text.chars() {
            match character {
                '*' if wildcards => self.push(Piece::Many),
                '?' if wildcards => self.push(Piece::One),
                other => self.literal.push(other),
            }
        }
    }

    fn finish(mut self) -> Pattern {
        if !self.literal.is_empty() {
            self.pieces
                .push(Piece::Literal(self.literal.into_boxed_str()));
        }
        Pattern {
            pieces: self.pieces.into(),
            variables: self.variables.into(),
        }
    }
}

impl Pattern {
    /// Compiles text with wildcards and without variables.
    pub(super) fn glob(text: &str) -> Self {
        let mut builder = Builder::default();
        builder.text(text, true);
        builder.finish()
    }

    /// Compiles `text`. `*` and `?` are wildcards only if `wildcards`; variables and the escapes
    /// `${*}`, `${?}`, `${$}` exist only in version 2012-10-17, and are plain text before.
    pub(super) fn parse(text: &str, wildcards: bool, version: Version) -> Result<Self, String> {
        let mut builder = Builder::default();
        let mut rest = text;
        while version == Version::V2012
            && let Some((before, after)) = rest.split_once("${")
        {
            builder.text(before, wildcards);
            let Some((variable, after)) = after.split_once('}') else {
                return Err(format!(
                    "{text:?} has ${{ without its }}; ${{$}} writes a plain $"
                ));
            };
            rest = after;
            match variable {
                "*" | "?" | "$" => builder.literal.push_str(variable),
                _ => {
                    builder.push(Piece::Variable(builder.variables.len()));
                    builder.variables.push(Variable::parse(variable)?);
                }
            }
        }
        builder.text(rest, wildcards);
        Ok(builder.finish())
    }

    /// The facts about the process that its variables need.
    pub(super) fn facts(&self) -> Facts {
        self.variables
            .iter()
            .map(|variable| variable.key.known.fact)
            .collect()
    }

    /// Whether the whole of `text` matches.
    pub(super) fn matches(&self, text: &str, lookup: &Lookup<'_>) -> Outcome {
        // Most statements are about something else, and are left before a value is fetched.
        if let [Piece::Literal(head), ..] = &*self.pieces
            && !text.starts_with(&**head)
            && self
                .variables
                .iter()
                .all(|one| one.surely_has_value(lookup))
        {
            return Outcome::NoMatch;
        }
        match self.resolve(lookup) {
            Some(values) => Outcome::of(match_pieces(&self.pieces, &values, text)),
            None => Outcome::Unresolved,
        }
    }

    /// Whether it is certain that whatever matches the pattern `other`, as it is written, matches this
    /// one. A `*` here takes whatever stands there, wildcards too.
    pub(super) fn covers(&self, other: &str) -> bool {
        self.variables.is_empty()
            && !self.pieces.contains(&Piece::One)
            && match_pieces(&self.pieces, &[], other)
    }

    /// As [`matches`](Self::matches), for a pattern that has no variables.
    pub(super) fn matches_fixed(&self, text: &str) -> bool {
        debug_assert!(self.variables.is_empty(), "a variable needs a request");
        match_pieces(&self.pieces, &[], text)
    }

    /// Whether `text` is the same, case aside. For a text without wildcards.
    pub(super) fn matches_ignoring_case(&self, text: &str, lookup: &Lookup<'_>) -> Outcome {
        let Some(values) = self.resolve(lookup) else {
            return Outcome::Unresolved;
        };
        let expected = self.pieces.iter().flat_map(|piece| match piece {
            Piece::Literal(literal) => literal.chars(),
            Piece::Variable(index) => values[*index].chars(),
            Piece::One | Piece::Many => "".chars(),
        });
        let fold = char::to_lowercase;
        Outcome::of(expected.flat_map(fold).eq(text.chars().flat_map(fold)))
    }

    /// The values of the variables; `None` if one has none.
    fn resolve<'r>(&'r self, lookup: &Lookup<'r>) -> Option<Vec<Cow<'r, str>>> {
        if self.variables.is_empty() {
            return Some(Vec::new());
        }
        self.variables
            .iter()
            .map(|variable| variable.resolve(lookup))
            .collect()
    }
}

/// Matches all of `text`, going back only to the latest `*`: an earlier one never has to take more,
/// since what follows it already matched as far left as it can. So the time is at most the
/// product of both lengths.
fn match_pieces(pieces: &[Piece], values: &[Cow<'_, str>], text: &str) -> bool {
    let (mut piece, mut at) = (0, 0);
    // The piece after the latest `*`, and where it was last tried.
    let mut latest = None;
    loop {
        let rest = &text[at..];
        let step = match pieces.get(piece) {
            None if rest.is_empty() => return true,
            None => None,
            Some(Piece::Many) => {
                let Some(start) = first_try(&pieces[piece + 1..], text, at) else {
                    return false;
                };
                (piece, at) = (piece + 1, start);
                latest = Some((piece, at));
                continue;
            }
            Some(Piece::One) => rest.chars().next().map(char::len_utf8),
            Some(Piece::Literal(literal)) => rest.starts_with(&**literal).then_some(literal.len()),
            Some(Piece::Variable(index)) => {
                let value = &*values[*index];
                rest.starts_with(value).then_some(value.len())
            }
        };
        if let Some(step) = step {
            (piece, at) = (piece + 1, at + step);
            continue;
        }
        let Some((after, tried)) = latest else {
            return false;
        };
        let Some(skipped) = text[tried..].chars().next() else {
            return false;
        };
        let next = first_try(&pieces[after..], text, tried + skipped.len_utf8());
        let Some(start) = next else { return false };
        (piece, at) = (after, start);
        latest = Some((piece, at));
    }
}

/// Where, from `start` on, what follows a `*` is first worth trying; `None` if nowhere.
fn first_try(after: &[Piece], text: &str, start: usize) -> Option<usize> {
    match after {
        [] => Some(text.len()),
        [Piece::Literal(end)] => {
            let at = text.len().checked_sub(end.len())?;
            (at >= start && text.ends_with(&**end)).then_some(at)
        }
        [Piece::Literal(literal), ..] => Some(start + text[start..].find(&**literal)?),
        _ => Some(start),
    }
}
