//! Key material: the secret behind a version of a KMS key, and how the store keeps it.

use std::sync::Arc;

use hkdf::Hkdf;
use sha2::Sha256;

use super::{
    api::{KeySpec, RotationType, Timestamp},
    envelope::{self, DoesNotOpen, Purpose},
    name::KeyId,
    secret::Secret,
};
use crate::crypto::SecretKey;

/// Which of a key's materials: 1 for the first, one more with each rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct KeyVersion(pub(super) u32);

impl KeyVersion {
    pub(super) const FIRST: Self = Self(1);

    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// One version of a key. Immutable: a change puts another in its place.
pub(super) struct Material {
    facts: MaterialFacts,
    id: MaterialId,
    /// `None`: imported material that expired or was deleted, and may be imported again.
    secret: Option<Arc<Secret>>,
}

/// What is known of key material beside its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MaterialFacts {
    pub(super) version: KeyVersion,
    /// When it began to encrypt.
    pub(super) created: Timestamp,
    /// What made it; `None` for a key's first.
    pub(super) rotation: Option<RotationType>,
    /// Whether it waits for an on-demand rotation to encrypt (`PENDING_ROTATION`).
    pub(super) waiting: bool,
    /// When it expires, if it was imported to expire.
    pub(super) valid_to: Option<Timestamp>,
    /// What it is, in its importer's words.
    pub(super) description: Option<String>,
}

impl MaterialFacts {
    /// Of material that encrypts from now on.
    pub(super) fn new(version: KeyVersion, rotation: Option<RotationType>, now: Timestamp) -> Self {
        Self {
            version,
            created: now,
            rotation,
            waiting: false,
            valid_to: None,
            description: None,
        }
    }
}

/// Names material without revealing it: the same material under the same key has the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MaterialId(pub(super) [u8; 32]);

impl MaterialId {
    pub(super) fn of(key: KeyId, secret: &Secret) -> Self {
        let mut id = [0; 32];
        Hkdf::<Sha256>::new(Some(key.as_bytes()), secret.expose())
            .expand(b"kmsfs v1 key material id", &mut id)
            .expect("32 bytes are within what SHA-256 expands to");
        Self(id)
    }
}

impl std::fmt::Display for MaterialId {
    /// 64 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Material as the store has it: sealed under the root key.
pub(super) struct SealedMaterial {
    pub(super) facts: MaterialFacts,
    /// Absent where version 1 of the store kept none: it follows from the secret.
    pub(super) id: Option<MaterialId>,
    pub(super) sealed: Option<Vec<u8>>,
}

impl Material {
    pub(super) fn new(key: KeyId, facts: MaterialFacts, secret: Secret) -> Self {
        Self {
            id: MaterialId::of(key, &secret),
            facts,
            secret: Some(Arc::new(secret)),
        }
    }

    pub(super) fn facts(&self) -> &MaterialFacts {
        &self.facts
    }

    pub(super) fn version(&self) -> KeyVersion {
        self.facts.version
    }

    /// `KeyMaterialId`.
    pub(super) fn id(&self) -> MaterialId {
        self.id
    }

    /// `None`: imported material that expired or was deleted.
    pub(super) fn secret(&self) -> Option<&Secret> {
        self.secret.as_deref()
    }

    /// Whether its time is over, and it still is to be erased.
    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        self.facts.valid_to.is_some_and(|end| end <= now)
    }

    /// The same once its time is over, until it is erased.
    pub(super) fn expired(&self) -> Self {
        Self {
            facts: self.facts.clone(),
            id: self.id,
            secret: None,
        }
    }

    /// The same, from `now` on current by an on-demand rotation for which it had waited.
    pub(super) fn rotated_in(&self, now: Timestamp) -> Self {
        Self {
            facts: MaterialFacts {
                created: now,
                rotation: Some(RotationType::OnDemand),
                waiting: false,
                ..self.facts.clone()
            },
            id: self.id,
            secret: self.secret.clone(),
        }
    }

    /// The same, erased. The id stays.
    pub(super) fn without_secret(&self) -> Self {
        Self {
            facts: MaterialFacts {
                valid_to: None,
                ..self.facts.clone()
            },
            id: self.id,
            secret: None,
        }
    }

    /// The secret, if it is there and of a symmetric encryption key.
    pub(super) fn symmetric(&self) -> Option<&SecretKey> {
        match self.secret() {
            Some(Secret::Symmetric(key)) => Some(key),
            _ => None,
        }
    }

