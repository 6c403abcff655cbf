//! A KMS key, as the key service knows it.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    KmsError,
    api::{
        ExpirationModel, KeyLastUsageTrackingOperation, KeyManager, KeyMetadata, KeySpec, KeyState,
        KeyUsage, MultiRegionConfiguration, MultiRegionKey, MultiRegionKeyType, Origin, Tag,
        Timestamp,
    },
    key_state::Demand,
    keypair::KeyPair,
    material::{KeyVersion, Material},
    name::{KeyId, Place, Region},
    secret::Secret,
};
use crate::policy::{Allowed, Document};

/// A KMS key. Immutable: a change puts another in its place, so that an operation under way sees
/// one state of it throughout.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) region: Region,
    pub(super) arn: String,
    pub(super) spec: KeySpec,
    pub(super) usage: KeyUsage,
    pub(super) origin: Origin,
    pub(super) manager: KeyManager,
    pub(super) created: Timestamp,
    pub(super) state: KeyState,
    pub(super) description: String,
    pub(super) tags: Arc<[Tag]>,
    pub(super) policy: Arc<Document>,
    /// Of a multi-Region key: where its primary is. It is one itself if that is its own Region.
    pub(super) primary: Option<Region>,
    /// While it waits for its deletion, or that of its replicas.
    pub(super) deletion: Option<Deletion>,
    pub(super) rotation: Option<RotationSchedule>,
    /// Shared by all states of the key.
    pub(super) last_use: Arc<Mutex<Option<LastUse>>>,
    /// By version. Empty only while imported material is awaited for the first time.
    pub(super) materials: Vec<Arc<Material>>,
}

/// The last cryptographic use of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LastUse {
    pub(super) operation: KeyLastUsageTrackingOperation,
    pub(super) at: Timestamp,
    /// Of its record in the audit log.
    pub(super) event_id: String,
    /// Of the request, where one came over a socket.
    pub(super) request_id: Option<String>,
    /// Whether the store does not know it yet.
    pub(super) unsaved: bool,
}

/// When a key is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deletion {
    pub(super) window_days: i32,
    /// `None` as long as the key has replicas.
    pub(super) date: Option<Timestamp>,
}

/// When a key is rotated by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RotationSchedule {
    pub(super) period_days: i32,
    pub(super) next: Timestamp,
}

impl Key {
    /// The material that encrypts new data; `None` if it is still to be imported.
    pub(super) fn current(&self) -> Option<&Arc<Material>> {
        let mut latest_first = self.materials.iter().rev();
        latest_first.find(|material| !material.facts().waiting)
    }

    /// The imported material that waits for an on-demand rotation.
    pub(super) fn waiting(&self) -> Option<&Arc<Material>> {
        let mut materials = self.materials.iter();
        materials.find(|material| material.facts().waiting && material.secret().is_some())
    }

    /// Whether material that the key has encrypted with is not there.
    pub(super) fn lacks_material(&self) -> bool {
        let mut needed = self.materials.iter().filter(|m| !m.facts().waiting);
        self.current().is_none() || needed.any(|material| material.secret().is_none())
    }

    /// Whether imported material has expired that is to be erased.
    pub(super) fn has_expired_material(&self, now: Timestamp) -> bool {
        let mut materials = self.materials.iter();
        self.origin == Origin::External && materials.any(|material| material.has_expired(now))
    }

    /// The key as it is at `now`: imported material expires at its time, whether or not it has been
    /// erased yet.
    pub(super) fn as_of(self: Arc<Self>, now: Timestamp) -> Arc<Self> {
        if !self.has_expired_material(now) {
            return self;
        }
        let materials = self.materials.iter().map(|material| {
            if material.has_expired(now) {
                Arc::new(material.expired())
            } else {
                Arc::clone(material)
            }
        });
        Arc::new(self.with_materials(materials.collect()))
    }

    /// The key without the secrets of its `gone` materials. Their ids stay, so that they can come
    /// back; but of material that never encrypted nothing stays.
    pub(super) fn without(&self, gone: impl Fn(&Material) -> bool) -> Self {
        let kept = self.materials.iter().filter_map(|material| {
            if !gone(material) {
                return Some(Arc::clone(material));
            }
            (!material.facts().waiting).then(|| Arc::new(material.without_secret()))
        });
        self.with_materials(kept.collect())
    }

    fn with_materials(&self, materials: Vec<Arc<Material>>) -> Self {
        let mut changed = Self {
            materials,
            ..self.clone()
        };
        if matches!(changed.state, KeyState::Enabled | KeyState::Disabled)
            && changed.lacks_material()
        {
            changed.state = KeyState::PendingImport;
        }
        changed
    }

    /// The version that new material gets.
    pub(super) fn next_version(&self) -> KeyVersion {
        self.materials
            .last()
            .map_or(KeyVersion::FIRST, |material| material.version().next())
    }

    /// What it is among its relatives, if it is a multi-Region key.
    pub(super) fn multi_region_type(&self) -> Option<MultiRegionKeyType> {
        let primary = self.primary.as_ref()?;
        Some(if *primary == self.region {
            MultiRegionKeyType::Primary
        } else {
            MultiRegionKeyType::Replica
        })
    }

