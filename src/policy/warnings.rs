//! What is probably a mistake in a document that is valid.

use super::actions::ActionSet;
use super::condition::{Condition, Test};
use super::document::{Document, DocumentKind, Version};
use super::finding::Finding;
use super::keys::Plane;
use super::operator::Quantifier;
use super::statement::{Effect, Statement};

impl Document {
    /// What is probably a mistake, in the order of the document. None of it refuses the document.
    pub fn warnings(&self) -> Vec<Finding> {
        let at = |offset, statement, reason: String| {
            Finding::at(self.source(), offset, statement, reason)
        };
        let mut warnings = Vec::new();
        let allows = self
            .statements()
            .iter()
            .any(|statement| statement.effect == Effect::Allow);
        if !allows && self.kind() != DocumentKind::Identity {
            let reason = "no statement allows anything: nobody can use what this policy governs";
            warnings.push(at(0, None, reason.to_owned()));
        }
        if self.version() == Version::V2008
            && let Some(offset) = self.source().find("${")
        {
            let reason = "without \"Version\": \"2012-10-17\" this is plain text, not a variable";
            warnings.push(at(offset, None, reason.to_owned()));
        }
        for statement in self.statements() {
            let name = statement.id.split_once(':').map(|(_, name)| name);
            let reasons = of_statement(self.kind(), statement).into_iter();
            warnings.extend(reasons.map(|reason| at(statement.offset, name, reason)));
        }
        warnings.sort_by_key(|warning| (warning.line, warning.column));
        warnings
    }
}

fn of_statement(kind: DocumentKind, statement: &Statement) -> Vec<String> {
    let mut reasons = Vec::new();
    let conditions = &statement.conditions;
    let allow = statement.effect == Effect::Allow;
    if statement.principals.is_nobody() {
        reasons.push("it is about nobody: services do not call kmsfs".to_owned());
    }
    if allow && statement.principals.is_everyone() && conditions.is_empty() {
        reasons.push("it allows everyone, without a Condition".to_owned());
    }
    let labelled = conditions
        .iter()
        .any(|condition| condition.key.name == "kmsfs:Label");
    if statement.resources.by_path && !labelled {
        reasons.push(
            "a path does not bind someone who can write the backing directory and move files \
             there; a Condition on kmsfs:Label does"
                .to_owned(),
        );
    }
    if allow {
        let vacuous = conditions.iter().filter(|one| vacuous(one, conditions));
        reasons.extend(vacuous.map(|condition| {
            let key = &condition.key.name;
            format!("ForAllValues holds when {key} is absent; add \"Null\": {{\"{key}\": false}}")
        }));
    }
    let decides_keys = !statement
        .actions
        .intersection(ActionSet::of_service("kms"))
        .is_empty();
    if kind == DocumentKind::Identity && decides_keys {
        let absent = conditions
            .iter()
            .filter(|one| one.key.known.plane == Plane::File);
        reasons.extend(absent.map(|condition| {
            format!(
                "requests for kms: actions do not have {}",
                condition.key.name
            )
        }));
    }
    reasons
}

/// Whether a condition is fulfilled by an absent key, and no other one demands the key.
fn vacuous(condition: &Condition, all: &[Condition]) -> bool {
    let demanded = |other: &Condition| {
        matches!(&other.test, Test::Null(absent) if !absent.contains(&true))
            && other.key.name == condition.key.name
    };
    matches!(
        condition.test,
        Test::Compare {
            quantifier: Quantifier::All,
            ..
        }
    ) && !all.iter().any(demanded)
}