    /// For the store. Bound to the key's id and the version, so that rows cannot be exchanged.
    pub(super) fn seal(&self, root: &SecretKey, key: KeyId) -> SealedMaterial {
        let binding = binding(key, self.facts.version);
        let sealed = self.secret.as_ref().map(|secret| {
            let mut sealed = Vec::new();
            let purpose = Purpose::KEY_MATERIAL;
            envelope::seal(root, purpose, &binding, secret.expose(), &mut sealed);
            sealed
        });
        SealedMaterial {
            facts: self.facts.clone(),
            id: Some(self.id),
            sealed,
        }
    }
}

impl SealedMaterial {
    /// The material, if it was sealed for this key and version under this root key.
    pub(super) fn open(
        self,
        root: &SecretKey,
        key: KeyId,
        spec: KeySpec,
    ) -> Result<Material, DoesNotOpen> {
        let Some(sealed) = &self.sealed else {
            return Ok(Material {
                id: self.id.ok_or(DoesNotOpen)?,
                facts: self.facts,
                secret: None,
            });
        };
        let binding = binding(key, self.facts.version);
        let mut bytes = envelope::open(root, Purpose::KEY_MATERIAL, &binding, sealed)?;
        let secret = Secret::take_from(spec, &mut bytes).ok_or(DoesNotOpen)?;
        Ok(Material::new(key, self.facts, secret))
    }
}

fn binding(key: KeyId, version: KeyVersion) -> [u8; KeyId::LEN + 4] {
    let mut binding = [0; KeyId::LEN + 4];
    binding[..KeyId::LEN].copy_from_slice(key.as_bytes());
    binding[KeyId::LEN..].copy_from_slice(&version.0.to_be_bytes());
    binding
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles
        .map(|nibble| char::from_digit(nibble.into(), 16).expect("below 16"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{KeyVersion, Material, MaterialFacts, MaterialId, SealedMaterial};
    use crate::{
        crypto::SecretKey,
        kms::{
            api::{KeySpec, Timestamp},
            name::KeyId,
            secret::Secret,
        },
    };

    const SPEC: KeySpec = KeySpec::SymmetricDefault;

    fn facts(version: u32) -> MaterialFacts {
        MaterialFacts::new(KeyVersion(version), None, Timestamp::default())
    }

    #[test]
    fn sealed_material_opens_only_as_the_key_and_version_it_was_sealed_for() {
        let (root, key) = (SecretKey::generate(), KeyId::generate(false));
        let material = Material::new(key, facts(2), Secret::generate(SPEC).unwrap());
        let sealed = || material.seal(&root, key);
        let opened = sealed().open(&root, key, SPEC).ok().unwrap();
        let secret = |material: &Material| material.secret().unwrap().expose().to_vec();
        assert_eq!(secret(&opened), secret(&material));
        assert_eq!(opened.id(), material.id());

        assert!(sealed().open(&SecretKey::generate(), key, SPEC).is_err());
        assert!(sealed().open(&root, KeyId::generate(false), SPEC).is_err());
        let mut other = sealed();
        other.facts.version = KeyVersion::FIRST;
        assert!(other.open(&root, key, SPEC).is_err());
    }

    /// Golden vectors, made with Python's `cryptography` (HKDF, AESGCM) from the description.
    #[test]
    fn the_stores_format_is_the_one_of_the_golden_vectors() {
        let root = SecretKey::take_from(&mut [9; 32]).unwrap();
        let key = KeyId::from_bytes(false, [1; 16]);
        let sealed = "05050505050505050505050505050505050505050505050505050505050505053bfb6c3d\
                      400286a870e4520d8bc479306f5cc9beaf86906cde840472e954410664892fa8669706f0\
                      85c0eb05bb8617a2";
        let sealed: Vec<u8> = (0..sealed.len() / 2)
            .map(|n| u8::from_str_radix(&sealed[2 * n..2 * n + 2], 16).unwrap())
            .collect();
        let sealed = SealedMaterial {
            facts: facts(2),
            id: None,
            sealed: Some(sealed),
        };
        let material = sealed.open(&root, key, SPEC).ok().unwrap();
        assert_eq!(material.secret().unwrap().expose(), &[7; 32]);
        let id = "a511473c37a17a1e6fc7bc9c1aa7d2bd4663bae7d93abb87b4a79448bc1d0158";
        assert_eq!(material.id().to_string(), id);
    }

    #[test]
    fn a_material_id_is_64_hex_digits_and_tells_keys_apart() {
        let secret = Secret::take_from(SPEC, &mut [7; 32]).unwrap();
        let of = |key: u8| MaterialId::of(KeyId::from_bytes(false, [key; 16]), &secret).to_string();
        assert_eq!(of(1).len(), 64);
        assert!(
            of(1)
                .bytes()
                .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
        );
        assert_ne!(of(1), of(2));
        assert_eq!(of(1), of(1));
    }
}
