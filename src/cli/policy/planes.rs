//! Both planes of a decision, asked without opening anything: by the engine that the mount asks in the
//! file plane, and by the key service itself in the key plane.

use std::borrow::Cow;
use std::path::Path;

use crate::format::{FileId, VolumeId, data_key_context, volume_key_context};
use crate::fs::{self, Volume};
use crate::kms::{Attached, Empty, EncryptionContext, ExplainAccessRequest, KmsError};
use crate::policy::keys::KnownKey;
use crate::policy::{
    self, Context, Document, DocumentKind, Explanation, Principal, Request, actions, keys,
};

use super::super::args::policy::PoliciesArgs;
use super::super::connect::{Access, Opened};
use super::super::error::CliError;
use super::super::running;
use super::parse;
use super::subject::Subject;

/// The policies that are asked.
pub(super) struct Planes {
    pub(super) account: String,
    pub(super) tree: Option<Tree>,
    keys: Keys,
    attached: Attached,
    /// Identity policies from files: of whom, if not of everybody who is asked about.
    given: Vec<(Option<String>, Document)>,
    groups: Vec<String>,
    context: Vec<(String, String)>,
}

/// A tree policy and the volume that it is about.
pub(super) struct Tree {
    pub(super) document: Document,
    pub(super) arn: String,
    pub(super) volume: VolumeId,
}

/// Where the key plane is.
enum Keys {
    /// Nothing is said about it.
    Unknown(String),
    /// A document by itself, without a key.
    File(Box<Document>, String),
    /// A key of the home.
    Service {
        opened: Box<Opened>,
        key: String,
        policy: Option<String>,
    },
}

/// What both planes say to one request.
pub(super) struct Answer {
    /// The file plane; none for an action on the key itself.
    pub(super) file: Option<Explanation>,
    /// The key plane, if the request needs it.
    pub(super) key: Option<KeyAnswer>,
}

/// What the key plane says.
#[derive(Clone)]
pub(super) enum KeyAnswer {
    /// It cannot be asked, because of this.
    Unknown(String),
    Known {
        action: String,
        key: String,
        /// The key's state, if there is a key; only an enabled one encrypts and decrypts.
        state: Option<String>,
        explanation: Explanation,
    },
}

impl KeyAnswer {
    /// Whether the use is allowed and possible; none if that is not known.
    pub(super) fn allowed(&self) -> Option<bool> {
        match self {
            Self::Unknown(_) => None,
            Self::Known {
                state, explanation, ..
            } => {
                let usable = state.as_deref().is_none_or(|state| state == "Enabled");
                Some(explanation.allowed && usable)
            }
        }
    }
}

impl Answer {
    /// Whether the request would be let through; none if that is not known.
    pub(super) fn allowed(&self) -> Option<bool> {
        let file = self.file.as_ref().map(|file| file.allowed);
        match (file, &self.key) {
            (Some(false), _) => Some(false),
            (_, Some(key)) => key.allowed(),
            (file, None) => file,
        }
    }
}

/// The action on the KMS key that an action on a file comes with.
fn on_key(action: &str) -> Option<&str> {
    match action {
        "kmsfs:Read" | "kmsfs:Write" | "kmsfs:Append" | "kmsfs:Execute" => Some("kms:Decrypt"),
        "kmsfs:Create" => Some("kms:GenerateDataKey"),
        _ => action.starts_with("kms:").then_some(action),
    }
}

/// The actions that `text` names: `kmsfs:Read`, `Read` for short, `kms:Decrypt`, or a pattern of these.
pub(super) fn actions_named(text: &str) -> Result<Vec<&'static str>, CliError> {
    let full = if text.contains(':') {
        text.to_owned()
    } else {
        format!("kmsfs:{text}")
    };
    let found = actions::matching(&full);
    if found.is_empty() {
        return Err(CliError::Usage(format!(
            "there is no action {text:?}; those on files are {}",
            actions::matching("kmsfs:*").join(", ")
        )));
    }
    Ok(found)
}

