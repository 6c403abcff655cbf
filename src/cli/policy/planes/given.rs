//! The condition keys of a request that nobody makes.

use std::borrow::Cow;

use crate::policy::Context;
use crate::policy::keys::{self, KnownKey};

use super::super::super::error::CliError;

/// Refuses what is no condition key.
pub(super) fn check_key(name: &str) -> Result<(), CliError> {
    let known = |known: &KnownKey| {
        let family = known.name.ends_with([':', '/']);
        let head = name.get(..known.name.len()).unwrap_or_default();
        head.eq_ignore_ascii_case(known.name) && (family || head.len() == name.len())
    };
    if keys::ALL.iter().any(known) {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "there is no condition key {name:?}"
    )))
}

/// The names of condition keys have no case.
fn is(name: &str, key: &str) -> bool {
    name.eq_ignore_ascii_case(key)
}

/// Condition keys with their values. What was named on the command line stands in the place of what
/// the request has by itself.
pub(super) struct Given<'a> {
    pub(super) named: &'a [(String, String)],
    pub(super) own: Vec<(String, String)>,
}

impl Given<'_> {
    pub(super) fn push(&mut self, key: &str, value: String) {
        self.own.push((key.to_owned(), value));
    }
}

impl Context for Given<'_> {
    fn get(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let of = |list: &'_ [(String, String)]| list.iter().any(|(name, _)| is(name, key));
        let list = if of(self.named) {
            self.named
        } else {
            &self.own
        };
        let values = list.iter().filter(|(name, _)| is(name, key));
        let values: Vec<_> = values.map(|(_, value)| Cow::from(value)).collect();
        (!values.is_empty()).then_some(values)
    }
}
