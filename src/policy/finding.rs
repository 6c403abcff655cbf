use std::fmt;

use serde::Serialize;

/// One thing found in a document: a reason to refuse it, or a warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Line in the document, counted from 1.
    pub line: usize,
    /// Column in that line, in characters, counted from 1.
    pub column: usize,
    /// The statement it is about: its `Sid`, or `#n` with n counted from 1.
    pub statement: Option<String>,
    /// What is wrong, and what to write instead.
    pub reason: String,
}

impl Finding {
    /// A finding at byte `offset` of `text`.
    pub(super) fn at(text: &str, offset: usize, statement: Option<&str>, reason: String) -> Self {
        let (line, column) = position(text, offset);
        Self {
            line,
            column,
            statement: statement.map(str::to_owned),
            reason,
        }
    }
}

/// The line and column of byte `offset` of `text`, both counted from 1.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)?;
        match &self.statement {
            Some(index) if index.starts_with('#') => write!(f, ", statement {index}")?,
            Some(sid) => write!(f, ", statement {sid:?}")?,
            None => {}
        }
        write!(f, ": {}", self.reason)
    }
}

/// A document that is not put in force, with everything that is wrong with it.
///
/// `Display` writes one line for each problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct Refused {
    problems: Vec<Finding>,
}

impl Refused {
    /// `problems` is never empty.
    pub(super) fn new(problems: Vec<Finding>) -> Self {
        debug_assert!(!problems.is_empty(), "a refusal gives its reason");
        Self { problems }
    }

    /// Every problem, in the order of the document; at least one.
    pub fn problems(&self) -> &[Finding] {
        &self.problems
    }
}

fn lines(problems: &[Finding]) -> String {
    problems
        .iter()
        .map(Finding::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
