//! `kmsfs policy grant`, `revoke` and `roles`: duties as statements with a Sid of their own, and the use
//! of the volume's key as a grant.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::format::VolumeId;
use crate::fs;
use crate::kms::{
    CreateGrantRequest, EncryptionContext, GrantConstraints, GrantListEntry, ListGrantsRequest,
    PutKeyPolicyRequest, RevokeGrantRequest,
};
use crate::policy::{Document, DocumentKind, Role};

use super::super::args::policy::{Identity, PoliciesArgs, RoleArgs, RolesArgs};
use super::super::connect::{Access, Opened};
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::output;
use super::planes::{Found, Planes};
use super::simulate::within_volume;
use super::subject::Subject;
use super::{parse, put_tree};

/// Grants of roles have names that begin so.
const GRANT: &str = "kmsfs-role:";

pub(super) fn grant(access: &Access, arguments: RoleArgs) -> Result<Exit, CliError> {
    let json = arguments.output.json;
    let duty = Duty::read(access, arguments)?;
    let statements = duty.grant(access)?;
    let beyond = duty.beyond(access)?;
    if json {
        output::json(&json!({ "statements": statements, "beyond": beyond }));
        return Ok(Exit::Success);
    }
    for statement in &statements {
        println!("Added {statement}");
    }
    for right in beyond {
        eprintln!("warning: {right}");
    }
    Ok(Exit::Success)
}

pub(super) fn revoke(access: &Access, arguments: RoleArgs) -> Result<Exit, CliError> {
    let json = arguments.output.json;
    let duty = Duty::read(access, arguments)?;
    let statements = duty.revoke(access)?;
    if statements.is_empty() {
        return Err(CliError::Failed(format!(
            "{} was not granted here",
            duty.sid()
        )));
    }
    if json {
        output::json(&json!({ "statements": statements }));
    } else {
        for statement in statements {
            println!("Removed {statement}");
        }
    }
    Ok(Exit::Success)
}

/// What was granted in a volume and on its key.
pub(super) fn list(access: &Access, arguments: &RolesArgs) -> Result<Exit, CliError> {
    let opened = access.open()?;
    let volume = Found::named_or_only(access, &opened, arguments.volume.as_deref())?;
    let path = opened.home.policy_path(&volume.volume.to_string());
    let tree = parse(DocumentKind::Tree, &path)?;
    let of_role = |sid: &String| Role::of_sid(sid).is_some();
    let in_tree = tree.sids().into_iter().filter(of_role);
    let mut rows: Vec<_> = in_tree.map(|sid| (sid, "tree policy")).collect();
    if let Some(key) = &volume.key {
        let document = opened.key_document(key)?;
        let in_key = document.sids().into_iter().filter(of_role);
        rows.extend(in_key.map(|sid| (sid, "key policy")));
        for grant in opened.role_grants(key)? {
            let name = grant.name.unwrap_or_default();
            let role = name.strip_prefix(GRANT).unwrap_or(&name).to_owned();
            let whom = grant.grantee_principal.unwrap_or_default();
            let whom = whom.rsplit(':').next().unwrap_or_default();
            rows.push((format!("{role} {whom}"), "grant on the key"));
        }
    }
    if arguments.output.json {
        let rows = rows
            .into_iter()
            .map(|(role, place)| json!({ "role": role, "in": place }));
        output::json(&json!({ "roles": rows.collect::<Vec<_>>() }));
    } else {
        let rows = rows
            .into_iter()
            .map(|(role, place)| vec![role, place.to_owned()]);
        output::table(&["ROLE", "IN"], rows);
    }
    Ok(Exit::Success)
}

/// A role of somebody in a volume.
struct Duty {
    opened: Opened,
    role: Role,
    subject: Subject,
    /// The ARN of the user, or of the role that the group is.
    principal: String,
    volume: VolumeId,
    key: Option<String>,
    /// From the root, without the first slash.
    path: String,
    label: Option<String>,
}

impl Duty {
    fn read(access: &Access, arguments: RoleArgs) -> Result<Self, CliError> {
        let opened = access.open()?;
        let volume = Found::named_or_only(access, &opened, arguments.volume.as_deref())?;
        let account = opened.home.account().to_owned();
        let (subject, principal) = match arguments.whom.into() {
            Identity::User(name) => {
                let subject = Subject::named(&name, &account)?;
                let arn = subject.principal.arn.clone();
                (subject, arn)
            }
            Identity::Group(name) => {
                let arn = format!("arn:aws:iam::{account}:role/{name}");
                (Subject::of_arn(&arn)?, arn)
            }
        };
        let path = fs::policy_path(&within_volume(&arguments.path));
        if path.contains(['*', '?', '$']) {
            return Err(CliError::Usage(format!(
                "{path:?} has characters that are wildcards in a policy: write the statement yourself, \
                 and `kmsfs policy put` it"
            )));
        }
        let role = arguments.role;
        if role == Role::KeyAdministrator && !path.is_empty() {
            return Err(CliError::Usage(
                "a key administrator has no --path".to_owned(),
            ));
        }
        Ok(Self {
            opened,
            role,
            subject,
            principal,
            volume: volume.volume,
            key: volume.key,
            path,
            label: arguments.label,
        })
    }