impl Planes {
    /// Finds the policies that the arguments name.
    pub(super) fn find(access: &Access, arguments: &PoliciesArgs) -> Result<Self, CliError> {
        let given_tree = arguments.tree.as_deref();
        let given_tree = given_tree
            .map(|file| parse(DocumentKind::Tree, file))
            .transpose()?;
        let given_key = arguments.key_policy.as_deref();
        let given_key = given_key
            .map(|file| parse(DocumentKind::Key, file))
            .transpose()?;
        let volume = arguments.volume.as_deref();
        let in_home = volume.is_some() || arguments.key.is_some();
        if !in_home && given_tree.is_none() && given_key.is_none() {
            return Err(CliError::Usage(
                "nothing to ask: name a VOLUME, a --key, or files (--tree, --key-policy)"
                    .to_owned(),
            ));
        }
        let mut planes = if in_home {
            let opened = access.open()?;
            Self::in_home(
                access,
                opened,
                volume,
                arguments.key.as_deref(),
                given_tree,
                given_key,
            )?
        } else {
            Self::of_files(given_tree, given_key)
        };
        planes.groups.clone_from(&arguments.group);
        for text in &arguments.identity {
            let (whom, file) = match text.split_once('=') {
                Some((whom, file)) => (Some(arn(&planes.account, whom)?), file),
                None => (None, text.as_str()),
            };
            let document = parse(DocumentKind::Identity, Path::new(file))?;
            planes.given.push((whom, document));
        }
        for text in &arguments.context {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                CliError::Usage(format!("{text:?} is no condition key: write KEY=VALUE"))
            })?;
            check_key(key)?;
            planes.context.push((key.to_owned(), value.to_owned()));
        }
        Ok(planes)
    }

    fn of_files(tree: Option<Document>, key: Option<Document>) -> Self {
        let mut named = tree.iter().chain(&key).flat_map(Document::principals);
        let account = named.find_map(|arn| arn.split(':').nth(4));
        let account = account.unwrap_or("000000000000").to_owned();
        let tree = tree.map(|document| {
            let (arn, volume) = volume_in(&document, &account);
            Tree {
                document,
                arn,
                volume,
            }
        });
        let region = tree.as_ref().and_then(|tree| tree.arn.split(':').nth(3));
        let region = region.unwrap_or("us-east-1").to_owned();
        let keys = match key {
            Some(document) => Keys::File(Box::new(document), region),
            None => Keys::Unknown("no --key-policy, --key or VOLUME was named".to_owned()),
        };
        Self {
            account,
            tree,
            keys,
            attached: Attached::default(),
            given: Vec::new(),
            groups: Vec::new(),
            context: Vec::new(),
        }
    }

    fn in_home(
        access: &Access,
        opened: Opened,
        volume: Option<&Path>,
        key: Option<&str>,
        tree: Option<Document>,
        key_policy: Option<Document>,
    ) -> Result<Self, CliError> {
        let account = opened.home.account().to_owned();
        let found = volume.map(|name| Found::volume(access, &opened, name));
        let found = found.transpose()?;
        let tree = match (&found, tree) {
            (Some(found), tree) => {
                let path = opened.home.policy_path(&found.volume.to_string());
                let own = || parse(DocumentKind::Tree, &path);
                let document = tree.map_or_else(own, Ok)?;
                let region = opened.home.region();
                Some(Tree {
                    document,
                    arn: fs::volume_arn(region, &account, &found.volume),
                    volume: found.volume,
                })
            }
            (None, Some(document)) => {
                let (arn, volume) = volume_in(&document, &account);
                Some(Tree {
                    document,
                    arn,
                    volume,
                })
            }
            (None, None) => None,
        };
        let caller = opened.caller();
        let listed = opened.home.administration()?;
        let listed = listed.list_identity_policies(&caller, &Empty {})?;
        let attached = Attached::read(listed).map_err(|reason| CliError::Policy {
            file: "of an identity in the home".to_owned(),
            reason,
        })?;
        let key = match (key, found.and_then(|found| found.key)) {
            (Some(key), _) => Some(opened.resolve_key(key)?),
            (None, key) => key,
        };
        let keys = match key {
            Some(key) => Keys::Service {
                policy: key_policy.map(|document| document.source().to_owned()),
                opened: Box::new(opened),
                key,
            },
            None => match key_policy {
                Some(document) => Keys::File(Box::new(document), opened.home.region().to_owned()),
                None => Keys::Unknown(
                    "which KMS key the volume has is only known while it is mounted: name it with \
                     --key"
                        .to_owned(),
                ),
            },
        };
        Ok(Self {
            account,
            tree,
            keys,
            attached,
            given: Vec::new(),
            groups: Vec::new(),
            context: Vec::new(),
        })
    }

    /// Everybody whom a policy names, and somebody whom none names.
    pub(super) fn subjects(&self) -> Result<Vec<Subject>, CliError> {
        let tree = self.tree.iter().map(|tree| &tree.document);
        let key_policy = match &self.keys {
            Keys::File(document, _) => Some(document.source().to_owned()),
            Keys::Service {
                opened,
                key,
                policy,
            } => match policy {
                Some(policy) => Some(policy.clone()),
                None => opened.key_policy(key).ok(),
            },
            Keys::Unknown(_) => None,
        };
        let key_policy = key_policy.and_then(|text| Document::parse(DocumentKind::Key, &text).ok());
        let documents = tree.chain(&key_policy);
        let mut arns: Vec<&str> = documents.flat_map(Document::principals).collect();
        arns.extend(self.attached.principals());
        arns.extend(self.given.iter().filter_map(|(whom, _)| whom.as_deref()));
        let mut subjects: Vec<Subject> = Vec::new();
        // A group is `role/NAME` and `group/NAME`: one row.
        for arn in arns.into_iter().filter(|arn| arn.contains(":iam:")) {
            let subject = Subject::of_arn(arn)?;
            if !subjects.iter().any(|known| known.name == subject.name) {
                subjects.push(subject);
            }
        }
        subjects.push(Subject::anyone_else(&self.account));
        Ok(subjects
            .into_iter()
            .map(|subject| self.complete(subject))
            .collect())
    }

    /// The user whom `text` names, in all groups.
    pub(super) fn subject(&self, text: &str) -> Result<Subject, CliError> {
        Ok(self.complete(Subject::named(text, &self.account)?))
    }

    pub(super) fn complete(&self, mut subject: Subject) -> Subject {
        subject.principal = self.attached.complete(&subject.principal);
        subject.in_groups(&self.groups)
    }

    /// Asks whether `subject` may do each of `actions` to each of `paths`, path by path.
    pub(super) fn ask(
        &self,
        subject: &Subject,
        actions: &[&str],
        paths: &[Vec<u8>],
    ) -> Result<Vec<Answer>, CliError> {
        let mut on_keys: Vec<&str> = actions.iter().filter_map(|action| on_key(action)).collect();
        on_keys.dedup();
        let by_key = self.ask_key(subject, &on_keys)?;
        let key = |action: &str| {
            let wanted = on_key(action)?;
            let at = on_keys.iter().position(|known| *known == wanted)?;
            Some(by_key[at].clone())
        };
        let mut answers = Vec::new();
        for path in paths {
            for action in actions {
                let file = match &self.tree {
                    Some(tree) if action.starts_with("kmsfs:") => {
                        Some(self.ask_file(tree, subject, action, path))
                    }
                    _ => None,
                };
                answers.push(Answer {
                    file,
                    key: key(action),
                });
            }
        }
        Ok(answers)
    }

    fn ask_file(&self, tree: &Tree, subject: &Subject, action: &str, path: &[u8]) -> Explanation {
        let path = fs::policy_path(path);
        let resource = format!("{}/{path}", tree.arn);
        let mut context = self.context_of(subject);
        context.push("kmsfs:Path", path);
        for gid in &subject.gids {
            context.push("kmsfs:Gids", gid.to_string());
        }
        let request = Request {
            principal: &subject.principal,
            action,
            resource: &resource,
            context: &context,
        };
        policy::explain(&tree.document, &self.identity(subject), &[], &request)
    }

    fn ask_key(&self, subject: &Subject, actions: &[&str]) -> Result<Vec<KeyAnswer>, CliError> {
        if actions.is_empty() {
            return Ok(Vec::new());
        }
        match &self.keys {
            Keys::Unknown(reason) => Ok(vec![KeyAnswer::Unknown(reason.clone()); actions.len()]),
            Keys::File(document, region) => {
                let asked = actions.iter();
                Ok(asked
                    .map(|action| self.ask_key_file(document, region, subject, action))
                    .collect())
            }
            Keys::Service {
                opened,
                key,
                policy,
            } => {
                let given = self.given_to(subject);
                let request = ExplainAccessRequest {
                    principal: Principal::clone(&subject.principal),
                    uid: subject.uid,
                    via_kmsfs: self.tree.is_some(),
                    key_id: key.clone(),
                    actions: actions.iter().map(|&action| action.to_owned()).collect(),
                    encryption_context: self.encryption_context(),
                    policy: policy.clone(),
                    identity_policies: given.map(|document| document.source().to_owned()).collect(),
                };
                let caller = opened.caller().in_region_of(key);
                let administration = opened.home.administration()?;
                let answer = match administration.explain_access(&caller, &request) {
                    Err(KmsError::NotFound(_)) if self.tree.is_some() => {
                        let reason = format!("the KMS key {key} is not in this home");
                        return Ok(vec![KeyAnswer::Unknown(reason); actions.len()]);
                    }
                    answer => answer?,
                };
                let explained = actions.iter().zip(answer.explanations);
                Ok(explained
                    .map(|(action, explanation)| KeyAnswer::Known {
                        action: (*action).to_owned(),
                        key: answer.key_arn.clone(),
                        state: Some(answer.key_state.clone()),
                        explanation,
                    })
                    .collect())
            }
        }
    }

    fn ask_key_file(
        &self,
        document: &Document,
        region: &str,
        subject: &Subject,
        action: &str,
    ) -> KeyAnswer {
        let key = format!(
            "arn:aws:kms:{region}:{}:key/that-has-this-policy",
            self.account
        );
        let mut context = self.context_of(subject);
        context.push("kms:CallerAccount", subject.principal.account.clone());
        if self.tree.is_some() {
            context.push("kms:ViaService", format!("kmsfs.{region}.amazonaws.com"));
        }
        for (name, value) in self.encryption_context() {
            context.push(&format!("kms:EncryptionContext:{name}"), value);
            context.push("kms:EncryptionContextKeys", name);
        }
        let request = Request {
            principal: &subject.principal,
            action,
            resource: &key,
            context: &context,
        };
        KeyAnswer::Known {
            action: action.to_owned(),
            explanation: policy::explain(document, &self.identity(subject), &[], &request),
            key,
            state: None,
        }
    }

    /// Why `mounter` is refused the volume key, if that is so.
    pub(super) fn mount_refused(&self, mounter: &Principal) -> Result<Option<String>, CliError> {
        let (Keys::Service { opened, key, .. }, Some(tree)) = (&self.keys, &self.tree) else {
            return Ok(None);
        };
        let request = ExplainAccessRequest {
            principal: mounter.clone(),
            uid: None,
            via_kmsfs: true,
            key_id: key.clone(),
            actions: vec!["kms:Decrypt".to_owned()],
            encryption_context: volume_key_context(&tree.volume),
            policy: None,
            identity_policies: Vec::new(),
        };
        let caller = opened.caller().in_region_of(key);
        let answer = match opened
            .home
            .administration()?
            .explain_access(&caller, &request)
        {
            Err(KmsError::NotFound(_)) => return Ok(None),
            answer => answer?,
        };
        let refused = answer.explanations.into_iter().find(|one| !one.allowed);
        Ok(refused.map(|explanation| explanation.outcome()))
    }

    /// What the data key of a file of the volume is bound to. Which file it is, policies seldom ask.
    fn encryption_context(&self) -> EncryptionContext {
        let Some(tree) = &self.tree else {
            return EncryptionContext::new();
        };
        let mut label = self.context.iter();
        let label = label.rfind(|(key, _)| key.eq_ignore_ascii_case("kmsfs:Label"));
        let label = label.map(|(_, label)| label.as_str());
        data_key_context(&tree.volume, &FileId::from_bytes([0; 16]), label)
    }

    /// The identity policies of `subject`, each with the ARN that it is attached to.
    fn identity<'a>(&'a self, subject: &'a Subject) -> Vec<(&'a str, &'a Document)> {
        let given = self.given_to(subject);
        let given = given.map(|document| (subject.principal.arn.as_str(), document));
        self.attached
            .policies(&subject.principal)
            .chain(given)
            .collect()
    }

    fn given_to<'a>(&'a self, subject: &'a Subject) -> impl Iterator<Item = &'a Document> {
        let principal = &subject.principal;
        let given = self.given.iter().filter(|(whom, _)| {
            whom.as_ref()
                .is_none_or(|arn| *arn == principal.arn || principal.also.contains(arn))
        });
        given.map(|(_, document)| document)
    }

    /// What every request has, and what was given.
    fn context_of(&self, subject: &Subject) -> Given<'_> {
        let mut context = Given {
            named: &self.context,
            own: Vec::new(),
        };
        if let Some(uid) = subject.uid {
            context.push("kmsfs:Uid", uid.to_string());
        }
        let now = jiff::Timestamp::now();
        context.push("aws:CurrentTime", now.to_string());
        context.push("aws:EpochTime", now.as_second().to_string());
        context
    }
}

