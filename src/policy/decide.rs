use std::fmt;

use serde::{Deserialize, Serialize};

use super::actions::Action;
use super::arn::Arn;
use super::document::{Document, DocumentKind};
use super::principals::Reach;
use super::request::Request;
use super::statement::{Effect, Question};

/// Proof that a request was decided and allowed. Only [`decide`] makes one.
#[derive(Debug)]
#[must_use = "what an allowed request does takes this as its proof"]
pub struct Allowed {
    statements: Vec<String>,
}

impl Allowed {
    /// What allowed it: `<kind>:<Sid>` or `<kind>:#<n>` for a statement (kind `key`, `tree` or
    /// `identity`), `grant:<id>` for a grant. A delegation comes before the identity policy's
    /// statements that it let in.
    pub fn statements(&self) -> &[String] {
        &self.statements
    }
}

/// Why a request is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DenyReason {
    /// A Deny statement is about it.
    ExplicitDeny,
    /// Nothing allows it.
    NoAllow,
}

/// A request that was decided and denied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", denied(*.reason, .statements))]
pub struct Denied {
    /// Why.
    pub reason: DenyReason,
    /// Every Deny statement that is about the request, named as in [`Allowed::statements`]; empty
    /// if nothing allows it.
    pub statements: Vec<String>,
}

fn denied(reason: DenyReason, statements: &[String]) -> impl fmt::Display {
    match reason {
        DenyReason::ExplicitDeny => format!("denied by {}", statements.join(", ")),
        DenyReason::NoAllow => "no policy allows it".to_owned(),
    }
}

/// Decides one request.
///
/// `resource_policy` is the policy of the key or volume, `identity` the policies of the caller
/// and of the groups the caller is in, `grants` the ids of the grants that allow this request. In this order:
///
/// 1. an explicit Deny in any document denies;
/// 2. an Allow of the resource policy that names the caller or everyone allows;
/// 3. an Allow of the resource policy that names the caller's account (its id, or its root's ARN)
///    delegates: then an Allow of an identity policy allows;
/// 4. a grant allows;
/// 5. everything else is denied.
///
/// A caller of another account than the resource's is allowed only by both: 2, 3 or 4, and an Allow
/// of an identity policy.
///
/// An action that has no resource of its own (`kms:CreateKey`) is decided by identity policies: give
/// [`default_key_policy`](super::canned::default_key_policy), which delegates everything, and `*`
/// as the resource.
///
/// Nothing is allowed if a document is passed in the place of another kind.
///
/// # Errors
/// [`Denied`], with the statements that denied.
pub fn decide(
    resource_policy: &Document,
    identity: &[&Document],
    grants: &[&str],
    request: &Request<'_>,
) -> Result<Allowed, Denied> {
    let nothing = Denied {
        reason: DenyReason::NoAllow,
        statements: Vec::new(),
    };
    let identities = identity
        .iter()
        .all(|document| document.kind() == DocumentKind::Identity);
    let Some(action) = Action::named(request.action) else {
        return Err(nothing);
    };
    if resource_policy.kind() == DocumentKind::Identity || !identities {
        return Err(nothing);
    }
    let question = Question::new(request, action);
    let mut found = Found::default();
    found.search(resource_policy, &question);
    let mut of_identity = Found::default();
    for document in identity {
        of_identity.search(document, &question);
    }
    found.denying.append(&mut of_identity.denying);

    if !found.denying.is_empty() {
        return Err(Denied {
            reason: DenyReason::ExplicitDeny,
            statements: owned(&found.denying),
        });
    }
    let owner = question.resource.map_or("", Arn::account);
    if !owner.is_empty() && owner != request.principal.account {
        let mut statements = owned(&[found.allowing, found.delegating].concat());
        statements.extend(grants.iter().map(|id| format!("grant:{id}")));
        if statements.is_empty() || of_identity.allowing.is_empty() {
            return Err(nothing);
        }
        statements.extend(owned(&of_identity.allowing));
        return Ok(Allowed { statements });
    }
    let statements = if !found.allowing.is_empty() {
        owned(&found.allowing)
    } else if !found.delegating.is_empty() && !of_identity.allowing.is_empty() {
        owned(&[found.delegating, of_identity.allowing].concat())
    } else if !grants.is_empty() {
        grants.iter().map(|id| format!("grant:{id}")).collect()
    } else {
        return Err(nothing);
    };
    Ok(Allowed { statements })
}

/// The ids of the statements that are about a request, by what they do.
#[derive(Default)]
struct Found<'d> {
    denying: Vec<&'d str>,
    allowing: Vec<&'d str>,
    delegating: Vec<&'d str>,
}

impl<'d> Found<'d> {
    fn search(&mut self, document: &'d Document, question: &Question<'_>) {
        for statement in document.statements() {
            let list = match (statement.effect, statement.reach(question)) {
                (_, Reach::None) => continue,
                (Effect::Deny, _) => &mut self.denying,
                (Effect::Allow, Reach::Caller) => &mut self.allowing,
                (Effect::Allow, Reach::Account) => &mut self.delegating,
            };
            list.push(&statement.id);
        }
    }
}

fn owned(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}
