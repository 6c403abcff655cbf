//! ML-KEM (FIPS 203).
//!
//! By the `ml-kem` crate: aws-lc-rs neither takes nor gives the seed, which is the form that private
//! keys have in PKCS #8.

use ml_kem::{
    DecapsulationKey, MlKem512, MlKem768, MlKem1024, Seed,
    kem::{Decapsulate as _, Encapsulate as _},
    pkcs8::{AssociatedOid, DecodePrivateKey, EncodePrivateKey as _, EncodePublicKey as _},
};
use pkcs8::{
    PrivateKeyInfoRef,
    der::{Decode as _, Reader as _, SliceReader, asn1::OctetStringRef},
};
use zeroize::Zeroizing;

use super::{Failed, NoSuchKey};
use crate::crypto::random::{self, SystemRng};

/// A parameter set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kms) enum Parameters {
    MlKem512,
    MlKem768,
    MlKem1024,
}

/// An ML-KEM private key.
pub(in crate::kms) enum MlKemKey {
    MlKem512(Box<DecapsulationKey<MlKem512>>),
    MlKem768(Box<DecapsulationKey<MlKem768>>),
    MlKem1024(Box<DecapsulationKey<MlKem1024>>),
}

/// The same for each parameter set.
macro_rules! with_key {
    ($self:expr, $key:ident => $do:expr) => {
        match $self {
            Self::MlKem512($key) => $do,
            Self::MlKem768($key) => $do,
            Self::MlKem1024($key) => $do,
        }
    };
}

impl MlKemKey {
    pub(super) fn generate(parameters: Parameters) -> Self {
        let mut seed = Zeroizing::new([0; 64]);
        random::fill(&mut seed[..]);
        Self::from_seed(parameters, &seed)
    }

    pub(super) fn from_seed(parameters: Parameters, seed: &[u8; 64]) -> Self {
        let seed = Zeroizing::new(Seed::from(*seed));
        match parameters {
            Parameters::MlKem512 => Self::MlKem512(Box::new(DecapsulationKey::from_seed(*seed))),
            Parameters::MlKem768 => Self::MlKem768(Box::new(DecapsulationKey::from_seed(*seed))),
            Parameters::MlKem1024 => Self::MlKem1024(Box::new(DecapsulationKey::from_seed(*seed))),
        }
    }

    pub(super) fn from_pkcs8(parameters: Parameters, document: &[u8]) -> Result<Self, NoSuchKey> {
        Ok(match parameters {
            Parameters::MlKem512 => Self::MlKem512(Box::new(read::<MlKem512, _>(document)?)),
            Parameters::MlKem768 => Self::MlKem768(Box::new(read::<MlKem768, _>(document)?)),
            Parameters::MlKem1024 => Self::MlKem1024(Box::new(read::<MlKem1024, _>(document)?)),
        })
    }

    pub(super) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Failed> {
        let document = with_key!(self, key => key.to_pkcs8_der()).map_err(|_| Failed)?;
        Ok(document.to_bytes())
    }

    pub(super) fn public_key(&self) -> Result<Vec<u8>, Failed> {
        let document = with_key!(self, key => key.encapsulation_key().to_public_key_der());
        Ok(document.map_err(|_| Failed)?.into_vec())
    }

    /// A fresh secret, and its encapsulation under the public key.
    pub(in crate::kms) fn encapsulate(&self) -> (Vec<u8>, Zeroizing<Vec<u8>>) {
        with_key!(self, key => {
            let (ciphertext, secret) = key.encapsulation_key().encapsulate_with_rng(&mut SystemRng);
            (ciphertext.to_vec(), Zeroizing::new(secret.to_vec()))
        })
    }

    /// The secret in `ciphertext`; a pseudo-random one if it was made under another key or altered
    /// (implicit rejection, FIPS 203, section 6.3). `None` only if its length is wrong.
    pub(in crate::kms) fn decapsulate(&self, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        with_key!(self, key => {
            let secret = key.decapsulate_slice(ciphertext).ok()?;
            Some(Zeroizing::new(secret.to_vec()))
        })
    }
}

/// Reads the seed, or seed and expanded key, which is what OpenSSL writes unless told otherwise.
#[expect(
    deprecated,
    reason = "the expanded key of the document is only compared, not used"
)]
fn read<P, K>(document: &[u8]) -> Result<K, NoSuchKey>
where
    P: AssociatedOid,
    K: DecodePrivateKey + From<Seed> + ml_kem::ExpandedKeyEncoding,
{
    if let Ok(key) = K::from_pkcs8_der(document) {
        return Ok(key);
    }
    let info = PrivateKeyInfoRef::from_der(document).map_err(|_| NoSuchKey)?;
    if info.algorithm.oid != P::OID || info.algorithm.parameters.is_some() {
        return Err(NoSuchKey);
    }
    let mut reader = SliceReader::new(info.private_key.as_bytes()).map_err(|_| NoSuchKey)?;
    let both = reader.sequence(|reader| {
        let seed = <&OctetStringRef>::decode(reader)?;
        let expanded = <&OctetStringRef>::decode(reader)?;
        pkcs8::der::Result::Ok((seed, expanded))
    });
    let (seed, expanded) = both.map_err(|_| NoSuchKey)?;
    reader.finish().map_err(|_| NoSuchKey)?;
    let seed: [u8; 64] = seed.as_bytes().try_into().map_err(|_| NoSuchKey)?;
    let key = K::from(Seed::from(*Zeroizing::new(seed)));
    if key.to_expanded_bytes().as_slice() == expanded.as_bytes() {
        Ok(key)
    } else {
        Err(NoSuchKey)
    }
}