/// The volume that a VOLUME argument means.
pub(super) struct Found {
    pub(super) volume: VolumeId,
    /// The ARN of its KMS key, as far as that is known.
    pub(super) key: Option<String>,
}

impl Found {
    /// The volume `name`, or without a name the only one of the home.
    pub(super) fn named_or_only(
        access: &Access,
        opened: &Opened,
        name: Option<&Path>,
    ) -> Result<Self, CliError> {
        if let Some(name) = name {
            return Self::volume(access, opened, name);
        }
        let all = opened.home.policies();
        let all = all.map_err(CliError::io(opened.home.path()))?;
        match &all[..] {
            [(only, _)] => Self::volume(access, opened, Path::new(only)),
            _ => Err(CliError::Usage(format!(
                "the home has {} volumes: name the VOLUME",
                all.len()
            ))),
        }
    }

    fn volume(access: &Access, opened: &Opened, name: &Path) -> Result<Self, CliError> {
        let id = name.to_str().filter(|_| !name.exists());
        if let Some(id) = id.and_then(|text| text.parse::<VolumeId>().ok()) {
            let notes = running::notes(opened.home.path());
            let note = notes
                .into_iter()
                .find(|note| note.volume_id == id.to_string());
            let read = note.and_then(|note| Volume::read(&note.backing).ok());
            return Ok(Self {
                volume: id,
                key: read.map(|volume| volume.unverified().key_arn.clone()),
            });
        }
        let backing = running::backing_of(access, name)?;
        let volume = Volume::read(&backing)?;
        let config = volume.unverified();
        Ok(Self {
            volume: config.volume,
            key: Some(config.key_arn.clone()),
        })
    }
}

