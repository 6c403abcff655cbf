//! RSA (RFC 8017): PSS and PKCS1-v1_5 signatures, OAEP encryption.

use aws_lc_rs::{
    encoding::AsDer,
    rsa::{
        KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm,
        OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
        PublicEncryptingKey,
    },
    signature::{
        KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
        RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
        RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
        RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, RsaParameters,
        UnparsedPublicKey,
    },
};
use zeroize::Zeroizing;

use super::{Failed, Hash, Message, NoSuchKey};
use crate::crypto::Forged;

/// Bits of the modulus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kms) enum Bits {
    B2048,
    B3072,
    B4096,
}

impl Bits {
    /// Bytes of the modulus, and so of a signature or ciphertext.
    pub(in crate::kms) const fn bytes(self) -> usize {
        match self {
            Self::B2048 => 256,
            Self::B3072 => 384,
            Self::B4096 => 512,
        }
    }

    const fn size(self) -> KeySize {
        match self {
            Self::B2048 => KeySize::Rsa2048,
            Self::B3072 => KeySize::Rsa3072,
            Self::B4096 => KeySize::Rsa4096,
        }
    }
}

/// How a digest becomes a number to sign. The salt of PSS is as long as the digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kms) enum Padding {
    Pss,
    Pkcs1,
}

/// RSAES-OAEP with this hash function, in MGF1 too, and no label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kms) enum Oaep {
    Sha1,
    Sha256,
}

impl Oaep {
    fn algorithm(self) -> &'static OaepAlgorithm {
        match self {
            Self::Sha1 => &OAEP_SHA1_MGF1SHA1,
            Self::Sha256 => &OAEP_SHA256_MGF1SHA256,
        }
    }

    /// The longest plaintext under a key of `bits` (RFC 8017, section 7.1.1).
    pub(in crate::kms) const fn max_plaintext(self, bits: Bits) -> usize {
        let digest = match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        };
        bits.bytes() - 2 * digest - 2
    }
}

/// An RSA private key.
pub(in crate::kms) struct RsaKey(RsaKeyPair);

impl RsaKey {
    pub(super) fn generate(bits: Bits) -> Result<Self, Failed> {
        Ok(Self(RsaKeyPair::generate(bits.size())?))
    }

    pub(super) fn from_pkcs8(bits: Bits, document: &[u8]) -> Result<Self, NoSuchKey> {
        let pair = RsaKeyPair::from_pkcs8(document).map_err(|_| NoSuchKey)?;
        if pair.public_modulus_len() != bits.bytes() {
            return Err(NoSuchKey);
        }
        Ok(Self(pair))
    }

    pub(super) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Failed> {
        Ok(Zeroizing::new(self.0.as_der()?.as_ref().to_vec()))
    }

    pub(super) fn public_key(&self) -> Result<Vec<u8>, Failed> {
        Ok(self.0.public_key().as_der()?.as_ref().to_vec())
    }

    /// Bytes of the modulus.
    pub(in crate::kms) fn bytes(&self) -> usize {
        self.0.public_modulus_len()
    }

    pub(in crate::kms) fn sign(
        &self,
        padding: Padding,
        hash: Hash,
        message: Message<'_>,
    ) -> Result<Vec<u8>, Failed> {
        let digest = message.digest(hash).ok_or(Failed)?;
        let mut signature = vec![0; self.bytes()];
        self.0
            .sign_digest(encoding(padding, hash), &digest, &mut signature)?;
        Ok(signature)
    }

    pub(in crate::kms) fn verify(
        &self,
        padding: Padding,
        hash: Hash,
        message: Message<'_>,
        signature: &[u8],
    ) -> Result<(), Forged> {
        let digest = message.digest(hash).ok_or(Forged)?;
        UnparsedPublicKey::new(parameters(padding, hash), self.0.public_key())
            .verify_digest(&digest, signature)
            .map_err(|_| Forged)
    }

    /// Encrypts at most [`Oaep::max_plaintext`] bytes under the public key.
    pub(in crate::kms) fn encrypt(&self, oaep: Oaep, plaintext: &[u8]) -> Result<Vec<u8>, Failed> {
        let public = self.public_key()?;
        let public = PublicEncryptingKey::from_der(&public).map_err(|_| Failed)?;
        let public = OaepPublicEncryptingKey::new(public)?;
        let mut ciphertext = vec![0; public.ciphertext_size()];
        public.encrypt(oaep.algorithm(), plaintext, &mut ciphertext, None)?;
        Ok(ciphertext)
    }

    /// The plaintext of `ciphertext`.
    pub(in crate::kms) fn decrypt(
        &self,
        oaep: Oaep,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Forged> {
        let document = self.to_pkcs8().map_err(|_| Forged)?;
        let key = PrivateDecryptingKey::from_pkcs8(&document).map_err(|_| Forged)?;
        let key = OaepPrivateDecryptingKey::new(key).map_err(|_| Forged)?;
        let mut plaintext = Zeroizing::new(vec![0; key.min_output_size()]);
        let length = key
            .decrypt(oaep.algorithm(), ciphertext, &mut plaintext, None)
            .map_err(|_| Forged)?
            .len();
        plaintext.truncate(length);
        Ok(plaintext)
    }
}

fn encoding(padding: Padding, hash: Hash) -> &'static dyn RsaEncoding {
    match (padding, hash) {
        (Padding::Pss, Hash::Sha256) => &RSA_PSS_SHA256,
        (Padding::Pss, Hash::Sha384) => &RSA_PSS_SHA384,
        (Padding::Pss, Hash::Sha512) => &RSA_PSS_SHA512,
        (Padding::Pkcs1, Hash::Sha256) => &RSA_PKCS1_SHA256,
        (Padding::Pkcs1, Hash::Sha384) => &RSA_PKCS1_SHA384,
        (Padding::Pkcs1, Hash::Sha512) => &RSA_PKCS1_SHA512,
    }
}

fn parameters(padding: Padding, hash: Hash) -> &'static RsaParameters {
    match (padding, hash) {
        (Padding::Pss, Hash::Sha256) => &RSA_PSS_2048_8192_SHA256,
        (Padding::Pss, Hash::Sha384) => &RSA_PSS_2048_8192_SHA384,
        (Padding::Pss, Hash::Sha512) => &RSA_PSS_2048_8192_SHA512,
        (Padding::Pkcs1, Hash::Sha256) => &RSA_PKCS1_2048_8192_SHA256,
        (Padding::Pkcs1, Hash::Sha384) => &RSA_PKCS1_2048_8192_SHA384,
        (Padding::Pkcs1, Hash::Sha512) => &RSA_PKCS1_2048_8192_SHA512,
    }
}
