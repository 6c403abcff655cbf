//! Key material: the secret behind a version of a KMS key, and how the store keeps it.

use hkdf::Hkdf;
use sha2::Sha256;

use super::{
    api::{RotationType, Timestamp},
    envelope::{self, DoesNotOpen, Purpose},
    name::KeyId,
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

/// One version of a key. Immutable: a rotation adds another.
pub(super) struct Material {
    version: KeyVersion,
    created: Timestamp,
    rotation: Option<RotationType>,
    id: String,
    secret: SecretKey,
}

/// Material as the store has it: sealed under the root key.
pub(super) struct SealedMaterial {
    pub(super) version: KeyVersion,
    pub(super) created: Timestamp,
    pub(super) rotation: Option<RotationType>,
    pub(super) sealed: Vec<u8>,
}

impl Material {
    /// New material for `key`. `rotation` tells what made it, `None` the key's creation.
    pub(super) fn generate(
        key: KeyId,
        version: KeyVersion,
        rotation: Option<RotationType>,
    ) -> Self {
        Self::new(
            key,
            version,
            Timestamp::now(),
            rotation,
            SecretKey::generate(),
        )
    }

    pub(super) fn new(
        key: KeyId,
        version: KeyVersion,
        created: Timestamp,
        rotation: Option<RotationType>,
        secret: SecretKey,
    ) -> Self {
        let id = material_id(key, &secret);
        Self {
            version,
            created,
            rotation,
            id,
            secret,
        }
    }

    pub(super) fn version(&self) -> KeyVersion {
        self.version
    }

    pub(super) fn created(&self) -> Timestamp {
        self.created
    }

    pub(super) fn rotation(&self) -> Option<RotationType> {
        self.rotation
    }

    /// `KeyMaterialId`: 64 hex digits.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// For the store. Bound to the key's id and the version, so that rows cannot be exchanged.
    pub(super) fn seal(&self, root: &SecretKey, key: KeyId) -> SealedMaterial {
        let mut sealed = Vec::new();
        let binding = binding(key, self.version);
        envelope::seal(
            root,
            Purpose::KEY_MATERIAL,
            &binding,
            self.secret.expose(),
            &mut sealed,
        );
        SealedMaterial {
            version: self.version,
            created: self.created,
            rotation: self.rotation,
            sealed,
        }
    }
}

impl SealedMaterial {
    /// The material, if it was sealed for this key and version under this root key.
    pub(super) fn open(&self, root: &SecretKey, key: KeyId) -> Result<Material, DoesNotOpen> {
        let binding = binding(key, self.version);
        let mut bytes = envelope::open(root, Purpose::KEY_MATERIAL, &binding, &self.sealed)?;
        let secret = SecretKey::take_from(&mut bytes).ok_or(DoesNotOpen)?;
        Ok(Material::new(
            key,
            self.version,
            self.created,
            self.rotation,
            secret,
        ))
    }
}

fn binding(key: KeyId, version: KeyVersion) -> [u8; KeyId::LEN + 4] {
    let mut binding = [0; KeyId::LEN + 4];
    binding[..KeyId::LEN].copy_from_slice(key.as_bytes());
    binding[KeyId::LEN..].copy_from_slice(&version.0.to_be_bytes());
    binding
}

/// Names material without revealing it: the same material under the same key has the same id.
fn material_id(key: KeyId, secret: &SecretKey) -> String {
    let mut id = [0; 32];
    Hkdf::<Sha256>::new(Some(key.as_bytes()), secret.expose())
        .expand(b"kmsfs v1 key material id", &mut id)
        .expect("32 bytes are within what SHA-256 expands to");
    hex(&id)
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
    use super::{KeyVersion, Material, SealedMaterial};
    use crate::{
        crypto::SecretKey,
        kms::{api::Timestamp, name::KeyId},
    };

    #[test]
    fn sealed_material_opens_only_as_the_key_and_version_it_was_sealed_for() {
        let (root, key) = (SecretKey::generate(), KeyId::generate());
        let material = Material::generate(key, KeyVersion(2), None);
        let mut sealed = material.seal(&root, key);
        let opened = sealed.open(&root, key).ok().unwrap();
        assert_eq!(opened.secret().expose(), material.secret().expose());
        assert_eq!(opened.id(), material.id());

        assert!(sealed.open(&SecretKey::generate(), key).is_err());
        assert!(sealed.open(&root, KeyId::generate()).is_err());
        sealed.version = KeyVersion::FIRST;
        assert!(sealed.open(&root, key).is_err());
    }

    /// Golden vectors, made with Python's `cryptography` (HKDF, AESGCM) from the description.
    #[test]
    fn the_stores_format_is_the_one_of_the_golden_vectors() {
        let root = SecretKey::take_from(&mut [9; 32]).unwrap();
        let key = KeyId::from_bytes([1; 16]);
        let sealed = "05050505050505050505050505050505050505050505050505050505050505053bfb6c3d\
                      400286a870e4520d8bc479306f5cc9beaf86906cde840472e954410664892fa8669706f0\
                      85c0eb05bb8617a2";
        let sealed: Vec<u8> = (0..sealed.len() / 2)
            .map(|n| u8::from_str_radix(&sealed[2 * n..2 * n + 2], 16).unwrap())
            .collect();
        let version = KeyVersion(2);
        let sealed = SealedMaterial {
            version,
            created: Timestamp::default(),
            rotation: None,
            sealed,
        };
        let material = sealed.open(&root, key).ok().unwrap();
        assert_eq!(material.secret().expose(), &[7; 32]);
        let id = "a511473c37a17a1e6fc7bc9c1aa7d2bd4663bae7d93abb87b4a79448bc1d0158";
        assert_eq!(material.id(), id);
    }

    #[test]
    fn a_material_id_is_64_hex_digits_and_tells_keys_apart() {
        let mut bytes = [7; 32];
        let secret = SecretKey::take_from(&mut bytes).unwrap();
        let one = super::material_id(KeyId::from_bytes([1; 16]), &secret);
        let other = super::material_id(KeyId::from_bytes([2; 16]), &secret);
        assert_eq!(one.len(), 64);
        assert!(
            one.bytes()
                .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
        );
        assert_ne!(one, other);
        assert_eq!(one, super::material_id(KeyId::from_bytes([1; 16]), &secret));
    }
}