/// The first volume that a tree policy names, or one that it cannot name.
fn volume_in(document: &Document, account: &str) -> (String, VolumeId) {
    let named = document.resources().into_iter().find_map(|pattern| {
        let (head, path) = pattern.split_once(":volume/")?;
        let (id, _) = path.split_once('/')?;
        let concrete = !head.contains(['*', '?', '$']);
        Some((format!("{head}:volume/{id}"), id.parse().ok()?)).filter(|_| concrete)
    });
    named.unwrap_or_else(|| {
        let nobodys = VolumeId::from_bytes([0; 16]);
        (fs::volume_arn("us-east-1", account, &nobodys), nobodys)
    })
}

/// The ARN of `user/NAME`, `group/NAME` or `role/NAME`.
fn arn(account: &str, whom: &str) -> Result<String, CliError> {
    match whom.split_once('/') {
        Some(("user" | "group" | "role", name)) if !name.is_empty() => {
            Ok(format!("arn:aws:iam::{account}:{whom}"))
        }
        _ => Err(CliError::Usage(format!(
            "{whom:?} is nobody: write user/NAME, group/NAME or role/NAME"
        ))),
    }
}

fn check_key(name: &str) -> Result<(), CliError> {
    let known = |known: &KnownKey| {
        let family = known.name.ends_with([':', '/']);
        let head = name.get(..known.name.len()).unwrap_or_default();
        head.eq_ignore_ascii_case(known.name) && (family || head.len() == name.len())
    };
    if keys::ALL.iter().any(known) {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "there is no condition key {name:?}"
    )))
}

/// The names of condition keys have no case.
fn is(name: &str, key: &str) -> bool {
    name.eq_ignore_ascii_case(key)
}

/// Condition keys with their values. What was named on the command line stands in the place of what
/// the request has by itself.
struct Given<'a> {
    named: &'a [(String, String)],
    own: Vec<(String, String)>,
}

impl Given<'_> {
    fn push(&mut self, key: &str, value: String) {
        self.own.push((key.to_owned(), value));
    }
}

impl Context for Given<'_> {
    fn get(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let of = |list: &'_ [(String, String)]| list.iter().any(|(name, _)| is(name, key));
        let list = if of(self.named) {
            self.named
        } else {
            &self.own
        };
        let values = list.iter().filter(|(name, _)| is(name, key));
        let values: Vec<_> = values.map(|(_, value)| Cow::from(value)).collect();
        (!values.is_empty()).then_some(values)
    }
}
