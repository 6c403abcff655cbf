//! Asymmetric key pairs: the private keys behind KMS keys and data key pairs, and what they do.
//!
//! Pure: no store, no policy, no clock. A private key has one serial form everywhere, PKCS #8
//! (RFC 5958): sealed in the store, given out as a data key pair, taken in as imported material. The
//! lattice keys are in it as their seeds, the form of the drafts that AWS KMS follows. A public key is
//! a `SubjectPublicKeyInfo` (RFC 5280), a signature has the form that its standard gives it on the
//! wire (ECDSA: the DER of RFC 3279).

mod digest;
mod ec;
mod ed25519;
mod ml_dsa;
mod ml_kem;
mod rsa;
#[cfg(test)]
mod tests;

use zeroize::Zeroizing;

pub(super) use self::{
    digest::{Hash, Message},
    ec::{Curve, EcKey},
    ml_dsa::{Mu, Parameters as MlDsa},
    ml_kem::{MlKemKey, Parameters as MlKem},
    rsa::{Bits, Oaep, Padding, RsaKey},
};
use self::{ed25519::Ed25519Key, ml_dsa::MlDsaKey};
use super::KmsError;

/// What kind of key pair it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rsa(Bits),
    Ec(Curve),
    Ed25519,
    MlDsa(MlDsa),
    MlKem(MlKem),
}

/// A private key, which knows its public key.
pub(super) enum KeyPair {
    Rsa(RsaKey),
    Ec(EcKey),
    Ed25519(Ed25519Key),
    MlDsa(MlDsaKey),
    MlKem(MlKemKey),
}

/// Bytes that are no private key of the kind asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoSuchKey;

/// The cryptographic library failed at what cannot fail with a valid key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed;

impl From<aws_lc_rs::error::Unspecified> for Failed {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self
    }
}

impl From<Failed> for KmsError {
    fn from(_: Failed) -> Self {
        Self::Internal("the cryptographic library failed".to_owned())
    }
}

impl KeyPair {
    /// A fresh key pair. RSA takes its time: up to seconds for 4096 bits.
    pub(super) fn generate(kind: Kind) -> Result<Self, Failed> {
        Ok(match kind {
            Kind::Rsa(bits) => Self::Rsa(RsaKey::generate(bits)?),
            Kind::Ec(curve) => Self::Ec(EcKey::generate(curve)?),
            Kind::Ed25519 => Self::Ed25519(Ed25519Key::generate()?),
            Kind::MlDsa(parameters) => Self::MlDsa(MlDsaKey::generate(parameters)?),
            Kind::MlKem(parameters) => Self::MlKem(MlKemKey::generate(parameters)),
        })
    }

    /// Reads PKCS #8, our own or somebody else's. Refuses a key of another kind.
    pub(super) fn from_pkcs8(kind: Kind, document: &[u8]) -> Result<Self, NoSuchKey> {
        Ok(match kind {
            Kind::Rsa(bits) => Self::Rsa(RsaKey::from_pkcs8(bits, document)?),
            Kind::Ec(curve) => Self::Ec(EcKey::from_pkcs8(curve, document)?),
            Kind::Ed25519 => Self::Ed25519(Ed25519Key::from_pkcs8(document)?),
            Kind::MlDsa(parameters) => Self::MlDsa(MlDsaKey::from_pkcs8(parameters, document)?),
            Kind::MlKem(parameters) => Self::MlKem(MlKemKey::from_pkcs8(parameters, document)?),
        })
    }

    /// The private key as PKCS #8. The same key always gives the same document, whatever document it
    /// was read from.
    pub(super) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Failed> {
        match self {
            Self::Rsa(key) => key.to_pkcs8(),
            Self::Ec(key) => key.to_pkcs8(),
            Self::Ed25519(key) => key.to_pkcs8(),
            Self::MlDsa(key) => key.to_pkcs8(),
            Self::MlKem(key) => key.to_pkcs8(),
        }
    }

    /// The public key as DER-encoded `SubjectPublicKeyInfo`.
    pub(super) fn public_key(&self) -> Result<Vec<u8>, Failed> {
        match self {
            Self::Rsa(key) => key.public_key(),
            Self::Ec(key) => key.public_key(),
            Self::Ed25519(key) => key.public_key(),
            Self::MlDsa(key) => key.public_key(),
            Self::MlKem(key) => key.public_key(),
        }
    }
}
