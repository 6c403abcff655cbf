//! `kmsfs policy`: tree policies in the home, key policies in the key service.

mod explain;
mod planes;
mod roles;
mod simulate;
mod subject;
mod validate;

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::fs::Volume;
use crate::kms::{
    Empty, GetKeyPolicyRequest, KmsError, PutIdentityPolicyRequest, PutKeyPolicyRequest,
};
use crate::policy::{Document, DocumentKind, Finding};

use super::args::policy::{GetArgs, Identity, PolicyArgs, PolicyCommand, PutArgs, Target};
use super::connect::{Access, Opened};
use super::error::CliError;
use super::exit::Exit;
use super::{output, running};

pub(super) fn run(access: &Access, arguments: PolicyArgs) -> Result<Exit, CliError> {
    match arguments.command {
        PolicyCommand::Put(arguments) => put(access, arguments),
        PolicyCommand::Get(arguments) => get(access, arguments),
        PolicyCommand::List(output) => list(access, output.json),
        PolicyCommand::Delete(arguments) => {
            put_identity(&access.open()?, arguments.into(), None)?;
            Ok(Exit::Success)
        }
        PolicyCommand::Grant(arguments) => roles::grant(access, *arguments),
        PolicyCommand::Revoke(arguments) => roles::revoke(access, *arguments),
        PolicyCommand::Roles(arguments) => roles::list(access, &arguments),
        PolicyCommand::Validate(arguments) => validate::run(access, arguments),
        PolicyCommand::Simulate(arguments) => simulate::run(access, &arguments),
        PolicyCommand::Explain(arguments) => explain::run(access, &arguments),
    }
}

fn put(access: &Access, arguments: PutArgs) -> Result<Exit, CliError> {
    let (target, document) = match Target::from(arguments.target) {
        Target::Tree(volume) => {
            let document = parse(DocumentKind::Tree, &arguments.file)?;
            let backing = running::backing_of(access, &volume)?;
            let id = Volume::read(&backing)?.unverified().volume.to_string();
            put_tree(access, &id, &document)?;
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
        Target::Identity(identity) => {
            let document = parse(DocumentKind::Identity, &arguments.file)?;
            let text = document.source().to_owned();
            let whose = put_identity(&access.open()?, identity, Some(text))?;
            (whose, document)
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

/// Puts the tree policy of the volume `id` into force.
fn put_tree(access: &Access, id: &str, document: &Document) -> Result<(), CliError> {
    let home = access.look()?;
    let path = home.policy_path(id);
    if !path.exists() {
        return Err(CliError::OtherHome {
            home: home.path().to_owned(),
            volume: id.to_owned(),
        });
    }
    install(&path, document.source()).map_err(CliError::io(&path))?;
    if !running::wait_for_policy(access, id, &path) {
        eprintln!(
            "warning: the mount has not confirmed the policy yet: it acts on it when it is able \
             to, and its log says why it was not"
        );
    }
    Ok(())
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
            opened.key_policy(&opened.resolve_key(&key)?)?
        }
        Target::Identity(identity) => {
            let opened = access.open()?;
            let (kind, name) = kind_and_name(identity);
            let principal = format!("arn:aws:iam::{}:{kind}/{name}", opened.home.account());
            let administration = opened.home.administration()?;
            let listed = administration.list_identity_policies(&opened.caller(), &Empty {})?;
            let own = listed.policies.into_iter();
            let own = own.filter(|policy| policy.principal == principal);
            let documents: Vec<String> = own.map(|policy| policy.document).collect();
            if documents.is_empty() {
                return Err(CliError::Failed(format!(
                    "{principal} has no identity policy"
                )));
            }
            documents.join("\n")
        }
    };
    println!("{}", document.trim_end());
    Ok(Exit::Success)
}

fn kind_and_name(identity: Identity) -> (&'static str, String) {
    match identity {
        Identity::User(name) => ("user", name),
        Identity::Group(name) => ("group", name),
    }
}

/// Puts `policy` in the place of the one that `identity` has; with none, that one is removed. Says whose
/// it is.
fn put_identity(
    opened: &Opened,
    identity: Identity,
    policy: Option<String>,
) -> Result<String, CliError> {
    let (kind, name) = kind_and_name(identity);
    let request = PutIdentityPolicyRequest {
        kind: kind.to_owned(),
        name,
        policy,
    };
    let administration = opened.home.administration()?;
    administration.put_identity_policy(&opened.caller(), &request)?;
    Ok(format!("{kind} {}", request.name))
}

/// What policies there are.
fn list(access: &Access, json: bool) -> Result<Exit, CliError> {
    let opened = access.open()?;
    let volumes = opened.home.policies();
    let volumes = volumes.map_err(CliError::io(opened.home.path()))?;
    let trees = volumes
        .into_iter()
        .map(|(volume, _)| ("tree", format!("volume/{volume}")));
    let keys = opened
        .key_ids()?
        .into_iter()
        .map(|key| ("key", format!("key/{key}")));
    let administration = opened.home.administration()?;
    let listed = administration.list_identity_policies(&opened.caller(), &Empty {})?;
    let identities = listed.policies.into_iter();
    let identities = identities.map(|policy| ("identity", policy.principal));
    let all = trees.chain(keys).chain(identities);
    if json {
        let all = all.map(|(kind, of)| json!({ "kind": kind, "of": of }));
        output::json(&json!({ "policies": all.collect::<Vec<_>>() }));
    } else {
        output::table(
            &["KIND", "OF"],
            all.map(|(kind, of)| vec![kind.to_owned(), of]),
        );
    }
    Ok(Exit::Success)
}

impl Opened {
    /// The policy of the key with this id or ARN.
    fn key_policy(&self, key: &str) -> Result<String, CliError> {
        let request = GetKeyPolicyRequest {
            key_id: key.to_owned(),
            ..Default::default()
        };
        let caller = self.caller().in_region_of(key);
        Ok(self.service.get_key_policy(&caller, &request)?.policy)
    }
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
