//! `kmsfs policy`: tree policies in the home, key policies in the key service.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::fs::Volume;
use crate::kms::{GetKeyPolicyRequest, KmsError, PutKeyPolicyRequest};
use crate::policy::{Document, DocumentKind, Finding};

use super::args::policy::{
    GetArgs, Kind, PolicyArgs, PolicyCommand, PutArgs, Target, ValidateArgs,
};
use super::connect::Access;
use super::error::CliError;
use super::exit::Exit;
use super::{output, running};

pub(super) fn run(access: &Access, arguments: PolicyArgs) -> Result<Exit, CliError> {
    match arguments.command {
        PolicyCommand::Put(arguments) => put(access, arguments),
        PolicyCommand::Get(arguments) => get(access, arguments),
        PolicyCommand::Validate(arguments) => validate(&arguments),
    }
}

fn put(access: &Access, arguments: PutArgs) -> Result<Exit, CliError> {
    let (target, document) = match Target::from(arguments.target) {
        Target::Tree(volume) => {
            let document = parse(DocumentKind::Tree, &arguments.file)?;
            let backing = running::backing_of(access, &volume)?;
            let id = Volume::read(&backing)?.unverified().volume.to_string();
            let home = access.look()?;
            let path = home.policy_path(&id);
            if !path.exists() {
                return Err(CliError::OtherHome {
                    home: home.path().to_owned(),
                    volume: id,
                });
            }
            install(&path, document.source()).map_err(CliError::io(&path))?;
            if !running::wait_for_policy(access, &id, &path) {
                eprintln!(
                    "warning: the mount has not confirmed the policy yet: it acts on it when it \
                     is able to, and its log says why it was not"
                );
            }
            (format!("volume {id}"), document)
        }
        Target::Key(key) => {
            let document = parse(DocumentKind::Key, &arguments.file)?;
            let opened = access.open()?;
            let request = PutKeyPolicyRequest {
                key_id: opened.resolve_key(&key)?,
                policy: document.source().to_owned(),
                ..Default::default()
            };
            match opened.service.put_key_policy(&opened.caller(), &request) {
                Err(KmsError::MalformedPolicy(reason)) => {
                    return Err(CliError::PolicyWouldLockOut {
                        file: arguments.file.display().to_string(),
                        reason,
                    });
                }
                other => other?,
            };
            (format!("key {key}"), document)
        }
    };
    let warnings = document.warnings();
    if arguments.output.json {
        output::json(&json!({ "target": target, "warnings": warnings }));
    } else {
        warn(&warnings);
        println!("The policy of {target} is in force.");
    }
    Ok(Exit::Success)
}

fn get(access: &Access, arguments: GetArgs) -> Result<Exit, CliError> {
    let document = match Target::from(arguments.target) {
        Target::Tree(volume) => {
            let backing = running::backing_of(access, &volume)?;
            let id = Volume::read(&backing)?.unverified().volume.to_string();
            let path = access.look()?.policy_path(&id);
            std::fs::read_to_string(&path).map_err(CliError::io(path))?
        }
        Target::Key(key) => {
            let opened = access.open()?;
            let request = GetKeyPolicyRequest {
                key_id: opened.resolve_key(&key)?,
                ..Default::default()
            };
            opened
                .service
                .get_key_policy(&opened.caller(), &request)?
                .policy
        }
    };
    println!("{}", document.trim_end());
    Ok(Exit::Success)
}

fn validate(arguments: &ValidateArgs) -> Result<Exit, CliError> {
    let kind = match arguments.kind {
        Kind::Tree => DocumentKind::Tree,
        Kind::Key => DocumentKind::Key,
        Kind::Identity => DocumentKind::Identity,
    };
    let text = read(&arguments.file)?;
    let (problems, warnings) = match Document::parse(kind, &text) {
        Ok(document) => (Vec::new(), document.warnings()),
        Err(refused) => (refused.problems().to_vec(), Vec::new()),
    };
    let valid = problems.is_empty();
    if arguments.output.json {
        output::json(&json!({ "valid": valid, "problems": problems, "warnings": warnings }));
    } else {
        for problem in &problems {
            eprintln!("error: {problem}");
        }
        warn(&warnings);
        println!(
            "{}",
            if valid {
                "The document is valid."
            } else {
                "The document is refused."
            }
        );
    }
    Ok(if valid {
        Exit::Success
    } else {
        Exit::PolicyRefused
    })
}

fn warn(warnings: &[Finding]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}

/// The text of a valid tree policy.
pub(super) fn read_tree(file: &Path) -> Result<String, CliError> {
    Ok(parse(DocumentKind::Tree, file)?.source().to_owned())
}

/// The text of a valid key policy.
pub(super) fn read_key(file: &Path) -> Result<String, CliError> {
    Ok(parse(DocumentKind::Key, file)?.source().to_owned())
}

/// The text of a valid identity policy.
pub(super) fn read_identity(file: &Path) -> Result<String, CliError> {
    Ok(parse(DocumentKind::Identity, file)?.source().to_owned())
}

fn parse(kind: DocumentKind, file: &Path) -> Result<Document, CliError> {
    Document::parse(kind, &read(file)?).map_err(|reason| CliError::Policy {
        file: file.display().to_string(),
        reason,
    })
}

fn read(file: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    if file == Path::new("-") {
        io::stdin()
            .read_to_string(&mut text)
            .map_err(CliError::io("standard input"))?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(CliError::io(file))
}

/// Puts `document` in the place of the policy at `path`, whole or not at all.
pub(super) fn install(path: &Path, document: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = std::fs::File::options();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(document.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
