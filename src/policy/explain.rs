//! Why a request is decided as it is, and what would change that.

use serde::{Deserialize, Serialize};

use super::actions::Action;
use super::condition::Condition;
use super::decide::{DenyReason, decide};
use super::document::Document;
use super::finding::position;
use super::principals::Reach;
use super::request::{Lookup, Request};
use super::statement::{Effect, Question, Statement};

/// How a request is decided, with what every statement about its action says to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why not, if it is not.
    pub denied: Option<DenyReason>,
    /// What decided, as in [`Allowed::statements`](super::Allowed::statements).
    pub statements: Vec<String>,
    /// The statements about the action, in the order of the documents.
    pub considered: Vec<Considered>,
}

/// What one statement says to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Considered {
    /// Its name, as in [`Allowed::statements`](super::Allowed::statements).
    pub statement: String,
    /// Whose policy it stands in: `key`, `tree`, or the ARN that an identity policy is attached to.
    pub policy: String,
    /// Where it begins in its document, counted from 1.
    pub line: usize,
    /// Where it begins in its line, in characters, counted from 1.
    pub column: usize,
    /// What it does with the requests it is about.
    pub effect: Effect,
    /// Whether it is about this request.
    pub applies: bool,
    /// Whether it names the caller by nothing but the account: an Allow then leaves the decision to
    /// identity policies.
    pub delegates: bool,
    /// What keeps it from being about this request: an element each, as `its Resource does not match`.
    pub unmet: Vec<String>,
}

impl Explanation {
    /// What was decided, and by what.
    pub fn outcome(&self) -> String {
        let statements = self.statements.join(", ");
        match self.denied {
            None => format!("allowed by {statements}"),
            Some(DenyReason::ExplicitDeny) => format!("denied by {statements}"),
            Some(DenyReason::NoAllow) => "nothing allows it".to_owned(),
        }
    }
}

/// Explains what [`decide`] says. `identity` are the identity policies, each with the ARN that it is
/// attached to.
pub fn explain(
    resource_policy: &Document,
    identity: &[(&str, &Document)],
    grants: &[&str],
    request: &Request<'_>,
) -> Explanation {
    let documents: Vec<&Document> = identity.iter().map(|(_, document)| *document).collect();
    let (denied, statements) = match decide(resource_policy, &documents, grants, request) {
        Ok(allowed) => (None, allowed.statements().to_vec()),
        Err(denied) => (Some(denied.reason), denied.statements),
    };
    let mut considered = Vec::new();
    if let Some(action) = Action::named(request.action) {
        let question = Question::new(request, action);
        let kind = resource_policy.kind().to_string();
        let all = std::iter::once((&*kind, resource_policy)).chain(identity.iter().copied());
        for (policy, document) in all {
            let about = document.statements().iter();
            let about = about.filter(|statement| statement.actions.contains(action));
            considered.extend(about.map(|one| consider(policy, document, one, &question)));
        }
    }
    Explanation {
        allowed: denied.is_none(),
        denied,
        statements,
        considered,
    }
}

fn consider(
    policy: &str,
    document: &Document,
    statement: &Statement,
    question: &Question<'_>,
) -> Considered {
    let reach = statement.principals.reach(question.principal);
    let mut unmet = Vec::new();
    if reach == Reach::None {
        unmet.push(format!("its Principal is not {}", question.principal.arn));
    }
    if !statement.is_on_resource(question) {
        unmet.push("its Resource does not match".to_owned());
    }
    let failed = statement.conditions.iter();
    let failed = failed.filter(|one| !one.holds(statement.effect, &question.lookup));
    unmet.extend(failed.map(|condition| unheld(condition, &question.lookup)));
    let (line, column) = position(document.source(), statement.offset);
    let considered = Considered {
        statement: statement.id.clone(),
        policy: policy.to_owned(),
        line,
        column,
        effect: statement.effect,
        applies: statement.reach(question) != Reach::None,
        delegates: reach == Reach::Account,
        unmet,
    };
    debug_assert_eq!(considered.applies, considered.unmet.is_empty());
    considered
}

fn unheld(condition: &Condition, lookup: &Lookup<'_>) -> String {
    let (operator, key) = (&condition.operator, &condition.key.name);
    match lookup.get(&condition.key) {
        Some(values) => format!(
            "its {operator} does not hold: {key} is {}",
            values.join(", ")
        ),
        None => format!("its {operator} does not hold: the request has no {key}"),
    }
}
