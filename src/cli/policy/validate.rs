//! `kmsfs policy validate`.

use std::path::Path;

use nix::unistd::Group;
use serde::Serialize;
use serde_json::json;

use crate::kms::Empty;
use crate::policy::{Document, DocumentKind, Finding};

use super::super::args::policy::{Kind, PoliciesArgs, ValidateArgs};
use super::super::connect::{Access, Opened};
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::output;
use super::planes::{KeyAnswer, Planes};
use super::subject::Subject;
use super::{read, warn};

pub(super) fn run(access: &Access, arguments: ValidateArgs) -> Result<Exit, CliError> {
    let json = arguments.output.json;
    let reports = match arguments.document {
        None => of_home(access)?,
        Some(volume) if volume.is_dir() => vec![of_volume(access, &volume)?],
        Some(file) => {
            let kind = match arguments.kind {
                None | Some(Kind::Tree) => DocumentKind::Tree,
                Some(Kind::Key) => DocumentKind::Key,
                Some(Kind::Identity) => DocumentKind::Identity,
            };
            let report = Report::of(file.display().to_string(), kind, &read(&file)?);
            if json {
                output::json(&report);
            } else {
                report.print();
                let outcome = if report.valid { "valid" } else { "refused" };
                println!("The document is {outcome}.");
            }
            return Ok(report.exit());
        }
    };
    if json {
        output::json(&json!({ "documents": reports }));
    } else {
        for report in &reports {
            let outcome = if report.valid { "valid" } else { "refused" };
            println!("{}: {outcome}", report.document);
            report.print();
        }
    }
    let refused = reports.iter().any(|report| !report.valid);
    Ok(if refused {
        Exit::PolicyRefused
    } else {
        Exit::Success
    })
}

/// What is found in one document.
#[derive(Serialize)]
struct Report {
    document: String,
    valid: bool,
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
    /// What is probably a mistake where the document is used.
    context: Vec<String>,
}

impl Report {
    fn of(document: String, kind: DocumentKind, text: &str) -> Self {
        let (problems, warnings) = match Document::parse(kind, text) {
            Ok(document) => (Vec::new(), document.warnings()),
            Err(refused) => (refused.problems().to_vec(), Vec::new()),
        };
        Self {
            document,
            valid: problems.is_empty(),
            problems,
            warnings,
            context: Vec::new(),
        }
    }

    fn print(&self) {
        for problem in &self.problems {
            eprintln!("error: {problem}");
        }
        warn(&self.warnings);
        for warning in &self.context {
            eprintln!("warning: {warning}");
        }
    }

    fn exit(&self) -> Exit {
        if self.valid {
            Exit::Success
        } else {
            Exit::PolicyRefused
        }
    }
}

/// Every document of the home.
fn of_home(access: &Access) -> Result<Vec<Report>, CliError> {
    let opened = access.open()?;
    let mut reports = Vec::new();
    for (volume, path) in opened
        .home
        .policies()
        .map_err(CliError::io(opened.home.path()))?
    {
        let text = read(&path)?;
        let name = format!("tree policy of the volume {volume}");
        let mut report = Report::of(name, DocumentKind::Tree, &text);
        if let Ok(document) = Document::parse(DocumentKind::Tree, &text) {
            report.context = strangers(&opened, &document)?;
        }
        reports.push(report);
    }
    for key in opened.key_ids()? {
        let text = opened.key_policy(&key)?;
        let mut report = Report::of(format!("policy of the key {key}"), DocumentKind::Key, &text);
        if let Ok(document) = Document::parse(DocumentKind::Key, &text) {
            report.context = strangers(&opened, &document)?;
        }
        reports.push(report);
    }
    let administration = opened.home.administration()?;
    let listed = administration.list_identity_policies(&opened.caller(), &Empty {})?;
    for policy in listed.policies {
        let name = format!("policy {} of {}", policy.name, policy.principal);
        reports.push(Report::of(name, DocumentKind::Identity, &policy.document));
    }
    Ok(reports)
}

