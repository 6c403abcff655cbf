//! What each kind of key is good for.
//!
//! Source: <https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html>.

use super::{
    api::{
        DataKeyPairSpec, EncapsulationAlgorithm, EncryptionAlgorithm, KeyAgreementAlgorithm,
        KeySpec, KeyUsage, MacAlgorithm, SigningAlgorithm,
    },
    keypair::{Bits, Curve, Kind, MlDsa, MlKem},
};

impl KeySpec {
    /// The usages that a key of this kind may be made for.
    pub(super) fn usages(self) -> &'static [KeyUsage] {
        use KeyUsage::{
            EncapsulateDecapsulate, EncryptDecrypt, GenerateVerifyMac, KeyAgreement, SignVerify,
        };
        match self {
            Self::SymmetricDefault => &[EncryptDecrypt],
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[EncryptDecrypt, SignVerify],
            Self::EccNistP256 | Self::EccNistP384 | Self::EccNistP521 => {
                &[SignVerify, KeyAgreement]
            }
            Self::EccSecgP256k1
            | Self::EccNistEdwards25519
            | Self::MlDsa44
            | Self::MlDsa65
            | Self::MlDsa87 => &[SignVerify],
            Self::Hmac224 | Self::Hmac256 | Self::Hmac384 | Self::Hmac512 => &[GenerateVerifyMac],
            Self::MlKem512 | Self::MlKem768 | Self::MlKem1024 => &[EncapsulateDecapsulate],
            Self::Sm2 => &[EncryptDecrypt, SignVerify, KeyAgreement],
        }
    }

    /// Whether its material is a private key, which has a public one.
    pub(super) fn is_asymmetric(self) -> bool {
        !self.is_symmetric_encryption() && !self.is_hmac()
    }

    /// The kind of its key pair; `None`: it has none, or one that kmsfs cannot make (SM2).
    pub(super) fn key_pair(self) -> Option<Kind> {
        match self {
            Self::Rsa2048 => Some(Kind::Rsa(Bits::B2048)),
            Self::Rsa3072 => Some(Kind::Rsa(Bits::B3072)),
            Self::Rsa4096 => Some(Kind::Rsa(Bits::B4096)),
            Self::EccNistP256 => Some(Kind::Ec(Curve::P256)),
            Self::EccNistP384 => Some(Kind::Ec(Curve::P384)),
            Self::EccNistP521 => Some(Kind::Ec(Curve::P521)),
            Self::EccSecgP256k1 => Some(Kind::Ec(Curve::P256k1)),
            Self::EccNistEdwards25519 => Some(Kind::Ed25519),
            Self::MlDsa44 => Some(Kind::MlDsa(MlDsa::MlDsa44)),
            Self::MlDsa65 => Some(Kind::MlDsa(MlDsa::MlDsa65)),
            Self::MlDsa87 => Some(Kind::MlDsa(MlDsa::MlDsa87)),
            Self::MlKem512 => Some(Kind::MlKem(MlKem::MlKem512)),
            Self::MlKem768 => Some(Kind::MlKem(MlKem::MlKem768)),
            Self::MlKem1024 => Some(Kind::MlKem(MlKem::MlKem1024)),
            Self::SymmetricDefault
            | Self::Hmac224
            | Self::Hmac256
            | Self::Hmac384
            | Self::Hmac512
            | Self::Sm2 => None,
        }
    }

    /// Whether it encrypts with one secret: what can rotate, and take an encryption context.
    pub(super) fn is_symmetric_encryption(self) -> bool {
        self == Self::SymmetricDefault
    }

    /// Whether it authenticates messages.
    pub(super) fn is_hmac(self) -> bool {
        !self.mac_algorithms().is_empty()
    }

    /// How a key of this kind with this usage encrypts.
    pub(super) fn encryption_algorithms(self, usage: KeyUsage) -> &'static [EncryptionAlgorithm] {
        match self {
            _ if usage != KeyUsage::EncryptDecrypt => &[],
            Self::SymmetricDefault => &[EncryptionAlgorithm::SymmetricDefault],
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[
                EncryptionAlgorithm::RsaesOaepSha1,
                EncryptionAlgorithm::RsaesOaepSha256,
            ],
            Self::Sm2 => &[EncryptionAlgorithm::Sm2Pke],
            _ => &[],
        }
    }

    /// How a key of this kind with this usage signs.
    pub(super) fn signing_algorithms(self, usage: KeyUsage) -> &'static [SigningAlgorithm] {
        match self {
            _ if usage != KeyUsage::SignVerify => &[],
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[
                SigningAlgorithm::RsassaPkcs1V15Sha256,
                SigningAlgorithm::RsassaPkcs1V15Sha384,
                SigningAlgorithm::RsassaPkcs1V15Sha512,
                SigningAlgorithm::RsassaPssSha256,
                SigningAlgorithm::RsassaPssSha384,
                SigningAlgorithm::RsassaPssSha512,
            ],
            Self::EccNistP256 | Self::EccSecgP256k1 => &[SigningAlgorithm::EcdsaSha256],
            Self::EccNistP384 => &[SigningAlgorithm::EcdsaSha384],
            Self::EccNistP521 => &[SigningAlgorithm::EcdsaSha512],
            Self::EccNistEdwards25519 => &[
                SigningAlgorithm::Ed25519Sha512,
                SigningAlgorithm::Ed25519PhSha512,
            ],
            Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87 => &[SigningAlgorithm::MlDsaShake256],
            Self::Sm2 => &[SigningAlgorithm::Sm2Dsa],
            _ => &[],
        }
    }

    /// How a key of this kind authenticates messages.
    pub(super) fn mac_algorithms(self) -> &'static [MacAlgorithm] {
        match self {
            Self::Hmac224 => &[MacAlgorithm::HmacSha224],
            Self::Hmac256 => &[MacAlgorithm::HmacSha256],
            Self::Hmac384 => &[MacAlgorithm::HmacSha384],
            Self::Hmac512 => &[MacAlgorithm::HmacSha512],
            _ => &[],
        }
    }
}

impl KeyUsage {
    /// How a key with this usage agrees on secrets.
    pub(super) fn key_agreement_algorithms(self) -> &'static [KeyAgreementAlgorithm] {
        if self == Self::KeyAgreement {
            &[KeyAgreementAlgorithm::Ecdh]
        } else {
            &[]
        }
    }

    /// How a key with this usage encapsulates secrets.
    pub(super) fn encapsulation_algorithms(self) -> &'static [EncapsulationAlgorithm] {
        if self == Self::EncapsulateDecapsulate {
            &[EncapsulationAlgorithm::MlKem]
        } else {
            &[]
        }
    }
}

impl DataKeyPairSpec {
    /// The kind of the key pair; `None`: one that kmsfs cannot make (SM2).
    pub(super) fn key_pair(self) -> Option<Kind> {
        let spec: KeySpec = self.as_str().parse().ok()?;
        spec.key_pair()
    }
}
