//! `kmsfs policy simulate`.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::policy::{DenyReason, Explanation, actions};

use super::super::args::policy::SimulateArgs;
use super::super::connect::Access;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::output;
use super::planes::{Answer, KeyAnswer, Planes, actions_named};
use super::subject::Subject;

pub(super) fn run(access: &Access, arguments: &SimulateArgs) -> Result<Exit, CliError> {
    let planes = Planes::find(access, &arguments.policies)?;
    let subjects = if arguments.user.is_empty() {
        planes.subjects()?
    } else {
        let named = arguments.user.iter();
        named
            .map(|user| planes.subject(user))
            .collect::<Result<_, _>>()?
    };
    let mut asked = Vec::new();
    for text in &arguments.action {
        asked.extend(actions_named(text)?);
    }
    if asked.is_empty() {
        let service = if planes.tree.is_some() {
            "kmsfs:*"
        } else {
            "kms:*"
        };
        asked = actions::matching(service);
    }
    let named = arguments.path.iter();
    let mut paths: Vec<Vec<u8>> = named.map(|path| within_volume(path)).collect();
    if paths.is_empty() {
        paths.push(Vec::new());
        let of_policy = planes.tree.iter().flat_map(|tree| tree.document.paths());
        // What a variable stands for is each user's own.
        let of_policy = of_policy.filter(|path| !path.contains("${") && !path.is_empty());
        paths.extend(of_policy.map(|path| path.as_bytes().to_vec()));
    }
    let mut matrix = Matrix {
        actions: asked,
        paths,
        rows: Vec::new(),
    };
    for subject in subjects {
        let answers = planes.ask(&subject, &matrix.actions, &matrix.paths)?;
        matrix.rows.push((subject, answers));
    }
    if arguments.output.json {
        output::json(&matrix.json());
    } else {
        matrix.print();
    }
    Ok(Exit::Success)
}

/// A path from the volume's root, as the engine has it: without the first slash.
pub(super) fn within_volume(path: &Path) -> Vec<u8> {
    let bytes = path.as_os_str().as_bytes();
    let start = bytes.iter().take_while(|&&byte| byte == b'/').count();
    let end = bytes.iter().rev().take_while(|&&byte| byte == b'/').count();
    bytes[start..bytes.len().max(start + end) - end].to_vec()
}

struct Matrix {
    actions: Vec<&'static str>,
    paths: Vec<Vec<u8>>,
    /// Answers path by path, and for each in the order of the actions.
    rows: Vec<(Subject, Vec<Answer>)>,
}

impl Matrix {
    fn by_path<'a>(
        &'a self,
        answers: &'a [Answer],
    ) -> impl Iterator<Item = (&'a [u8], &'a [Answer])> {
        let paths = self.paths.iter().map(Vec::as_slice);
        paths.zip(answers.chunks(self.actions.len().max(1)))
    }

    fn print(&self) {
        let short = |action: &&'static str| action.strip_prefix("kmsfs:").unwrap_or(action);
        let of_files = self
            .actions
            .iter()
            .any(|action| action.starts_with("kmsfs:"));
        let mut header = vec!["USER"];
        if of_files {
            header.push("PATH");
        }
        if of_files {
            header.extend(self.actions.iter().map(short));
            let rows = self.rows.iter().flat_map(|(subject, answers)| {
                self.by_path(answers).map(|(path, answers)| {
                    let mut row = vec![subject.name.clone(), shown(path)];
                    row.extend(answers.iter().map(|answer| cell(answer).to_owned()));
                    row
                })
            });
            output::table(&header, rows);
        } else {
            // Keys have many actions: a line each.
            header.extend(["ACTION", ""]);
            let rows = self.rows.iter().flat_map(|(subject, answers)| {
                let answers = self.actions.iter().zip(answers);
                answers.map(|(action, answer)| {
                    vec![
                        subject.name.clone(),
                        (*action).to_owned(),
                        cell(answer).to_owned(),
                    ]
                })
            });
            output::table(&header, rows);
        }
        println!(
            "\nyes: allowed; -: nothing allows it; deny: a statement denies it; key: the file's \
             policy allows it, the KMS key's does not;\nyes?: the file's policy allows it, the KMS \
             key was not asked. `kmsfs policy explain` tells why."
        );
        let unknown = self.rows.iter().flat_map(|(_, answers)| answers);
        let mut reasons = unknown.filter_map(|answer| match &answer.key {
            Some(KeyAnswer::Unknown(reason)) => Some(reason),
            _ => None,
        });
        if let Some(reason) = reasons.next() {
            println!("The KMS key was not asked: {reason}.");
        }
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().flat_map(|(subject, answers)| {
            self.by_path(answers).flat_map(move |(path, answers)| {
                let answers = self.actions.iter().zip(answers);
                answers.map(move |(action, answer)| row(subject, path, action, answer))
            })
        });
        json!({ "answers": rows.collect::<Vec<_>>() })
    }
}

/// How a row of the table shows an answer.
fn cell(answer: &Answer) -> &'static str {
    let denied = |explanation: &Explanation| match explanation.denied {
        Some(DenyReason::ExplicitDeny) => "deny",
        Some(DenyReason::NoAllow) | None => "-",
    };
    match (&answer.file, answer.allowed()) {
        (_, Some(true)) => "yes",
        (Some(file), Some(false)) if !file.allowed => denied(file),
        (Some(_), Some(false)) => "key",
        (None, Some(false)) => match &answer.key {
            Some(KeyAnswer::Known { explanation, .. }) => denied(explanation),
            Some(KeyAnswer::Unknown(_)) | None => "-",
        },
        (Some(_), None) => "yes?",
        (None, None) => "?",
    }
}

pub(super) fn shown(path: &[u8]) -> String {
    format!("/{}", output::shown(path))
}

fn row(subject: &Subject, path: &[u8], action: &str, answer: &Answer) -> Value {
    let plane = |explanation: &Explanation| {
        json!({
            "allowed": explanation.allowed,
            "denied": explanation.denied,
            "statements": explanation.statements,
        })
    };
    let key = answer.key.as_ref().map(|key| match key {
        KeyAnswer::Unknown(reason) => json!({ "allowed": null, "unknown": reason }),
        KeyAnswer::Known {
            action,
            key,
            state,
            explanation,
        } => {
            let mut plane = plane(explanation);
            plane["action"] = json!(action);
            plane["keyArn"] = json!(key);
            plane["keyState"] = json!(state);
            plane
        }
    });
    json!({
        "user": subject.name,
        "arn": subject.principal.arn,
        "path": shown(path),
        "action": action,
        "allowed": answer.allowed(),
        "file": answer.file.as_ref().map(plane),
        "key": key,
    })
}
