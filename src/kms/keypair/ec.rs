//! Elliptic curves over prime fields: ECDSA (FIPS 186-5) and ECDH (NIST SP 800-56A).

use aws_lc_rs::{
    agreement::{
        self, Algorithm, ECDH_P256, ECDH_P384, ECDH_P521, ParsedPublicKey, ParsedPublicKeyFormat,
    },
    encoding::{AsBigEndian, AsDer},
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1,
        ECDSA_P256K1_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING,
        ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, KeyPair as _, UnparsedPublicKey,
    },
};
use zeroize::Zeroizing;

use super::{Failed, Hash, Message, NoSuchKey};
use crate::crypto::Forged;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kms) enum Curve {
    P256,
    P384,
    P521,
    /// secp256k1.
    P256k1,
}

impl Curve {
    /// The one hash function that goes with the curve.
    pub(in crate::kms) const fn hash(self) -> Hash {
        match self {
            Self::P256 | Self::P256k1 => Hash::Sha256,
            Self::P384 => Hash::Sha384,
            Self::P521 => Hash::Sha512,
        }
    }

    fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
            Self::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
            Self::P521 => &ECDSA_P521_SHA512_ASN1_SIGNING,
            Self::P256k1 => &ECDSA_P256K1_SHA256_ASN1_SIGNING,
        }
    }

    fn verification(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_ASN1,
            Self::P384 => &ECDSA_P384_SHA384_ASN1,
            Self::P521 => &ECDSA_P521_SHA512_ASN1,
            Self::P256k1 => &ECDSA_P256K1_SHA256_ASN1,
        }
    }

    /// `None`: no secrets are agreed on over this curve.
    fn agreement(self) -> Option<&'static Algorithm> {
        match self {
            Self::P256 => Some(&ECDH_P256),
            Self::P384 => Some(&ECDH_P384),
            Self::P521 => Some(&ECDH_P521),
            Self::P256k1 => None,
        }
    }
}

/// A private key on a [`Curve`].
pub(in crate::kms) struct EcKey {
    curve: Curve,
    pair: EcdsaKeyPair,
}

impl EcKey {
    pub(super) fn generate(curve: Curve) -> Result<Self, Failed> {
        let pair = EcdsaKeyPair::generate(curve.signing())?;
        Ok(Self { curve, pair })
    }

    pub(super) fn from_pkcs8(curve: Curve, document: &[u8]) -> Result<Self, NoSuchKey> {
        let pair = EcdsaKeyPair::from_pkcs8(curve.signing(), document).map_err(|_| NoSuchKey)?;
        Ok(Self { curve, pair })
    }

    pub(super) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Failed> {
        // The library remembers whether the document that it read had the public key in it, and
        // writes accordingly; ours always has it.
        let scalar = self.pair.private_key().as_be_bytes()?;
        let public = self.pair.public_key().as_ref();
        let signing = self.curve.signing();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(signing, scalar.as_ref(), public)
            .map_err(|_| Failed)?;
        Ok(Zeroizing::new(pair.to_pkcs8v1()?.as_ref().to_vec()))
    }

    pub(super) fn public_key(&self) -> Result<Vec<u8>, Failed> {
        Ok(self.pair.public_key().as_der()?.as_ref().to_vec())
    }

    /// Signs under the curve's hash function.
    pub(in crate::kms) fn sign(&self, message: Message<'_>) -> Result<Vec<u8>, Failed> {
        let digest = message.digest(self.curve.hash()).ok_or(Failed)?;
        Ok(self.pair.sign_digest(&digest)?.as_ref().to_vec())
    }

    pub(in crate::kms) fn verify(
        &self,
        message: Message<'_>,
        signature: &[u8],
    ) -> Result<(), Forged> {
        let digest = message.digest(self.curve.hash()).ok_or(Forged)?;
        UnparsedPublicKey::new(self.curve.verification(), self.pair.public_key())
            .verify_digest(&digest, signature)
            .map_err(|_| Forged)
    }

    /// The secret agreed on with the owner of `peer`, a `SubjectPublicKeyInfo` on the same curve: the
    /// x coordinate of the common point. `Err` if `peer` is anything else.
    pub(in crate::kms) fn agree(&self, peer: &[u8]) -> Result<Zeroizing<Vec<u8>>, NoSuchKey> {
        let algorithm = self.curve.agreement().ok_or(NoSuchKey)?;
        let document = self.pair.to_pkcs8v1().map_err(|_| NoSuchKey)?;
        let private = agreement::PrivateKey::from_private_key_der(algorithm, document.as_ref())
            .map_err(|_| NoSuchKey)?;
        let peer = agreement::UnparsedPublicKey::new(algorithm, peer);
        let peer = ParsedPublicKey::try_from(peer)
            .ok()
            .filter(|peer| peer.format() == ParsedPublicKeyFormat::X509)
            .ok_or(NoSuchKey)?;
        agreement::agree(&private, peer, NoSuchKey, |secret| {
            Ok(Zeroizing::new(secret.to_vec()))
        })
    }
}
