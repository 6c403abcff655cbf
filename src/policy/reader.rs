//! What the parts of a document's parser share: the problems found so far, and reading JSON shapes.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::document::{DocumentKind, Version};
use super::finding::Finding;
use super::json::{Member, Node, Value};

/// Reads one document, collecting every problem rather than stopping at the first.
pub(super) struct Reader<'a> {
    pub(super) kind: DocumentKind,
    pub(super) version: Version,
    /// The statement being read, as findings name it.
    pub(super) statement: Option<String>,
    text: &'a str,
    problems: Vec<Finding>,
}

/// A string and the byte offset where it stands.
pub(super) type Located<'n> = (usize, &'n str);

impl<'a> Reader<'a> {
    pub(super) fn new(kind: DocumentKind, text: &'a str) -> Self {
        Self {
            kind,
            version: Version::V2008,
            statement: None,
            text,
            problems: Vec::new(),
        }
    }

    /// Notes a problem at byte `offset`.
    pub(super) fn problem(&mut self, offset: usize, reason: impl Into<String>) {
        let finding = Finding::at(self.text, offset, self.statement.as_deref(), reason.into());
        self.problems.push(finding);
    }

    /// Every problem noted, in the order of the text.
    pub(super) fn into_problems(mut self) -> Vec<Finding> {
        self.problems
            .sort_by_key(|finding| (finding.line, finding.column));
        self.problems
    }

    /// The members of an object, if `node` is one. A name that stands there twice is a problem:
    /// parsers differ in which one counts.
    pub(super) fn members<'n>(&mut self, node: &'n Node<'a>, what: &str) -> &'n [Member<'a>] {
        let Value::Object(members) = &node.value else {
            self.problem(node.offset, format!("{what} is to be a JSON object"));
            return &[];
        };
        let mut names = BTreeSet::new();
        for member in members {
            if !names.insert(&member.name) {
                self.problem(
                    member.offset,
                    format!("{:?} stands here twice", member.name),
                );
            }
        }
        members
    }

    /// A string.
    pub(super) fn string<'n>(&mut self, node: &'n Node<'a>, what: &str) -> Option<&'n str> {
        let Value::String(text) = &node.value else {
            self.problem(node.offset, format!("{what} is to be a string"));
            return None;
        };
        Some(text)
    }

    /// A string or a list of strings, at least one.
    pub(super) fn strings<'n>(&mut self, node: &'n Node<'a>, what: &str) -> Vec<Located<'n>> {
        let strings = |node: &'n Node<'a>| match &node.value {
            Value::String(text) => Some((node.offset, &**text)),
            _ => None,
        };
        self.list(node, what, "strings", strings)
    }

    /// A condition's values: strings, numbers or booleans, one or a list, at least one.
    pub(super) fn scalars<'n>(&mut self, node: &'n Node<'a>, what: &str) -> Vec<Located<'n>> {
        let scalars = |node: &'n Node<'a>| match &node.value {
            Value::String(text) => Some((node.offset, &**text)),
            Value::Scalar(text) => Some((node.offset, *text)),
            _ => None,
        };
        self.list(node, what, "strings, numbers or booleans", scalars)
    }

    fn list<'n>(
        &mut self,
        node: &'n Node<'a>,
        what: &str,
        of: &str,
        item: impl Fn(&'n Node<'a>) -> Option<Located<'n>>,
    ) -> Vec<Located<'n>> {
        let nodes = match &node.value {
            Value::Array(nodes) => nodes.as_slice(),
            _ => std::slice::from_ref(node),
        };
        if nodes.is_empty() {
            self.problem(node.offset, format!("{what} is an empty list"));
        }
        let mut found = Vec::new();
        for node in nodes {
            match item(node) {
                Some(located) => found.push(located),
                None => self.problem(node.offset, format!("{what} is to hold {of}")),
            }
        }
        found
    }
}

/// Names for a message: `a, b or c`.
pub(super) fn either(names: &[&str]) -> Cow<'static, str> {
    match names {
        [] => Cow::Borrowed("nothing"),
        [only] => Cow::Owned((*only).to_owned()),
        [head @ .., last] => Cow::Owned(format!("{} or {last}", head.join(", "))),
    }
}