    fn whom(&self) -> &str {
        self.principal.rsplit(':').next().unwrap_or_default()
    }

    /// The name of its statement in the tree policy.
    fn sid(&self) -> String {
        format!("{} {} /{}", self.role, self.whom(), self.path)
    }

    /// The name of its statement in the key's policy.
    fn key_sid(&self) -> String {
        format!("{} {}", self.role, self.whom())
    }

    fn resources(&self) -> Vec<String> {
        let home = &self.opened.home;
        let volume = fs::volume_arn(home.region(), home.account(), &self.volume);
        if self.path.is_empty() {
            return vec![format!("{volume}/*")];
        }
        let path = &self.path;
        vec![format!("{volume}/{path}"), format!("{volume}/{path}/*")]
    }

    fn tree(&self) -> Result<(PathBuf, Document), CliError> {
        let path = self.opened.home.policy_path(&self.volume.to_string());
        let document = parse(DocumentKind::Tree, &path)?;
        Ok((path, document))
    }

    /// The key of the volume, which a role that is about keys needs.
    fn key(&self) -> Result<&str, CliError> {
        self.key.as_deref().ok_or_else(|| {
            CliError::Usage(
                "which KMS key the volume has is only known while it is mounted: name the backing \
                 directory"
                    .to_owned(),
            )
        })
    }

    /// Adds what the role needs: first the use of the key, so that what fails leaves no right to files.
    fn grant(&self, access: &Access) -> Result<Vec<String>, CliError> {
        let mut added = Vec::new();
        let (_, tree) = self.tree()?;
        let sid = self.sid();
        if tree.sids().contains(&sid) {
            return Err(CliError::Failed(format!("{sid} was granted before")));
        }
        self.refuse_mounter()?;
        let on_key = self.role.on_key(&self.key_sid(), &self.principal);
        if !on_key.is_empty() {
            let key = self.key()?;
            let mut document = self.opened.key_document(key)?;
            for (sid, statement) in &on_key {
                if !document.sids().contains(sid) {
                    document = document.with_statement(statement).map_err(refused)?;
                    added.push(format!("key:{sid}"));
                }
            }
            self.opened.put_key_document(key, &document)?;
        }
        if !self.role.key_use().is_empty() {
            let key = self.key()?;
            let operations = self.role.key_use().iter();
            let request = CreateGrantRequest {
                key_id: key.to_owned(),
                grantee_principal: Some(self.principal.clone()),
                operations: operations
                    .map(|name| name.parse().expect("an operation of grants"))
                    .collect(),
                constraints: Some(self.constraints()),
                name: Some(format!("{GRANT}{}", self.role)),
                ..Default::default()
            };
            let caller = self.opened.caller().in_region_of(key);
            let made = self.opened.service.create_grant(&caller, &request)?;
            added.push(format!("grant:{}", made.grant_id));
        }
        let resources = self.resources();
        let statement =
            self.role
                .on_files(&sid, &self.principal, &resources, self.label.as_deref());
        if let Some(statement) = statement {
            let changed = tree.with_statement(&statement).map_err(refused)?;
            put_tree(access, &self.volume.to_string(), &changed)?;
            added.push(format!("tree:{sid}"));
        }
        if added.is_empty() {
            return Err(CliError::Failed(format!(
                "{} was granted before",
                self.key_sid()
            )));
        }
        Ok(added)
    }

    /// Whoever mounts needs the volume key: a role that denies its use is not for them.
    fn refuse_mounter(&self) -> Result<(), CliError> {
        let owner = self.opened.home.admin();
        let is_owner = owner.arn == self.principal || owner.also.contains(&self.principal);
        if is_owner && !self.role.on_key("", "").is_empty() {
            return Err(CliError::Usage(format!(
                "{} mounts the volumes of this home, and so uses the key: {} is for somebody else",
                owner.arn, self.role
            )));
        }
        Ok(())
    }

    fn constraints(&self) -> GrantConstraints {
        let mut subset =
            EncryptionContext::from([("kmsfs:volume".to_owned(), self.volume.to_string())]);
        if let Some(label) = &self.label {
            subset.insert("kmsfs:label".to_owned(), label.clone());
        }
        GrantConstraints {
            encryption_context_subset: Some(subset),
            ..Default::default()
        }
    }

