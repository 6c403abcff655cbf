//! What is probably a mistake in a document that is valid.

use super::document::{Document, DocumentKind, Version};
use super::finding::Finding;
use super::statement::{Effect, Statement};

impl Document {
    /// What is probably a mistake, in the order of the document. None of it refuses the document.
    pub fn warnings(&self) -> Vec<Finding> {
        let mut warnings = Vec::new();
        for statement in self.statements() {
            let mut warn = |reason: &str| {
                let name = statement.id.split_once(':').map(|(_, name)| name);
                warnings.push(Finding::at(
                    self.source(),
                    statement.offset,
                    name,
                    reason.to_owned(),
                ));
            };
            self.check(statement, &mut warn);
        }
        let allows = self
            .statements()
            .iter()
            .any(|statement| statement.effect == Effect::Allow);
        if !allows && self.kind() != DocumentKind::Identity {
            let reason = "no statement allows anything: nobody can use what this policy governs";
            warnings.push(Finding::at(self.source(), 0, None, reason.to_owned()));
        }
        if self.version() == Version::V2008
            && let Some(offset) = self.source().find("${")
        {
            let reason = "without \"Version\": \"2012-10-17\" this is plain text, not a variable";
            warnings.push(Finding::at(self.source(), offset, None, reason.to_owned()));
        }
        warnings
    }

    fn check(&self, statement: &Statement, warn: &mut impl FnMut(&str)) {
        let allow = statement.effect == Effect::Allow;
        if statement.principals.is_nobody() {
            warn("it is about no caller: services do not call kmsfs");
        }
        if allow && statement.principals.is_everyone() && statement.conditions.is_empty() {
            warn("everyone is allowed, without a condition");
        }
    }
}
