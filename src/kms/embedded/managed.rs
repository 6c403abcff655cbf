//! The key that kmsfs manages itself: `alias/aws/kmsfs`, made in each Region when it is first used.
//!
//! Its policy lets the account look at it and use it through kmsfs, and nobody change it.

use std::sync::Arc;

use super::{Change, Embedded};
use crate::{
    kms::{
        KmsError,
        api::{KeyManager, KeySpec, KeyState, KeyUsage, Origin},
        key::{Key, RotationSchedule},
        material::{KeyVersion, Material, MaterialFacts},
        name::{AliasName, KeyId, Place},
        secret::Secret,
        state::{Alias, Write},
    },
    policy::{DocumentKind, canned},
};

/// Its alias, the only one it ever has.
pub(super) const ALIAS: &str = "alias/aws/kmsfs";
/// Days between rotations, as with every AWS managed key.
const ROTATION_PERIOD: i32 = 365;

impl Embedded {
    /// The managed key of this Region if `alias` names it. Where there is none yet it is made in
    /// memory; [`Self::keep_managed_key`] makes it for good, as soon as a call of it is allowed: one
    /// that is refused changes nothing.
    pub(super) fn managed_key(
        &self,
        place: &Place,
        alias: &AliasName,
    ) -> Result<Option<Arc<Key>>, KmsError> {
        if alias.as_str() != ALIAS {
            return Ok(None);
        }
        // All who name it get the same one, also while it is being written.
        let mut unmade = self.unmade.lock();
        let state = self.state.read();
        if let Some(regional) = state.region(&place.region)
            && let Some(made) = regional.aliases.get(alias)
        {
            return Ok(regional.keys.get(&made.key).cloned());
        }
        drop(state);
        if let Some(key) = unmade.get(&place.region) {
            return Ok(Some(Arc::clone(key)));
        }
        let key = self.new_managed_key(place)?;
        unmade.insert(place.region.clone(), Arc::clone(&key));
        Ok(Some(key))
    }

    /// Writes a managed key that a call has just been allowed to use, if that is still to be done.
    pub(super) fn keep_managed_key(&self, key: &Key) -> Result<(), KmsError> {
        let is_kept = || self.state.read().key(&key.region, key.id).is_some();
        if key.manager != KeyManager::Aws || is_kept() {
            return Ok(());
        }
        let store = self.changing();
        // Two may have been allowed at once.
        if is_kept() {
            return Ok(());
        }
        let mut writes = vec![Write::Key(Arc::new(key.clone()))];
        writes.extend(key.materials.iter().map(|material| {
            let sealed = material.seal(&self.root, key.id);
            Write::Material(key.region.clone(), key.id, sealed)
        }));
        let named = Alias {
            key: key.id,
            created: key.created,
            updated: key.created,
        };
        let alias = AliasName::known(ALIAS);
        writes.push(Write::Alias(key.region.clone(), alias, named));
        let change = Change::write(self, store, writes)?;
        self.run_own("CreateKey", key, &[], change)?;
        self.unmade.lock().remove(&key.region);
        Ok(())
    }

    fn new_managed_key(&self, place: &Place) -> Result<Arc<Key>, KmsError> {
        let (id, now) = (KeyId::generate(false), self.now());
        let policy = canned::managed_key_policy(&place.account, place.region.as_str());
        let policy = self
            .policies
            .lock()
            .parse(DocumentKind::Key, policy)
            .expect("kmsfs' own policies are well-formed");
        let facts = MaterialFacts::new(KeyVersion::FIRST, None, now);
        let material = Material::new(id, facts, Secret::generate(KeySpec::SymmetricDefault)?);
        Ok(Arc::new(Key {
            id,
            region: place.region.clone(),
            arn: place.key_arn(id),
            spec: KeySpec::SymmetricDefault,
            usage: KeyUsage::EncryptDecrypt,
            origin: Origin::AwsKms,
            manager: KeyManager::Aws,
            created: now,
            state: KeyState::Enabled,
            description: "Default key that protects my kmsfs volumes when no other key is defined"
                .to_owned(),
            tags: Arc::default(),
            policy,
            primary: None,
            deletion: None,
            rotation: Some(RotationSchedule {
                period_days: ROTATION_PERIOD,
                next: now.plus_days(ROTATION_PERIOD),
            }),
            last_use: Arc::default(),
            materials: vec![Arc::new(material)],
        }))
    }
}