    /// `related` are the Regions of its replicas, if it is a multi-Region key.
    pub(super) fn metadata(&self, place: &Place, replicas: &[Region]) -> KeyMetadata {
        let is_there = |material: &&Arc<Material>| material.secret().is_some();
        let material = self.current().filter(is_there);
        let in_use = self.materials.iter().filter(|m| !m.facts().waiting);
        let ends = in_use.filter(is_there).filter_map(|m| m.facts().valid_to);
        let valid_to = ends.min().filter(|_| material.is_some());
        let expiration = if valid_to.is_some() {
            ExpirationModel::Expires
        } else {
            ExpirationModel::DoesNotExpire
        };
        let imported = self.origin == Origin::External;
        KeyMetadata {
            aws_account_id: place.account.clone(),
            key_id: self.id.to_string(),
            arn: self.arn.clone(),
            creation_date: self.created,
            enabled: self.state == KeyState::Enabled,
            description: self.description.clone(),
            key_usage: self.usage,
            key_state: self.state,
            origin: self.origin,
            key_manager: self.manager,
            customer_master_key_spec: self.spec,
            key_spec: self.spec,
            encryption_algorithms: self.spec.encryption_algorithms(self.usage).to_vec(),
            signing_algorithms: self.spec.signing_algorithms(self.usage).to_vec(),
            key_agreement_algorithms: self.usage.key_agreement_algorithms().to_vec(),
            encapsulation_algorithms: self.usage.encapsulation_algorithms().to_vec(),
            mac_algorithms: self.spec.mac_algorithms().to_vec(),
            multi_region: self.primary.is_some(),
            multi_region_configuration: self.relatives(place, replicas),
            deletion_date: self.deletion.and_then(|deletion| deletion.date),
            pending_deletion_window_in_days: self
                .deletion
                .filter(|deletion| deletion.date.is_none())
                .map(|deletion| deletion.window_days),
            valid_to,
            expiration_model: material.filter(|_| imported).map(|_| expiration),
            current_key_material_id: material
                .filter(|_| self.spec.is_symmetric_encryption())
                .map(|material| material.id().to_string()),
        }
    }

    fn relatives(&self, place: &Place, replicas: &[Region]) -> Option<MultiRegionConfiguration> {
        let named = |region: &Region| MultiRegionKey {
            arn: place.at(region).key_arn(self.id),
            region: region.to_string(),
        };
        Some(MultiRegionConfiguration {
            multi_region_key_type: self.multi_region_type()?,
            primary_key: named(self.primary.as_ref()?),
            replica_keys: replicas.iter().map(named).collect(),
        })
    }

    /// The key for cryptographic use or rotation, if its state allows that. `_allowed` is the proof
    /// that policy was asked first.
    pub(super) fn usable(&self, allowed: &Allowed) -> Result<Usable<'_>, KmsError> {
        self.usable_as(allowed, Demand::USE)
    }

    /// As [`Self::usable`], for what asks something else of the key's state.
    pub(super) fn usable_as(
        &self,
        _allowed: &Allowed,
        demand: Demand,
    ) -> Result<Usable<'_>, KmsError> {
        self.check_state(demand)?;
        let current = self.current().ok_or_else(|| self.awaits_import())?;
        Ok(Usable { key: self, current })
    }

    /// As [`Self::usable`], for `operation`, which needs a key of this usage.
    pub(super) fn usable_for(
        &self,
        allowed: &Allowed,
        usage: KeyUsage,
        operation: &str,
    ) -> Result<Usable<'_>, KmsError> {
        if self.usage != usage {
            return Err(KmsError::InvalidKeyUsage(format!(
                "{} key usage is {} which is not valid for {operation}.",
                self.arn, self.usage
            )));
        }
        self.usable(allowed)
    }

    fn awaits_import(&self) -> KmsError {
        KmsError::InvalidState(format!("{} is pending import.", self.arn))
    }
}

/// A key that policy and its own state allow to use. Only through it is there a way to the material.
#[derive(Clone, Copy)]
pub(super) struct Usable<'a> {
    key: &'a Key,
    current: &'a Arc<Material>,
}

impl<'a> Usable<'a> {
    /// The material that encrypts new data.
    pub(super) fn current(self) -> &'a Material {
        self.current
    }

    /// The material that encrypted under `version`.
    pub(super) fn material(self, version: KeyVersion) -> Option<&'a Material> {
        let mut materials = self.key.materials.iter();
        materials
            .find(|material| material.version() == version)
            .map(|material| &**material)
    }

    /// The secret of the current material.
    pub(super) fn secret(self) -> Result<&'a Secret, KmsError> {
        let secret = self.current.secret();
        secret.ok_or_else(|| self.key.awaits_import())
    }

    /// The key pair of an asymmetric key.
    pub(super) fn key_pair(self) -> Result<KeyPair, KmsError> {
        let broken = || KmsError::Internal(format!("{} has no key pair", self.key.arn));
        let kind = self.key.spec.key_pair().ok_or_else(broken)?;
        KeyPair::from_pkcs8(kind, self.secret()?.expose()).map_err(|_| broken())
    }

    pub(super) fn key(self) -> &'a Key {
        self.key
    }
}
