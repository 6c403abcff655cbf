//! What the key service knows, in memory: keys and aliases, as the store last made durable.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    KmsError,
    api::{
        EncryptionAlgorithm, KeyManager, KeyMetadata, KeySpec, KeyState, KeyUsage, Origin, Tag,
        Timestamp,
    },
    material::{KeyVersion, Material},
    name::{AliasName, KeyId, Place},
};
use crate::policy::{Allowed, Document};

/// A KMS key. Immutable: a change puts another in its place, so that an operation under way sees
/// one state of it throughout.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) arn: String,
    pub(super) created: Timestamp,
    pub(super) state: KeyState,
    pub(super) description: String,
    pub(super) tags: Arc<[Tag]>,
    pub(super) policy: Arc<Document>,
    /// Never empty; by version, the current one last.
    pub(super) materials: Vec<Arc<Material>>,
}

impl Key {
    /// The only kind of key of this version.
    pub(super) const SPEC: KeySpec = KeySpec::SymmetricDefault;
    pub(super) const USAGE: KeyUsage = KeyUsage::EncryptDecrypt;
    pub(super) const ORIGIN: Origin = Origin::AwsKms;

    fn current(&self) -> &Material {
        self.materials
            .last()
            .expect("a key is made with its first material")
    }

    /// The version that a rotation makes next.
    pub(super) fn next_version(&self) -> KeyVersion {
        self.current().version().next()
    }

    pub(super) fn metadata(&self, place: &Place) -> KeyMetadata {
        KeyMetadata {
            aws_account_id: place.account.clone(),
            key_id: self.id.to_string(),
            arn: self.arn.clone(),
            creation_date: self.created,
            enabled: self.state == KeyState::Enabled,
            description: self.description.clone(),
            key_usage: Self::USAGE,
            key_state: self.state,
            origin: Self::ORIGIN,
            key_manager: KeyManager::Customer,
            customer_master_key_spec: Self::SPEC,
            key_spec: Self::SPEC,
            encryption_algorithms: vec![EncryptionAlgorithm::SymmetricDefault],
            multi_region: false,
            current_key_material_id: self.current().id().to_owned(),
        }
    }

    /// The key for cryptographic use or rotation, if its state allows that, per the table at
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>. `_allowed` is the
    /// proof that policy was asked first.
    pub(super) fn usable(&self, _allowed: &Allowed) -> Result<Usable<'_>, KmsError> {
        if self.state == KeyState::Disabled {
            return Err(KmsError::Disabled(format!("{} is disabled.", self.arn)));
        }
        self.check_manageable()?;
        Ok(Usable(self))
    }

    /// Whether the key's state allows enabling, disabling and new aliases, per the same table.
    pub(super) fn check_manageable(&self) -> Result<(), KmsError> {
        let why = match self.state {
            KeyState::Enabled | KeyState::Disabled => return Ok(()),
            KeyState::PendingDeletion => "deletion",
            KeyState::PendingImport => "import",
        };
        Err(KmsError::InvalidState(format!(
            "{} is pending {why}.",
            self.arn
        )))
    }
}

/// A key that policy and its own state allow to use. Only through it is there a way to the material.
#[derive(Clone, Copy)]
pub(super) struct Usable<'a>(&'a Key);

impl<'a> Usable<'a> {
    /// The material that encrypts new data.
    pub(super) fn current(self) -> &'a Material {
        self.0.current()
    }

    /// The material that encrypted under `version`.
    pub(super) fn material(self, version: KeyVersion) -> Option<&'a Material> {
        self.0
            .materials
            .iter()
            .map(|material| &**material)
            .find(|m| m.version() == version)
    }

    pub(super) fn key(self) -> &'a Key {
        self.0
    }
}

/// Where an alias points.
#[derive(Debug, Clone)]
pub(super) struct Alias {
    pub(super) key: KeyId,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
}

/// All keys and aliases.
#[derive(Default)]
pub(super) struct State {
    pub(super) epoch: u64,
    pub(super) keys: BTreeMap<KeyId, Arc<Key>>,
    pub(super) aliases: BTreeMap<AliasName, Alias>,
}

impl State {
    pub(super) fn aliases_of(&self, key: KeyId) -> impl Iterator<Item = (&AliasName, &Alias)> {
        self.aliases
            .iter()
            .filter(move |(_, alias)| alias.key == key)
    }
}

/// Parsed policies by their text, so that ten thousand keys with one policy hold it once.
#[derive(Default)]
pub(super) struct Policies(HashMap<String, Arc<Document>>);

impl Policies {
    pub(super) fn parse(&mut self, source: &str) -> Result<Arc<Document>, crate::policy::Refused> {
        if let Some(known) = self.0.get(source) {
            return Ok(Arc::clone(known));
        }
        let document = Document::parse(crate::policy::DocumentKind::Key, source)?;
        let document = Arc::new(document);
        self.0.insert(source.to_owned(), Arc::clone(&document));
        Ok(document)
    }
}