    /// Removes what was added: the right to files first.
    fn revoke(&self, access: &Access) -> Result<Vec<String>, CliError> {
        let mut removed = Vec::new();
        let (_, mut tree) = self.tree()?;
        let sid = self.sid();
        if let Some(changed) = tree.without_statement(&sid) {
            tree = changed.map_err(refused)?;
            put_tree(access, &self.volume.to_string(), &tree)?;
            removed.push(format!("tree:{sid}"));
        }
        let same = format!("{} ", self.key_sid());
        if tree.sids().iter().any(|sid| sid.starts_with(&same)) {
            // The same role elsewhere in the volume needs the rest.
            return Ok(removed);
        }
        let Some(key) = &self.key else {
            return Ok(removed);
        };
        let mut document = self.opened.key_document(key)?;
        let before = removed.len();
        for (sid, _) in self.role.on_key(&self.key_sid(), &self.principal) {
            if let Some(changed) = document.without_statement(&sid) {
                document = changed.map_err(refused)?;
                removed.push(format!("key:{sid}"));
            }
        }
        if removed.len() > before {
            self.opened.put_key_document(key, &document)?;
        }
        let name = format!("{GRANT}{}", self.role);
        let volume = self.volume.to_string();
        for grant in self.opened.role_grants(key)? {
            let context = grant
                .constraints
                .and_then(|one| one.encryption_context_subset);
            let of_volume = context.is_some_and(|one| one.get("kmsfs:volume") == Some(&volume));
            if grant.name.as_deref() == Some(&*name)
                && grant.grantee_principal.as_deref() == Some(&*self.principal)
                && of_volume
            {
                let request = RevokeGrantRequest {
                    key_id: key.clone(),
                    grant_id: grant.grant_id.clone(),
                    ..Default::default()
                };
                let caller = self.opened.caller().in_region_of(key);
                self.opened.service.revoke_grant(&caller, &request)?;
                removed.push(format!("grant:{}", grant.grant_id));
            }
        }
        Ok(removed)
    }

    /// What they can do by another right, though the role is not meant to.
    fn beyond(&self, access: &Access) -> Result<Vec<String>, CliError> {
        let backing_or_id = PathBuf::from(self.volume.to_string());
        let mut arguments = PoliciesArgs::of_volume(backing_or_id);
        arguments.key.clone_from(&self.key);
        let planes = Planes::find(access, &arguments)?;
        let subject = planes.complete(self.subject.clone());
        let actions = self.role.not_on_files();
        // Something below the path, whose name no policy has.
        let below = Path::new(&self.path).join("any file");
        let answers = planes.ask(&subject, actions, &[within_volume(&below)])?;
        let allowed = actions.iter().zip(answers);
        let allowed = allowed.filter(|(_, answer)| answer.allowed() == Some(true));
        Ok(allowed
            .map(|(action, answer)| {
                let by = answer.file.map(|file| file.statements.join(", "));
                format!(
                    "{} may do {action} there too, by {}",
                    subject.name,
                    by.unwrap_or_default()
                )
            })
            .collect())
    }
}

fn refused(reason: crate::policy::Refused) -> CliError {
    CliError::Policy {
        file: "with this statement".to_owned(),
        reason,
    }
}

impl Opened {
    fn key_document(&self, key: &str) -> Result<Document, CliError> {
        let text = self.key_policy(key)?;
        Document::parse(DocumentKind::Key, &text).map_err(|reason| CliError::Policy {
            file: format!("of the key {key}"),
            reason,
        })
    }

    fn put_key_document(&self, key: &str, document: &Document) -> Result<(), CliError> {
        let request = PutKeyPolicyRequest {
            key_id: key.to_owned(),
            policy: document.source().to_owned(),
            ..Default::default()
        };
        let caller = self.caller().in_region_of(key);
        self.service.put_key_policy(&caller, &request)?;
        Ok(())
    }

    /// The grants of roles on a key.
    fn role_grants(&self, key: &str) -> Result<Vec<GrantListEntry>, CliError> {
        let caller = self.caller().in_region_of(key);
        let mut request = ListGrantsRequest {
            key_id: key.to_owned(),
            ..Default::default()
        };
        let mut all = Vec::new();
        loop {
            let page = self.service.list_grants(&caller, &request)?;
            let of_roles = |grant: &GrantListEntry| {
                grant
                    .name
                    .as_ref()
                    .is_some_and(|name| name.starts_with(GRANT))
            };
            all.extend(page.grants.into_iter().filter(of_roles));
            if !page.truncated {
                return Ok(all);
            }
            request.marker = page.next_marker;
        }
    }
}
