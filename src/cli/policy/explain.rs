//! `kmsfs policy explain`.

use serde_json::{Value, json};

use crate::policy::{Considered, DenyReason, Effect, Explanation};

use super::super::args::policy::ExplainArgs;
use super::super::connect::Access;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::output;
use super::planes::{Answer, KeyAnswer, Planes, actions_named};
use super::simulate::{shown, within_volume};
use super::subject::Subject;

pub(super) fn run(access: &Access, arguments: &ExplainArgs) -> Result<Exit, CliError> {
    let [action] = actions_named(&arguments.action)?[..] else {
        return Err(CliError::Usage(format!(
            "{:?} is more than one action: `kmsfs policy simulate` takes several",
            arguments.action
        )));
    };
    let planes = Planes::find(access, &arguments.policies)?;
    if action.starts_with("kmsfs:") && planes.tree.is_none() {
        return Err(CliError::Usage(format!(
            "{action} is decided by a tree policy: name a VOLUME or --tree FILE"
        )));
    }
    let subject = planes.subject(&arguments.user)?;
    let path = within_volume(&arguments.path);
    let mut answers = planes.ask(&subject, &[action], std::slice::from_ref(&path))?;
    let answer = answers.remove(0);
    let asked = Asked {
        subject,
        path,
        action,
    };
    if arguments.output.json {
        output::json(&asked.json(&answer));
    } else {
        asked.print(&answer);
    }
    Ok(Exit::Success)
}

struct Asked {
    subject: Subject,
    path: Vec<u8>,
    action: &'static str,
}

impl Asked {
    fn json(&self, answer: &Answer) -> Value {
        let key = answer.key.as_ref().map(|key| match key {
            KeyAnswer::Unknown(reason) => json!({ "unknown": reason }),
            KeyAnswer::Known {
                action,
                key,
                state,
                explanation,
            } => json!({
                "action": action, "keyArn": key, "keyState": state, "decision": explanation,
            }),
        });
        json!({
            "user": self.subject.name,
            "principal": {
                "arn": self.subject.principal.arn,
                "also": self.subject.principal.also,
            },
            "path": shown(&self.path),
            "action": self.action,
            "allowed": answer.allowed(),
            "file": answer.file,
            "key": key,
            "wouldChange": self.changes(answer),
        })
    }

    fn print(&self, answer: &Answer) {
        let Self {
            subject, action, ..
        } = self;
        let verdict = match answer.allowed() {
            Some(true) => "may",
            Some(false) => "may not",
            None => "may, if the KMS key lets them,",
        };
        let on = if answer.file.is_some() {
            format!(" on {}", shown(&self.path))
        } else {
            String::new()
        };
        let arn = &subject.principal.arn;
        println!("{} ({arn}) {verdict} do {action}{on}.", subject.name);
        if let Some(file) = &answer.file {
            println!("\nFile, {action}: {}", file.outcome());
            statements(file);
        }
        match &answer.key {
            Some(KeyAnswer::Unknown(reason)) => println!("\nKMS key: not asked: {reason}."),
            Some(KeyAnswer::Known {
                action,
                key,
                state,
                explanation,
            }) => {
                println!("\nKMS key {key}, {action}: {}", explanation.outcome());
                statements(explanation);
                if let Some(state) = state.as_ref().filter(|state| *state != "Enabled") {
                    println!("  The key is {state}: whatever policies say, nobody can use it.");
                }
            }
            None => {}
        }
        println!("\nWhat would change it:");
        for change in self.changes(answer) {
            println!("  {change}");
        }
    }

    /// What would turn the decision around.
    fn changes(&self, answer: &Answer) -> Vec<String> {
        let mut changes = Vec::new();
        if let Some(file) = &answer.file {
            changes.extend(changes_of(file, self.action, "tree"));
        }
        if let Some(KeyAnswer::Known {
            action,
            state,
            explanation,
            ..
        }) = &answer.key
        {
            // What one plane refuses the other cannot let through.
            let file_allows = answer.file.as_ref().is_none_or(|file| file.allowed);
            if file_allows || !explanation.allowed {
                changes.extend(changes_of(explanation, action, "key"));
            }
            if state.as_ref().is_some_and(|state| state == "Disabled") {
                changes.push("kmsfs key enable: the key is disabled".to_owned());
            }
        }
        changes
    }
}

fn statements(explanation: &Explanation) {
    let rows = explanation.considered.iter().map(|one| {
        let effect = match one.effect {
            Effect::Allow => "Allow",
            Effect::Deny => "Deny",
        };
        let says = if !one.applies {
            one.unmet.join("; ")
        } else if one.effect == Effect::Allow && one.delegates {
            "applies: leaves it to identity policies".to_owned()
        } else {
            "applies".to_owned()
        };
        vec![format!("  {}", place(one)), effect.to_owned(), says]
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        println!("  No statement is about this action.");
    } else {
        output::table(&["  STATEMENT", "EFFECT", ""], rows);
    }
}

/// A statement and where it stands.
fn place(one: &Considered) -> String {
    let whose = if one.policy.starts_with("arn:") {
        format!(" of {}", one.policy)
    } else {
        String::new()
    };
    format!("{}{whose} (line {})", one.statement, one.line)
}

/// What would turn one plane's decision around; `policy` is its resource policy's kind.
fn changes_of(explanation: &Explanation, action: &str, policy: &str) -> Vec<String> {
    let considered = || explanation.considered.iter();
    let applying = |effect| considered().filter(move |one| one.applies && one.effect == effect);
    match explanation.denied {
        None if explanation.statements.len() == 1 => vec![format!(
            "without {} it would not be allowed; a Deny would refuse it",
            explanation.statements[0]
        )],
        None => vec![format!(
            "a Deny would refuse it; so would taking {} away",
            explanation.statements.join(" and ")
        )],
        Some(DenyReason::ExplicitDeny) => {
            let places: Vec<_> = applying(Effect::Deny).map(place).collect();
            let mut changes = vec![format!(
                "take {} away, or narrow it: no Allow can overrule a Deny",
                places.join(" and ")
            )];
            if applying(Effect::Allow).next().is_none() {
                changes.push(format!("then it would still need an Allow for {action}"));
            }
            changes
        }
        Some(DenyReason::NoAllow) => {
            let near =
                considered().filter(|one| one.effect == Effect::Allow && one.unmet.len() == 1);
            let near = near.map(|one| {
                format!(
                    "{} allows it but for one thing: {}",
                    place(one),
                    one.unmet[0]
                )
            });
            let mut changes: Vec<_> = near.collect();
            let mut delegating = applying(Effect::Allow).filter(|one| one.delegates);
            if let Some(one) = delegating.next() {
                changes.push(format!(
                    "{} leaves it to identity policies: an Allow for {action} in one of the user's \
                     or of a group's",
                    one.statement
                ));
            }
            changes.push(format!("an Allow for {action} in the {policy} policy"));
            changes
        }
    }
}
