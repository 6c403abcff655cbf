//! The closed sets of algorithms in the API.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::names::{VIOLATION, names};

names! {
    /// How a KMS key encrypts.
    EncryptionAlgorithm at "encryptionAlgorithm" {
        /// AES-256-GCM.
        SymmetricDefault = "SYMMETRIC_DEFAULT",
        /// RSA-OAEP with SHA-1.
        RsaesOaepSha1 = "RSAES_OAEP_SHA_1",
        /// RSA-OAEP with SHA-256.
        RsaesOaepSha256 = "RSAES_OAEP_SHA_256",
        /// SM2 encryption, in China Regions only.
        Sm2Pke = "SM2PKE",
    }
}

names! {
    /// How a KMS key signs.
    SigningAlgorithm at "signingAlgorithm" {
        /// RSASSA-PSS with SHA-256.
        RsassaPssSha256 = "RSASSA_PSS_SHA_256",
        /// RSASSA-PSS with SHA-384.
        RsassaPssSha384 = "RSASSA_PSS_SHA_384",
        /// RSASSA-PSS with SHA-512.
        RsassaPssSha512 = "RSASSA_PSS_SHA_512",
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        RsassaPkcs1V15Sha256 = "RSASSA_PKCS1_V1_5_SHA_256",
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        RsassaPkcs1V15Sha384 = "RSASSA_PKCS1_V1_5_SHA_384",
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        RsassaPkcs1V15Sha512 = "RSASSA_PKCS1_V1_5_SHA_512",
        /// ECDSA with SHA-256.
        EcdsaSha256 = "ECDSA_SHA_256",
        /// ECDSA with SHA-384.
        EcdsaSha384 = "ECDSA_SHA_384",
        /// ECDSA with SHA-512.
        EcdsaSha512 = "ECDSA_SHA_512",
        /// SM2 signatures, in China Regions only.
        Sm2Dsa = "SM2DSA",
        /// ML-DSA (FIPS 204).
        MlDsaShake256 = "ML_DSA_SHAKE_256",
        /// Ed25519.
        Ed25519Sha512 = "ED25519_SHA_512",
        /// Ed25519ph, which signs a digest.
        Ed25519PhSha512 = "ED25519_PH_SHA_512",
    }
}

names! {
    /// How a KMS key authenticates messages.
    MacAlgorithm at "macAlgorithm" {
        /// HMAC with SHA-384.
        HmacSha384 = "HMAC_SHA_384",
        /// HMAC with SHA-256.
        HmacSha256 = "HMAC_SHA_256",
        /// HMAC with SHA-224.
        HmacSha224 = "HMAC_SHA_224",
        /// HMAC with SHA-512.
        HmacSha512 = "HMAC_SHA_512",
    }
}

names! {
    /// How a KMS key agrees on secrets.
    KeyAgreementAlgorithm at "keyAgreementAlgorithm" {
        /// ECDH (NIST SP 800-56A).
        Ecdh = "ECDH",
    }
}

names! {
    /// How a KMS key encapsulates secrets.
    EncapsulationAlgorithm at "encapsulationAlgorithm" {
        /// ML-KEM (FIPS 203).
        MlKem = "ML_KEM",
    }
}

names! {
    /// What is to be signed.
    MessageType at "messageType" {
        /// A message.
        Raw = "RAW",
        /// The digest of one.
        Digest = "DIGEST",
        /// The message representative µ of ML-DSA.
        ExternalMu = "EXTERNAL_MU",
    }
}

names! {
    /// How imported material is encrypted on its way.
    WrappingAlgorithm at "wrappingAlgorithm" {
        /// RSAES-PKCS1-v1_5, which is not offered any more.
        RsaesPkcs1V15 = "RSAES_PKCS1_V1_5",
        /// RSA-OAEP with SHA-1.
        RsaesOaepSha1 = "RSAES_OAEP_SHA_1",
        /// RSA-OAEP with SHA-256.
        RsaesOaepSha256 = "RSAES_OAEP_SHA_256",
        /// An AES key under RSA-OAEP with SHA-1, the material under it (RFC 5649).
        RsaAesKeyWrapSha1 = "RSA_AES_KEY_WRAP_SHA_1",
        /// An AES key under RSA-OAEP with SHA-256, the material under it (RFC 5649).
        RsaAesKeyWrapSha256 = "RSA_AES_KEY_WRAP_SHA_256",
        /// SM2 encryption, in China Regions only.
        Sm2Pke = "SM2PKE",
    }
}

names! {
    /// The kind of public key that imported material is encrypted under.
    WrappingKeySpec at "wrappingKeySpec" {
        /// RSA with 2048 bits.
        Rsa2048 = "RSA_2048",
        /// RSA with 3072 bits.
        Rsa3072 = "RSA_3072",
        /// RSA with 4096 bits.
        Rsa4096 = "RSA_4096",
        /// SM2, in China Regions only.
        Sm2 = "SM2",
    }
}

names! {
    /// How an answer is encrypted for an enclave.
    KeyEncryptionMechanism at "keyEncryptionAlgorithm" {
        /// RSA-OAEP with SHA-256.
        RsaesOaepSha256 = "RSAES_OAEP_SHA_256",
    }
}
