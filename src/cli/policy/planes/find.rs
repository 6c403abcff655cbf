//! Where the policies are that are asked.

use std::path::Path;

use crate::format::VolumeId;
use crate::fs::{self, Volume};
use crate::kms::{Attached, Empty};
use crate::policy::{Document, DocumentKind};

use super::super::super::args::policy::PoliciesArgs;
use super::super::super::connect::{Access, Opened};
use super::super::super::error::CliError;
use super::super::super::running;
use super::super::parse;
use super::given::check_key;
use super::{Keys, Planes, Tree};

impl Planes {
    /// Finds the policies that the arguments name.
    pub(in super::super) fn find(
        access: &Access,
        arguments: &PoliciesArgs,
    ) -> Result<Self, CliError> {
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
}

/// The volume that a VOLUME argument means.
pub(in super::super) struct Found {
    pub(in super::super) volume: VolumeId,
    /// The ARN of its KMS key, as far as that is known.
    pub(in super::super) key: Option<String>,
}

impl Found {
    /// The volume `name`, or without a name the only one of the home.
    pub(in super::super) fn named_or_only(
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
