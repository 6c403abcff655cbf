//! What the key service knows, in memory, as the store last made durable; and the changes to it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Weak},
};

use super::{
    api::{GrantConstraints, GrantOperation, Timestamp},
    identities::{AccessKey, Identities, User},
    key::Key,
    material::{KeyVersion, SealedMaterial, hex},
    name::{AliasName, KeyId, Region},
};
use crate::{
    crypto::random,
    policy::{Document, DocumentKind, Refused},
};

/// Where an alias points.
#[derive(Debug, Clone)]
pub(super) struct Alias {
    pub(super) key: KeyId,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
}

/// A grant's id: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GrantId(pub(super) String);

impl GrantId {
    /// A fresh random id.
    pub(super) fn generate() -> Self {
        let mut bytes = [0; 32];
        random::fill(&mut bytes);
        Self::from_bytes(&bytes)
    }

    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(hex(bytes))
    }

    /// The binary form of an id that [`Self::from_bytes`] made.
    pub(super) fn bytes(&self) -> Option<[u8; 32]> {
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(self.0.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(bytes)
    }
}

/// A grant on a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) id: GrantId,
    pub(super) region: Region,
    pub(super) key: KeyId,
    pub(super) name: Option<String>,
    pub(super) grantee: String,
    pub(super) retiring: Option<String>,
    /// Who made it.
    pub(super) issuing_account: String,
    pub(super) operations: Vec<GrantOperation>,
    pub(super) constraints: Option<GrantConstraints>,
    pub(super) created: Timestamp,
}

/// Everything of one Region. What another Region has is not seen from here.
#[derive(Default)]
pub(super) struct Regional {
    pub(super) keys: BTreeMap<KeyId, Arc<Key>>,
    pub(super) aliases: BTreeMap<AliasName, Alias>,
    /// The same aliases by key.
    by_key: BTreeSet<(KeyId, AliasName)>,
    pub(super) grants: BTreeMap<(KeyId, GrantId), Arc<Grant>>,
}

impl Regional {
    /// The aliases of `key`, by name.
    pub(super) fn aliases_of(&self, key: KeyId) -> impl Iterator<Item = &AliasName> {
        let all = self.by_key.range((key, AliasName::known(""))..);
        all.take_while(move |(of, _)| *of == key)
            .map(|(_, name)| name)
    }

    /// The grants on `key`, by id.
    pub(super) fn grants_of(&self, key: KeyId) -> impl Iterator<Item = &Arc<Grant>> {
        let all = self.grants.range((key, GrantId(String::new()))..);
        all.take_while(move |((of, _), _)| *of == key)
            .map(|(_, grant)| grant)
    }
}

/// All that there is.
#[derive(Default)]
pub(super) struct State {
    pub(super) epoch: u64,
    regions: BTreeMap<Region, Regional>,
    /// Identity policies by the ARN of the user, role or group that has them, then by name.
    identity_policies: BTreeMap<String, BTreeMap<String, Arc<Document>>>,
    pub(super) identities: Identities,
}

impl State {
    /// What `region` has; `None`: nothing yet.
    pub(super) fn region(&self, region: &Region) -> Option<&Regional> {
        self.regions.get(region)
    }

    pub(super) fn key(&self, region: &Region, id: KeyId) -> Option<&Arc<Key>> {
        self.regions.get(region)?.keys.get(&id)
    }

