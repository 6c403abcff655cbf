//! Ed25519 and Ed25519ph (RFC 8032).
//!
//! aws-lc-rs has no Ed25519ph, so that alone is done by ed25519-dalek.

use aws_lc_rs::{
    encoding::{AsBigEndian, AsDer},
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use super::{Failed, NoSuchKey};
use crate::crypto::Forged;

/// An Ed25519 private key.
pub(in crate::kms) struct Ed25519Key(Ed25519KeyPair);

impl Ed25519Key {
    pub(super) fn generate() -> Result<Self, Failed> {
        Ok(Self(Ed25519KeyPair::generate()?))
    }

    /// With the public key inside the document (RFC 5958, version 2) or without.
    pub(super) fn from_pkcs8(document: &[u8]) -> Result<Self, NoSuchKey> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document);
        pair.map(Self).map_err(|_| NoSuchKey)
    }

    pub(super) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Failed> {
        Ok(Zeroizing::new(self.0.to_pkcs8v1()?.as_ref().to_vec()))
    }

    pub(super) fn public_key(&self) -> Result<Vec<u8>, Failed> {
        Ok(self.0.public_key().as_der()?.as_ref().to_vec())
    }

    /// Ed25519 over the message itself.
    pub(in crate::kms) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failed> {
        Ok(self.0.try_sign(message)?.as_ref().to_vec())
    }

    pub(in crate::kms) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Forged> {
        UnparsedPublicKey::new(&ED25519, self.0.public_key())
            .verify(message, signature)
            .map_err(|_| Forged)
    }

    /// Ed25519ph without a context. The signature begins by hashing `message` with SHA-512.
    pub(in crate::kms) fn sign_prehashed(&self, message: &[u8]) -> Result<Vec<u8>, Failed> {
        let seed = self.0.seed()?;
        let seed = seed.as_be_bytes()?;
        let mut own = Zeroizing::new([0; 32]);
        own.copy_from_slice(seed.as_ref());
        let signature =
            SigningKey::from_bytes(&own).sign_prehashed(Sha512::new_with_prefix(message), None);
        Ok(signature.map_err(|_| Failed)?.to_bytes().to_vec())
    }

    pub(in crate::kms) fn verify_prehashed(
        &self,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Forged> {
        let public: &[u8; 32] = self
            .0
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| Forged)?;
        let public = VerifyingKey::from_bytes(public).map_err(|_| Forged)?;
        let signature = Signature::from_slice(signature).map_err(|_| Forged)?;
        public
            .verify_prehashed_strict(Sha512::new_with_prefix(message), None, &signature)
            .map_err(|_| Forged)
    }
}
