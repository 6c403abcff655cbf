//! ML-DSA (FIPS 204), without a context string.
//!
//! aws-lc-rs signs messages but not a µ that was computed elsewhere, so that alone is done by the
//! `ml-dsa` crate, from the same seed.

use aws_lc_rs::{
    encoding::AsDer,
    signature::{
        KeyPair as _, ML_DSA_44, ML_DSA_44_SIGNING, ML_DSA_65, ML_DSA_65_SIGNING, ML_DSA_87,
        ML_DSA_87_SIGNING, PqdsaKeyPair, PqdsaSigningAlgorithm, PqdsaVerificationAlgorithm,
        UnparsedPublicKey,
    },
};
use ml_dsa::{
    MlDsa44, MlDsa65, MlDsa87, MlDsaParams, Signature, SigningKey,
    pkcs8::{DecodePrivateKey, PrivateKeyInfoRef},
    signature::Keypair as _,
};
use zeroize::Zeroizing;

use super::{Failed, NoSuchKey};
use crate::crypto::{Forged, random::SystemRng};

/// A parameter set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kms) enum Parameters {
    MlDsa44,
    MlDsa65,
    MlDsa87,
}

impl Parameters {
    fn signing(self) -> &'static PqdsaSigningAlgorithm {
        match self {
            Self::MlDsa44 => &ML_DSA_44_SIGNING,
            Self::MlDsa65 => &ML_DSA_65_SIGNING,
            Self::MlDsa87 => &ML_DSA_87_SIGNING,
        }
    }

    fn verification(self) -> &'static PqdsaVerificationAlgorithm {
        match self {
            Self::MlDsa44 => &ML_DSA_44,
            Self::MlDsa65 => &ML_DSA_65,
            Self::MlDsa87 => &ML_DSA_87,
        }
    }
}

/// The message representative µ: the hash of the public key's hash and the message (FIPS 204,
/// section 6.2).
pub(in crate::kms) type Mu = [u8; 64];

/// An ML-DSA private key, as the seed it grows from.
pub(in crate::kms) struct MlDsaKey {
    parameters: Parameters,
    pair: PqdsaKeyPair,
}

impl MlDsaKey {
    pub(super) fn generate(parameters: Parameters) -> Result<Self, Failed> {
        let pair = PqdsaKeyPair::generate(parameters.signing())?;
        Ok(Self { parameters, pair })
    }

    /// The document has to hold the seed; the expanded key alone cannot be written again.
    pub(super) fn from_pkcs8(parameters: Parameters, document: &[u8]) -> Result<Self, NoSuchKey> {
        let pair =
            PqdsaKeyPair::from_pkcs8(parameters.signing(), document).map_err(|_| NoSuchKey)?;
        pair.to_pkcs8v1().map_err(|_| NoSuchKey)?;
        Ok(Self { parameters, pair })
    }

    pub(super) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Failed> {
        Ok(Zeroizing::new(self.pair.to_pkcs8v1()?.as_ref().to_vec()))
    }

    pub(super) fn public_key(&self) -> Result<Vec<u8>, Failed> {
        Ok(self.pair.public_key().as_der()?.as_ref().to_vec())
    }

    pub(in crate::kms) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failed> {
        let mut signature = vec![0; self.parameters.signing().signature_len()];
        self.pair.sign(message, &mut signature)?;
        Ok(signature)
    }

    pub(in crate::kms) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Forged> {
        UnparsedPublicKey::new(self.parameters.verification(), self.pair.public_key())
            .verify(message, signature)
            .map_err(|_| Forged)
    }

    /// Signs the message that `mu` stands for. The signature is the one of the message: who verifies
    /// it need not know which way it was made.
    pub(in crate::kms) fn sign_mu(&self, mu: &Mu) -> Result<Vec<u8>, Failed> {
        match self.parameters {
            Parameters::MlDsa44 => sign_mu::<MlDsa44>(&self.pair, mu),
            Parameters::MlDsa65 => sign_mu::<MlDsa65>(&self.pair, mu),
            Parameters::MlDsa87 => sign_mu::<MlDsa87>(&self.pair, mu),
        }
    }

    pub(in crate::kms) fn verify_mu(&self, mu: &Mu, signature: &[u8]) -> Result<(), Forged> {
        let valid = match self.parameters {
            Parameters::MlDsa44 => verify_mu::<MlDsa44>(&self.pair, mu, signature),
            Parameters::MlDsa65 => verify_mu::<MlDsa65>(&self.pair, mu, signature),
            Parameters::MlDsa87 => verify_mu::<MlDsa87>(&self.pair, mu, signature),
        };
        if valid == Some(true) {
            Ok(())
        } else {
            Err(Forged)
        }
    }
}

fn other_library<P>(pair: &PqdsaKeyPair) -> Option<SigningKey<P>>
where
    P: MlDsaParams,
    SigningKey<P>: for<'a> TryFrom<PrivateKeyInfoRef<'a>, Error = ml_dsa::pkcs8::Error>,
{
    SigningKey::from_pkcs8_der(pair.to_pkcs8v1().ok()?.as_ref()).ok()
}

fn sign_mu<P>(pair: &PqdsaKeyPair, mu: &Mu) -> Result<Vec<u8>, Failed>
where
    P: MlDsaParams,
    SigningKey<P>: for<'a> TryFrom<PrivateKeyInfoRef<'a>, Error = ml_dsa::pkcs8::Error>,
{
    let key = other_library::<P>(pair).ok_or(Failed)?;
    // Fresh randomness for each signature, the standard's default, keeps faults and side channels
    // of one signature from adding up with those of another.
    let signature = key
        .expanded_key()
        .sign_mu_randomized(mu.into(), &mut SystemRng)
        .map_err(|_| Failed)?;
    Ok(signature.encode().to_vec())
}

fn verify_mu<P>(pair: &PqdsaKeyPair, mu: &Mu, signature: &[u8]) -> Option<bool>
where
    P: MlDsaParams,
    SigningKey<P>: for<'a> TryFrom<PrivateKeyInfoRef<'a>, Error = ml_dsa::pkcs8::Error>,
{
    let signature = Signature::<P>::try_from(signature).ok()?;
    let key = other_library::<P>(pair)?;
    Some(key.verifying_key().verify_mu(mu.into(), &signature))
}
