//! Amazon Resource Names and patterns over them.
//!
//! A pattern is compared component by component, so a `*` never reaches across a colon into the
//! next component: a file called `:000000000000:volume/…` gains nothing.

use super::document::Version;
use super::keys::Facts;
use super::pattern::{Outcome, Pattern};
use super::request::Lookup;

/// `arn:partition:service:region:account:resource`, split; the resource may hold more colons.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arn<'a>([&'a str; 5]);

impl<'a> Arn<'a> {
    pub(super) fn split(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix("arn:")?.splitn(5, ':');
        let arn = [(); 5].map(|()| parts.next());
        Some(Self([arn[0]?, arn[1]?, arn[2]?, arn[3]?, arn[4]?]))
    }

    pub(super) fn partition(self) -> &'a str {
        self.0[0]
    }

    pub(super) fn service(self) -> &'a str {
        self.0[1]
    }

    pub(super) fn region(self) -> &'a str {
        self.0[2]
    }

    pub(super) fn account(self) -> &'a str {
        self.0[3]
    }

    pub(super) fn resource(self) -> &'a str {
        self.0[4]
    }
}

/// Whether `text` is an account id: 12 digits.
pub(super) fn is_account_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A pattern over ARNs, or `*`, which matches anything (also what is no ARN).
#[derive(Debug)]
pub(super) enum ArnPattern {
    Anything,
    Components(Box<[Pattern; 5]>),
}

impl ArnPattern {
    /// Compiles `text`; wildcards may stand in every component, variables in the last.
    pub(super) fn parse(text: &str, version: Version) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Anything);
        }
        let malformed = |why: &str| {
            format!(
                "{text:?} is not \"*\" or an ARN \
                 (arn:partition:service:region:account:resource): {why}"
            )
        };
        let arn = Arn::split(text).ok_or_else(|| malformed("it has fewer than six components"))?;
        let wild = |part: &str| part.contains(['*', '?']);
        let leading = [arn.partition(), arn.service(), arn.region(), arn.account()];
        if version == Version::V2012 && leading.iter().any(|part| part.contains("${")) {
            return Err(malformed(
                "a policy variable can stand only in the resource part",
            ));
        }
        if !arn.partition().starts_with("aws") && !wild(arn.partition()) {
            return Err(malformed("the partition is to be aws"));
        }
        if arn.service().is_empty() {
            return Err(malformed("it names no service"));
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !wild(arn.region()) && !arn.region().bytes().all(plain) {
            return Err(malformed("the region has characters that no region has"));
        }
        let account = arn.account();
        if !account.is_empty() && !wild(account) && !is_account_id(account) && account != "aws" {
            return Err(malformed("the account is to be 12 digits"));
        }
        if arn.resource().is_empty() {
            return Err(malformed("it names no resource"));
        }
        let resource = Pattern::parse(arn.resource(), true, version)?;
        let [partition, service, region, account] = leading.map(Pattern::glob);
        Ok(Self::Components(Box::new([
            partition, service, region, account, resource,
        ])))
    }

    /// The facts about the process that its variables need.
    pub(super) fn facts(&self) -> Facts {
        match self {
            Self::Anything => Facts::empty(),
            Self::Components(components) => components.iter().map(Pattern::facts).collect(),
        }
    }

    /// Whether it is certain that whatever matches the pattern `other`, as it is written, matches this
    /// one.
    pub(super) fn covers(&self, other: &str) -> bool {
        match (self, Arn::split(other)) {
            (Self::Anything, _) => true,
            (Self::Components(components), Some(other)) => {
                let mut both = components.iter().zip(other.0);
                both.all(|(pattern, part)| pattern.covers(part))
            }
            (Self::Components(_), None) => false,
        }
    }

    /// `arn` is `None` for what is no ARN.
    pub(super) fn matches(&self, arn: Option<Arn<'_>>, lookup: &Lookup<'_>) -> Outcome {
        let components = match self {
            Self::Anything => return Outcome::Match,
            Self::Components(components) => components,
        };
        let Some(arn) = arn else {
            return Outcome::NoMatch;
        };
        let [leading @ .., resource] = &**components;
        // The account and region differ most often, so a statement about another is left at once.
        let same = leading
            .iter()
            .zip(arn.0)
            .rev()
            .all(|(pattern, part)| pattern.matches_fixed(part));
        if same {
            resource.matches(arn.resource(), lookup)
        } else {
            Outcome::NoMatch
        }
    }
}
