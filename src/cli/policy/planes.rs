//! Both planes of a decision, asked without opening anything: by the engine that the mount asks in the
//! file plane, and by the key service itself in the key plane.

mod find;
mod given;

use crate::format::{FileId, VolumeId, data_key_context, volume_key_context};
use crate::fs;
use crate::kms::{Attached, EncryptionContext, ExplainAccessRequest, KmsError};
use crate::policy::{self, Document, DocumentKind, Explanation, Principal, Request, actions};

use super::super::connect::Opened;
use super::super::error::CliError;
use super::subject::Subject;

pub(super) use find::Found;
use given::Given;

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
