//! Signing, verifying, and public keys.

use serde::{Deserialize, Serialize};

use super::{
    CiphertextBlob, EncapsulationAlgorithm, EncryptionAlgorithm, KeyAgreementAlgorithm, KeySpec,
    KeyUsage, MessageType, Plaintext, PublicKey, SigningAlgorithm,
};

/// `Sign`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SignRequest {
    /// Key id, key ARN, alias name or alias ARN.
    pub key_id: String,
    /// The message or its digest, 1 to 4096 bytes.
    pub message: Plaintext,
    /// What `message` is; `RAW` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_type: Option<MessageType>,
    /// Tokens of grants too young to be found everywhere; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant_tokens: Vec<String>,
    /// How it is signed.
    pub signing_algorithm: SigningAlgorithm,
    /// Only check whether the call would succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// The answer of `Sign`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SignResponse {
    /// The key ARN.
    pub key_id: String,
    /// The signature.
    pub signature: CiphertextBlob,
    /// How it is signed.
    pub signing_algorithm: SigningAlgorithm,
}

/// `Verify`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VerifyRequest {
    /// Key id, key ARN, alias name or alias ARN.
    pub key_id: String,
    /// The message or its digest, 1 to 4096 bytes.
    pub message: Plaintext,
    /// What `message` is; `RAW` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_type: Option<MessageType>,
    /// The signature.
    pub signature: CiphertextBlob,
    /// How it is signed.
    pub signing_algorithm: SigningAlgorithm,
    /// Tokens of grants too young to be found everywhere; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant_tokens: Vec<String>,
    /// Only check whether the call would succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// The answer of `Verify`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VerifyResponse {
    /// The key ARN.
    pub key_id: String,
    /// Always true: an invalid signature is `KMSInvalidSignatureException`.
    pub signature_valid: bool,
    /// How it is signed.
    pub signing_algorithm: SigningAlgorithm,
}

/// `GetPublicKey`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetPublicKeyRequest {
    /// Key id, key ARN, alias name or alias ARN.
    pub key_id: String,
    /// Tokens of grants too young to be found everywhere; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant_tokens: Vec<String>,
}

/// The answer of `GetPublicKey`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetPublicKeyResponse {
    /// The key ARN.
    pub key_id: String,
    /// The public key, DER-encoded `SubjectPublicKeyInfo`.
    pub public_key: PublicKey,
    /// The deprecated name of `KeySpec`.
    pub customer_master_key_spec: KeySpec,
    /// What kind of key it is.
    pub key_spec: KeySpec,
    /// What it is for.
    pub key_usage: KeyUsage,
    /// How it encrypts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub encryption_algorithms: Vec<EncryptionAlgorithm>,
    /// How it signs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signing_algorithms: Vec<SigningAlgorithm>,
    /// How it agrees on secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_agreement_algorithms: Vec<KeyAgreementAlgorithm>,
    /// How it encapsulates secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub encapsulation_algorithms: Vec<EncapsulationAlgorithm>,
}
