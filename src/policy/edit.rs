//! Adding a statement to a document and taking one out, with the rest of its text as it is.

use super::document::Document;
use super::finding::Refused;
use super::json::{self, Node, Value};
use super::statement;

impl Document {
    /// The document with a further statement, a JSON object, after the others.
    ///
    /// # Errors
    /// [`Refused`] if the statement is not one of such a document, or its `Sid` is taken.
    pub fn with_statement(&self, statement: &str) -> Result<Self, Refused> {
        let text = self.source();
        let statement = statement.trim().replace('\n', "\n    ");
        let (start, end, new) = self.statement_nodes(|list| {
            if let Value::Array(nodes) = &list.value {
                let after = nodes.last().map_or(list.end - 1, |last| last.end);
                return (after, after, format!(",\n    {statement}"));
            }
            let only = &text[list.offset..list.end];
            let both = format!("[\n    {only},\n    {statement}\n  ]");
            (list.offset, list.end, both)
        });
        self.edited(start, end, &new)
    }

    /// The document without the statement of this `Sid`; `None` if it has none.
    ///
    /// # Errors
    /// [`Refused`] if it was the only one: a policy has a statement.
    pub fn without_statement(&self, sid: &str) -> Option<Result<Self, Refused>> {
        let (start, end) = self.statement_nodes(|list| {
            let nodes = match &list.value {
                Value::Array(nodes) => nodes.as_slice(),
                _ => std::slice::from_ref(list),
            };
            let at = nodes
                .iter()
                .position(|node| statement::sid(node) == Some(sid))?;
            let range = match (at.checked_sub(1), nodes.get(at + 1)) {
                (Some(before), _) => (nodes[before].end, nodes[at].end),
                (None, Some(after)) => (nodes[at].offset, after.offset),
                (None, None) => (nodes[at].offset, nodes[at].end),
            };
            Some(range)
        })?;
        let alone = self.source()[start..end].starts_with('{') && self.statements().len() == 1;
        let is_list = self.statement_nodes(|list| matches!(list.value, Value::Array(_)));
        Some(self.edited(start, end, if alone && !is_list { "[]" } else { "" }))
    }

    /// The `Sid`s of its statements, in their order.
    pub fn sids(&self) -> Vec<String> {
        self.statement_nodes(|list| {
            let nodes = match &list.value {
                Value::Array(nodes) => nodes.as_slice(),
                _ => std::slice::from_ref(list),
            };
            nodes
                .iter()
                .filter_map(statement::sid)
                .map(str::to_owned)
                .collect()
        })
    }

    fn statement_nodes<R>(&self, look: impl FnOnce(&Node<'_>) -> R) -> R {
        let root = json::parse(self.source())
            .ok()
            .expect("it was parsed before");
        let Value::Object(members) = &root.value else {
            unreachable!("a document is an object")
        };
        let list = members.iter().find(|member| member.name == "Statement");
        look(&list.expect("a document has statements").value)
    }

    fn edited(&self, start: usize, end: usize, new: &str) -> Result<Self, Refused> {
        let text = self.source();
        let edited = format!("{}{new}{}", &text[..start], &text[end..]);
        Self::parse(self.kind(), &edited)
    }
}
