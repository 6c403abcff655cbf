//! What is probably a mistake in a document that is valid.

use super::actions::ActionSet;
use super::arn::Arn;
use super::condition::{Condition, Test};
use super::document::{Document, DocumentKind, Version};
use super::finding::Finding;
use super::keys::Plane;
use super::operator::Quantifier;
use super::statement::{Effect, Statement, path_of};

impl Document {
    /// What is probably a mistake, in the order of the document. None of it refuses the document.
    pub fn warnings(&self) -> Vec<Finding> {
        let at = |offset, statement, reason: String| {
            Finding::at(self.source(), offset, statement, reason)
        };
        let mut warnings = Vec::new();
        warnings.extend(self.lockout().map(|reason| at(0, None, reason.to_owned())));
        if self.version() == Version::V2008
            && let Some(offset) = self.source().find("${")
        {
            let reason = "without \"Version\": \"2012-10-17\" this is plain text, not a variable";
            warnings.push(at(offset, None, reason.to_owned()));
        }
        for statement in self.statements() {
            let name = statement.id.split_once(':').map(|(_, name)| name);
            let mut reasons = of_statement(self.kind(), statement);
            let governed = statement.actions.intersection(self.kind().actions());
            let overruling = self.statements().iter();
            let mut overruling = overruling.filter(|deny| deny.overrules(statement, governed));
            if statement.effect == Effect::Allow
                && let Some(deny) = overruling.next()
            {
                reasons.push(format!(
                    "{} refuses all that it allows: nobody can use it",
                    deny.id
                ));
            }
            let reasons = reasons.into_iter();
            warnings.extend(reasons.map(|reason| at(statement.offset, name, reason)));
        }
        warnings.sort_by_key(|warning| (warning.line, warning.column));
        warnings
    }

    /// Whom it locks out, if it does.
    fn lockout(&self) -> Option<&'static str> {
        let left = |actions: ActionSet| {
            self.statements().iter().any(|allow| {
                let actions = allow.actions.intersection(actions);
                allow.effect == Effect::Allow
                    && !actions.is_empty()
                    && !allow.principals.is_nobody()
                    && !self
                        .statements()
                        .iter()
                        .any(|deny| deny.overrules(allow, actions))
            })
        };
        match self.kind() {
            DocumentKind::Identity => None,
            kind if !left(kind.actions()) => {
                Some("it locks everybody out: nothing is allowed that no Deny refuses")
            }
            DocumentKind::Key if !left(ActionSet::matching("kms:PutKeyPolicy")) => Some(
                "it locks itself: nobody is allowed kms:PutKeyPolicy, so it could never be replaced",
            ),
            DocumentKind::Key | DocumentKind::Tree => None,
        }
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
    let service = match kind {
        DocumentKind::Key => Some("kms"),
        DocumentKind::Tree => Some("kmsfs"),
        DocumentKind::Identity => None,
    };
    let elsewhere = |pattern: &str| {
        Arn::split(pattern).is_some_and(|arn| service.is_some_and(|own| arn.service() != own))
    };
    let resources = &statement.resources.texts;
    if allow && resources.iter().all(|pattern| elsewhere(pattern)) {
        reasons.push(format!(
            "nobody can use it: its Resource is not what a {kind} policy decides about"
        ));
    }
    let labelled = conditions
        .iter()
        .any(|condition| condition.key.name == "kmsfs:Label");
    if resources.iter().any(|pattern| path_of(pattern).is_some()) && !labelled {
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