/// A volume's tree policy, with all that it meets.
fn of_volume(access: &Access, volume: &Path) -> Result<Report, CliError> {
    let arguments = PoliciesArgs::of_volume(volume.to_owned());
    let planes = match Planes::find(access, &arguments) {
        Ok(planes) => planes,
        // One that is not understood cannot be asked.
        Err(CliError::Policy { file, reason }) => {
            return Ok(Report {
                document: file,
                valid: false,
                problems: reason.problems().to_vec(),
                warnings: Vec::new(),
                context: Vec::new(),
            });
        }
        Err(error) => return Err(error),
    };
    let tree = planes.tree.as_ref().expect("a volume has a tree policy");
    let name = format!("tree policy of the volume {}", tree.volume);
    let mut report = Report::of(name, DocumentKind::Tree, tree.document.source());
    let opened = access.open()?;
    report.context = strangers(&opened, &tree.document)?;
    for pattern in tree.document.resources() {
        let named = pattern.split_once(":volume/").map(|(_, rest)| rest);
        let named = named.and_then(|rest| rest.split('/').next());
        if let Some(id) = named.filter(|id| !id.contains(['*', '?', '$']))
            && id != tree.volume.to_string()
        {
            report.context.push(format!(
                "{pattern:?} is about the volume {id}, not this one"
            ));
        }
    }
    let owner = opened.home.admin();
    if let Some(refused) = planes.mount_refused(&owner)? {
        report.context.push(format!(
            "nobody can mount the volume: {} is refused the volume key ({refused})",
            owner.arn
        ));
    }
    report.context.extend(without_key(&planes)?);
    Ok(report)
}

/// Whom a document names and neither this machine nor the home has: nobody can use what it allows them.
fn strangers(opened: &Opened, document: &Document) -> Result<Vec<String>, CliError> {
    let administration = opened.home.administration()?;
    let caller = opened.caller();
    let users = administration.list_users(&caller, &Empty {})?.users;
    let groups = administration.list_groups(&caller, &Empty {})?.groups;
    let mut strangers = Vec::new();
    for arn in document.principals() {
        let known = if arn.contains(":user/") {
            Subject::of_arn(arn).is_ok_and(|subject| subject.uid.is_some())
                || users.iter().any(|user| user.arn == arn)
        } else {
            let name = arn.rsplit('/').next().unwrap_or_default();
            let number = name.strip_prefix("gid-").is_some();
            let group = Group::from_name(name).map_err(std::io::Error::from);
            let group = group.map_err(CliError::io("the user database"))?;
            number || group.is_some() || groups.iter().any(|group| group.arn == arn)
        };
        if !known {
            strangers.push(format!("{arn} is neither of this machine nor of the home"));
        }
    }
    Ok(strangers)
}

/// Those whom the tree policy lets read or create, and the KMS key does not.
fn without_key(planes: &Planes) -> Result<Vec<String>, CliError> {
    let mut paths = vec![Vec::new()];
    let of_policy = planes.tree.iter().flat_map(|tree| tree.document.paths());
    paths.extend(of_policy.map(|path| path.as_bytes().to_vec()));
    let mut found = Vec::new();
    for subject in planes.subjects()? {
        for action in ["kmsfs:Read", "kmsfs:Create"] {
            let answers = planes.ask(&subject, &[action], &paths)?;
            let refused = answers.into_iter().find_map(|answer| {
                let file = answer.file.filter(|file| file.allowed)?;
                match answer.key? {
                    KeyAnswer::Known {
                        action,
                        explanation,
                        ..
                    } if !explanation.allowed => Some((file.statements, action)),
                    _ => None,
                }
            });
            if let Some((statements, on_key)) = refused {
                found.push(format!(
                    "{} cannot use what {} allows ({action}): the KMS key's policy does not let \
                     them {on_key}",
                    subject.name,
                    statements.join(", ")
                ));
            }
        }
    }
    Ok(found)
}
