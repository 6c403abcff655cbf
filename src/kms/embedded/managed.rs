//! The key that kmsfs manages itself: `alias/aws/kmsfs`, made in each Region when it is first named.
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

const ALIAS: &str = "alias/aws/kmsfs";
/// Days between rotations, as with every AWS managed key.
const ROTATION_PERIOD: i32 = 365;

impl Embedded {
    /// Makes the managed key of this Region if `alias` names it and it is not there.
    pub(super) fn make_managed_key(
        &self,
        place: &Place,
        alias: &AliasName,
    ) -> Result<Option<Arc<Key>>, KmsError> {
        if alias.as_str() != ALIAS {
            return Ok(None);
        }
        let store = self.changing();
        let state = self.state.read();
        // Two may have named it at once.
        if let Some(regional) = state.region(&place.region)
            && let Some(made) = regional.aliases.get(alias)
        {
            return Ok(regional.keys.get(&made.key).cloned());
        }
        drop(state);
        let (id, now) = (KeyId::generate(false), self.now());
        let policy = canned::managed_key_policy(&place.account, place.region.as_str());
        let policy = self
            .policies
            .lock()
            .parse(DocumentKind::Key, policy)
            .expect("kmsfs' own policies are well-formed");
        let facts = MaterialFacts::new(KeyVersion::FIRST, None, now);
        let material = Material::new(id, facts, Secret::generate(KeySpec::SymmetricDefault)?);
        let sealed = material.seal(&self.root, id);
        let key = Arc::new(Key {
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
        });
        let named = Alias {
            key: id,
            created: now,
            updated: now,
        };
        let writes = vec![
            Write::Key(Arc::clone(&key)),
            Write::Material(place.region.clone(), id, sealed),
            Write::Alias(place.region.clone(), alias.clone(), named),
        ];
        let change = Change::write(self, store, writes)?;
        self.run_own("CreateKey", &key, &[], change)?;
        Ok(Some(key))
    }
}
