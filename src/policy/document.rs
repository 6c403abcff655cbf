use std::collections::BTreeSet;
use std::fmt;

use super::actions::ActionSet;
use super::finding::{Finding, Refused};
use super::json::{self, Node, Value};
use super::keys::Facts;
use super::reader::Reader;
use super::statement::{self, Statement};

/// What a document governs, which decides what it may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DocumentKind {
    /// The policy of one KMS key: each statement has a `Principal`; `kms:` actions.
    Key,
    /// The policy of one volume: each statement has a `Principal`; `kmsfs:` actions.
    Tree,
    /// The policy of a user or group: no `Principal`; actions of both.
    Identity,
}

impl DocumentKind {
    /// The actions that such a document has a say in.
    pub(super) fn actions(self) -> ActionSet {
        match self {
            Self::Key => ActionSet::of_service("kms"),
            Self::Tree => ActionSet::of_service("kmsfs"),
            Self::Identity => ActionSet::matching("*"),
        }
    }
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Tree => "tree",
            Self::Identity => "identity",
        })
    }
}

/// The version of the policy language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// 2008-10-17, also where a document names none. It has no variables: `${…}` is plain text.
    V2008,
    /// 2012-10-17.
    V2012,
}

/// An IAM JSON policy document that was read, checked and compiled.
///
/// Only what is fully understood becomes a `Document`: an unknown element, operator, action or
/// condition key, or a name written twice, refuses it.
///
/// The language is AWS's: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html>
#[derive(Debug)]
pub struct Document {
    kind: DocumentKind,
    source: String,
    version: Version,
    statements: Vec<Statement>,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// [`Refused`] lists everything that is wrong with it.
    pub fn parse(kind: DocumentKind, json: &str) -> Result<Self, Refused> {
        let node = json::parse(json).map_err(|error| {
            Refused::new(vec![Finding::at(json, error.offset, None, error.reason)])
        })?;
        let mut reader = Reader::new(kind, json);
        let statements = parse_document(&mut reader, &node);
        let version = reader.version;
        let problems = reader.into_problems();
        if problems.is_empty() {
            Ok(Self {
                kind,
                source: json.to_owned(),
                version,
                statements,
            })
        } else {
            Err(Refused::new(problems))
        }
    }

    /// What the document governs.
    pub fn kind(&self) -> DocumentKind {
        self.kind
    }

    /// The text it was read from, unchanged.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The facts about a calling process that decisions by this document need.
    pub fn facts(&self) -> Facts {
        self.statements.iter().map(Statement::facts).collect()
    }

    /// The ARNs of the users, roles and groups that its statements name, each once.
    pub fn principals(&self) -> Vec<&str> {
        let named = self.statements.iter();
        once_each(named.flat_map(|statement| statement.principals.named()))
    }

    /// The resource patterns of its statements as they are written, each once.
    pub fn resources(&self) -> Vec<&str> {
        let named = self.statements.iter();
        once_each(named.flat_map(|one| one.resources.texts.iter().map(|text| &**text)))
    }

    /// The paths of its resource patterns that name less than a whole volume, each once.
    pub fn paths(&self) -> Vec<&str> {
        once_each(self.resources().into_iter().filter_map(statement::path_of))
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    pub(super) fn statements(&self) -> &[Statement] {
        &self.statements
    }
}

fn once_each<'d>(names: impl Iterator<Item = &'d str>) -> Vec<&'d str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(*name)).collect()
}

fn parse_document<'a>(reader: &mut Reader<'a>, node: &Node<'a>) -> Vec<Statement> {
    let members = reader.members(node, "a policy");
    let mut statements = None;
    // The version first, wherever it stands: it decides how the statements are read.
    for member in members.iter().filter(|member| member.name == "Version") {
        reader.version = match reader.string(&member.value, "Version") {
            Some("2012-10-17") => Version::V2012,
            Some("2008-10-17") | None => Version::V2008,
            Some(other) => {
                let reason =
                    format!("Version is to be \"2012-10-17\" (or 2008-10-17), not {other:?}");
                reader.problem(member.value.offset, reason);
                Version::V2008
            }
        };
    }
    for member in members {
        match &*member.name {
            "Version" => {}
            "Id" => {
                reader.string(&member.value, "Id");
            }
            "Statement" => statements = Some(&member.value),
            other => {
                let reason =
                    format!("unknown element {other:?}; a policy has Version, Id, Statement");
                reader.problem(member.offset, reason);
            }
        }
    }
    let Some(node_of_statements) = statements else {
        if matches!(node.value, Value::Object(_)) {
            reader.problem(node.offset, "the policy has no Statement");
        }
        return Vec::new();
    };
    let nodes = match &node_of_statements.value {
        Value::Array(nodes) => nodes.as_slice(),
        _ => std::slice::from_ref(node_of_statements),
    };
    if nodes.is_empty() {
        reader.problem(node_of_statements.offset, "Statement is an empty list");
    }
    let mut sids = BTreeSet::new();
    for node in nodes {
        if let Some(sid) = statement::sid(node)
            && !sids.insert(sid)
        {
            reader.problem(node.offset, format!("two statements have the Sid {sid:?}"));
        }
    }
    let statements = nodes.iter().enumerate();
    statements
        .map(|(index, node)| statement::parse(reader, node, index))
        .collect()
}
