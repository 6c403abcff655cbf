//! The secret of a key's material, by the kind of key.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{KmsError, api::KeySpec, keypair::KeyPair};
use crate::crypto::{SecretKey, random};

/// What key material is made of. It has no `Clone` and no `Debug`, and is wiped when dropped.
pub(super) enum Secret {
    /// Of a symmetric encryption key.
    Symmetric(SecretKey),
    /// Of an HMAC key: as many bytes as the hash has, or as were imported.
    Mac(SecretBytes),
    /// Of an asymmetric key: DER-encoded PKCS #8.
    Private(SecretBytes),
}

/// Secret bytes of any length.
#[derive(ZeroizeOnDrop)]
pub(super) struct SecretBytes(Box<[u8]>);

impl SecretBytes {
    /// Takes `bytes`, which are wiped.
    pub(super) fn take_from(bytes: &mut [u8]) -> Self {
        let own = Self(Box::from(&*bytes));
        bytes.zeroize();
        own
    }

    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl Secret {
    /// A fresh secret for a key of this kind. RSA takes its time, up to seconds for 4096 bits.
    pub(super) fn generate(spec: KeySpec) -> Result<Self, KmsError> {
        if let Some(kind) = spec.key_pair() {
            let mut document = KeyPair::generate(kind)?.to_pkcs8()?;
            return Ok(Self::Private(SecretBytes::take_from(&mut document)));
        }
        let length = match spec {
            KeySpec::SymmetricDefault => return Ok(Self::Symmetric(SecretKey::generate())),
            KeySpec::Hmac224 => 28,
            KeySpec::Hmac256 => 32,
            KeySpec::Hmac384 => 48,
            KeySpec::Hmac512 => 64,
            other => {
                return Err(KmsError::Unsupported(format!(
                    "KeySpec {other} is not supported by this version of kmsfs."
                )));
            }
        };
        let mut bytes = vec![0; length];
        random::fill(&mut bytes);
        Ok(Self::Mac(SecretBytes::take_from(&mut bytes)))
    }

    /// The secret of a key of this kind that [`Self::expose`] showed as `bytes`, which are wiped.
    /// `None` if they cannot be.
    pub(super) fn take_from(spec: KeySpec, bytes: &mut [u8]) -> Option<Self> {
        if spec.is_symmetric_encryption() {
            SecretKey::take_from(bytes).map(Self::Symmetric)
        } else if spec.is_hmac() {
            Some(Self::Mac(SecretBytes::take_from(bytes)))
        } else {
            Some(Self::Private(SecretBytes::take_from(bytes)))
        }
    }

    /// The raw bytes, for the store and for what computes with them.
    pub(super) fn expose(&self) -> &[u8] {
        match self {
            Self::Symmetric(key) => key.expose(),
            Self::Mac(bytes) | Self::Private(bytes) => bytes.expose(),
        }
    }
}