    /// Every key of every Region.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.regions
            .values()
            .flat_map(|regional| regional.keys.values())
    }

    /// The keys of the other Regions that are related to `key`.
    pub(super) fn related(&self, key: &Key) -> impl Iterator<Item = &Arc<Key>> {
        let id = key.id;
        let own = key.region.clone();
        let regions = self.regions.iter().filter(move |_| id.is_multi_region());
        regions
            .filter(move |(region, _)| **region != own)
            .filter_map(move |(_, regional)| regional.keys.get(&id))
    }

    /// The Regions of the replicas among `key` and its relatives.
    pub(super) fn replica_regions(&self, key: &Key) -> Vec<Region> {
        let mut regions: Vec<Region> = self
            .related(key)
            .map(|relative| &relative.region)
            .chain([&key.region])
            .filter(|region| key.primary.as_ref().is_some_and(|p| p != *region))
            .cloned()
            .collect();
        regions.sort_unstable();
        regions
    }

    /// The identity policies of the principal or group `arn`.
    pub(super) fn identity_policies(&self, arn: &str) -> impl Iterator<Item = &Arc<Document>> {
        self.identity_policies
            .get(arn)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// The names of the identity policies of the principal or group `arn`.
    pub(super) fn identity_policy_names(&self, arn: &str) -> Vec<String> {
        let policies = self.identity_policies.get(arn);
        policies.map_or_else(Vec::new, |policies| policies.keys().cloned().collect())
    }

    /// Every identity policy, with the ARN that it is attached to and its name.
    pub(super) fn all_identity_policies(
        &self,
    ) -> impl Iterator<Item = (&String, &String, &Arc<Document>)> {
        let all = self.identity_policies.iter();
        all.flat_map(|(arn, policies)| {
            let policies = policies.iter();
            policies.map(move |(name, document)| (arn, name, document))
        })
    }

    /// The ARNs that have identity policies.
    pub(super) fn principals_with_policies(&self) -> impl Iterator<Item = &String> {
        let some = self.identity_policies.iter();
        some.filter(|(_, policies)| !policies.is_empty())
            .map(|(arn, _)| arn)
    }

    /// Makes a change that the store has made durable.
    pub(super) fn apply(&mut self, write: Write) {
        match write {
            Write::Key(key) => {
                let regional = self.regions.entry(key.region.clone()).or_default();
                regional.keys.insert(key.id, key);
            }
            Write::ForgetKey(region, id) => {
                let regional = self.regions.entry(region).or_default();
                let names: Vec<AliasName> = regional.aliases_of(id).cloned().collect();
                for name in names {
                    regional.aliases.remove(&name);
                    regional.by_key.remove(&(id, name));
                }
                regional.grants.retain(|(of, _), _| *of != id);
                regional.keys.remove(&id);
            }
            // A key holds its materials itself.
            Write::Material(..) | Write::ForgetMaterial(..) => {}
            Write::Alias(region, name, alias) => {
                let regional = self.regions.entry(region).or_default();
                regional.by_key.insert((alias.key, name.clone()));
                if let Some(former) = regional.aliases.insert(name.clone(), alias.clone())
                    && former.key != alias.key
                {
                    regional.by_key.remove(&(former.key, name));
                }
            }
            Write::ForgetAlias(region, name) => {
                let regional = self.regions.entry(region).or_default();
                if let Some(former) = regional.aliases.remove(&name) {
                    regional.by_key.remove(&(former.key, name));
                }
            }
            Write::Grant(grant) => {
                let regional = self.regions.entry(grant.region.clone()).or_default();
                regional.grants.insert((grant.key, grant.id.clone()), grant);
            }
            Write::ForgetGrant(region, key, id) => {
                let regional = self.regions.entry(region).or_default();
                regional.grants.remove(&(key, id));
            }
            Write::IdentityPolicy(principal, name, document) => {
                let policies = self.identity_policies.entry(principal).or_default();
                policies.insert(name, document);
            }
            Write::ForgetIdentityPolicy(principal, name) => {
                if let Some(policies) = self.identity_policies.get_mut(&principal) {
                    policies.remove(&name);
                }
            }
            Write::User(user) => self.identities.put_user(user),
            Write::ForgetUser(arn) => self.identities.forget_user(&arn),
            Write::AccessKey(key, _) => self.identities.put_key(key),
            Write::ForgetAccessKey(id) => self.identities.forget_key(&id),
            Write::MountUser(uid) => self.identities.put_mount_user(uid),
            Write::ForgetMountUser(uid) => self.identities.forget_mount_user(uid),
        }
    }
}

/// One change. The store writes it and, once it is durable, [`State::apply`] makes it in memory.
pub(super) enum Write {
    /// A key that is new, or changed. Its materials are written by [`Write::Material`].
    Key(Arc<Key>),
    /// With its materials, aliases and grants.
    ForgetKey(Region, KeyId),
    Material(Region, KeyId, SealedMaterial),
    ForgetMaterial(Region, KeyId, KeyVersion),
    Alias(Region, AliasName, Alias),
    ForgetAlias(Region, AliasName),
    Grant(Arc<Grant>),
    ForgetGrant(Region, KeyId, GrantId),
    /// A document by its name, for the user, role or group of this ARN.
    IdentityPolicy(String, String, Arc<Document>),
    #[allow(
        dead_code,
        reason = "what deletes users comes with the commands for users"
    )]
    ForgetIdentityPolicy(String, String),
    /// A user that is new, or whose groups changed.
    User(Arc<User>),
    /// By ARN, with its access keys.
    ForgetUser(String),
    /// A new access key, and its sealed secret.
    AccessKey(Arc<AccessKey>, Vec<u8>),
    ForgetAccessKey(String),
    /// A user id whose processes may speak for others.
    MountUser(u32),
    ForgetMountUser(u32),
}

/// Parsed policies by their text, so that a hundred thousand keys with one policy hold it once.
#[derive(Default)]
pub(super) struct Policies {
    known: HashMap<(DocumentKind, String), Weak<Document>>,
    /// As many entries are waited for before those that nobody holds any more are removed.
    room: usize,
}

impl Policies {
    pub(super) fn parse(
        &mut self,
        kind: DocumentKind,
        source: String,
    ) -> Result<Arc<Document>, Refused> {
        let name = (kind, source);
        if let Some(known) = self.known.get(&name).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let document = Arc::new(Document::parse(kind, &name.1)?);
        if self.known.len() >= self.room {
            self.known.retain(|_, document| document.strong_count() > 0);
            self.room = 64.max(2 * self.known.len());
        }
        self.known.insert(name, Arc::downgrade(&document));
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Policies;
    use crate::policy::{DocumentKind, canned};

    #[test]
    fn a_policy_is_parsed_once_while_it_is_held_and_forgotten_afterwards() {
        let mut policies = Policies::default();
        let mut parse = |account: usize| {
            let text = canned::default_key_policy(&format!("{account:012}"));
            policies.parse(DocumentKind::Key, text).unwrap()
        };
        let held = parse(0);
        for account in 1..10_000 {
            parse(account);
        }
        assert!(Arc::ptr_eq(&held, &parse(0)));
        assert!(policies.known.len() < 100, "{}", policies.known.len());
    }
}
