//! The engine as a whole. `conditions` and `evaluation` restate AWS's documentation as tables.

mod conditions;
mod documents;
mod evaluation;
mod explain;
mod properties;
mod refusals;
mod variables;

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::*;

pub(super) const ACCOUNT: &str = "111122223333";
pub(super) const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234";
pub(super) const FILE: &str = "arn:aws:kmsfs:us-east-1:111122223333:volume/7/hr/pay.ods";

/// The condition keys of a test's request.
#[derive(Default)]
pub(super) struct Keys(BTreeMap<String, Vec<String>>);

impl Keys {
    pub(super) fn with(mut self, key: &str, values: &[&str]) -> Self {
        let values = values.iter().map(|&value| value.to_owned()).collect();
        self.0.insert(key.to_ascii_lowercase(), values);
        self
    }
}

impl Context for Keys {
    fn get(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let values = self.0.get(&key.to_ascii_lowercase())?;
        Some(values.iter().map(|value| Cow::Borrowed(&**value)).collect())
    }
}

pub(super) fn user(name: &str) -> Principal {
    Principal {
        arn: format!("arn:aws:iam::{ACCOUNT}:user/{name}"),
        account: ACCOUNT.to_owned(),
        also: Vec::new(),
    }
}

/// `body` is the statements, without their list.
pub(super) fn text(statements: &str) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#)
}

#[track_caller]
pub(super) fn document(kind: DocumentKind, statements: &str) -> Document {
    Document::parse(kind, &text(statements)).unwrap_or_else(|refused| panic!("{refused}"))
}

#[track_caller]
pub(super) fn key_policy(statements: &str) -> Document {
    document(DocumentKind::Key, statements)
}

#[track_caller]
pub(super) fn tree_policy(statements: &str) -> Document {
    document(DocumentKind::Tree, statements)
}

#[track_caller]
pub(super) fn identity_policy(statements: &str) -> Document {
    document(DocumentKind::Identity, statements)
}

/// Alice reads the file.
pub(super) fn read(policy: &Document, keys: &Keys) -> Result<Allowed, Denied> {
    let principal = &user("alice");
    let request = Request {
        principal,
        action: "kmsfs:Read",
        resource: FILE,
        context: keys,
    };
    decide(policy, &[], &[], &request)
}

/// `caller` decrypts with the key.
pub(super) fn decrypt(
    policy: &Document,
    identity: &[&Document],
    grants: &[&str],
    caller: &Principal,
) -> Result<Allowed, Denied> {
    let keys = Keys::default();
    let request = Request {
        principal: caller,
        action: "kms:Decrypt",
        resource: KEY,
        context: &keys,
    };
    decide(policy, identity, grants, &request)
}
