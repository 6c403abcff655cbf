use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::arn::Arn;
use super::keys::{Key, Source};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Principal {
    /// `arn:aws:iam::<account>:user/<name>`.
    pub arn: String,
    /// The account, 12 digits.
    pub account: String,
    /// ARNs of the roles and groups that the caller has as well.
    pub also: Vec<String>,
}

impl Principal {
    /// Whether every ARN in it is of `account`: a user's, and those of roles and groups. The
    /// account's root is no user.
    pub fn is_user_of(&self, account: &str) -> bool {
        let is_of_account = |arn: &str, kinds: &[&str]| {
            Arn::split(arn).is_some_and(|arn| {
                let name = kinds
                    .iter()
                    .find_map(|kind| arn.resource().strip_prefix(kind));
                (arn.partition(), arn.service(), arn.region()) == ("aws", "iam", "")
                    && arn.account() == account
                    && name.is_some_and(|name| !name.is_empty())
            })
        };
        self.account == account
            && is_of_account(&self.arn, &["user/"])
            && self
                .also
                .iter()
                .all(|arn| is_of_account(arn, &["role/", "group/"]))
    }

    /// The name in a `user/` ARN, without its path.
    fn user_name(&self) -> Option<&str> {
        Arn::split(&self.arn)?
            .resource()
            .strip_prefix("user/")?
            .rsplit('/')
            .next()
    }
}

/// The values of the condition keys of one request.
pub trait Context {
    /// The values of `key`, which comes in the [canonical spelling](super::keys::ALL); `None` if
    /// the request has no such key. Each value is text, as an AWS request context has it: numbers
    /// in decimal, dates in RFC 3339, `true` or `false`.
    ///
    /// `aws:PrincipalArn`, `aws:PrincipalAccount` and `aws:username` are not asked for: the
    /// [`Principal`] answers them.
    fn get(&self, key: &str) -> Option<Vec<Cow<'_, str>>>;
}

/// What is asked.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// One of [`actions::ALL`](super::actions::ALL), in any case. Anything else is denied.
    pub action: &'a str,
    /// The ARN of what it is to be done to; `*` for an action that has no resource.
    pub resource: &'a str,
    /// The condition keys of the request.
    pub context: &'a dyn Context,
}

/// Where conditions and variables find their values.
#[derive(Clone, Copy)]
pub(super) struct Lookup<'r> {
    principal: &'r Principal,
    context: &'r dyn Context,
}

impl<'r> Lookup<'r> {
    pub(super) fn new(request: &Request<'r>) -> Self {
        Self {
            principal: request.principal,
            context: request.context,
        }
    }

    /// The values of `key`; `None` if there is none.
    pub(super) fn get(&self, key: &Key) -> Option<Vec<Cow<'r, str>>> {
        match key.known.source {
            Source::Context => self.context.get(&key.name).filter(|list| !list.is_empty()),
            source => self
                .of_principal(source)
                .map(|value| vec![Cow::Borrowed(value)]),
        }
    }

    /// The value of a key that the principal answers for; `None` if there is none.
    pub(super) fn of_principal(&self, source: Source) -> Option<&'r str> {
        match source {
            Source::Context => None,
            Source::PrincipalArn => Some(&self.principal.arn),
            Source::PrincipalAccount => Some(&self.principal.account),
            Source::UserName => self.principal.user_name(),
        }
    }
}
