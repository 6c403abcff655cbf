//! Agreeing on secrets.

use serde::{Deserialize, Serialize};

use super::{
    CiphertextBlob, EncapsulationAlgorithm, KeyAgreementAlgorithm, Origin, Plaintext, PublicKey,
    RecipientInfo,
};

/// `DeriveSharedSecret`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeriveSharedSecretRequest {
    /// Key id, key ARN, alias name or alias ARN.
    pub key_id: String,
    /// How the secret is agreed on.
    pub key_agreement_algorithm: KeyAgreementAlgorithm,
    /// The public key, DER-encoded `SubjectPublicKeyInfo`.
    pub public_key: PublicKey,
    /// Tokens of grants too young to be found everywhere; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant_tokens: Vec<String>,
    /// Only check whether the call would succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// For an enclave; not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<RecipientInfo>,
}

/// The answer of `DeriveSharedSecret`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeriveSharedSecretResponse {
    /// The key ARN.
    pub key_id: String,
    /// The secret.
    pub shared_secret: Plaintext,
    /// For an enclave; always absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ciphertext_for_recipient: Option<CiphertextBlob>,
    /// How the secret is agreed on.
    pub key_agreement_algorithm: KeyAgreementAlgorithm,
    /// Where the key's material comes from.
    pub key_origin: Origin,
}

/// `Encapsulate`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EncapsulateRequest {
    /// Key id, key ARN, alias name or alias ARN.
    pub key_id: String,
    /// How the secret is encapsulated.
    pub encapsulation_algorithm: EncapsulationAlgorithm,
    /// Tokens of grants too young to be found everywhere; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant_tokens: Vec<String>,
    /// Only check whether the call would succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// The answer of `Encapsulate`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EncapsulateResponse {
    /// The key ARN.
    pub key_id: String,
    /// The secret.
    pub shared_secret: Plaintext,
    /// The encapsulated secret.
    pub shared_secret_ciphertext_blob: CiphertextBlob,
    /// How the secret is encapsulated.
    pub encapsulation_algorithm: EncapsulationAlgorithm,
}

/// `Decapsulate`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DecapsulateRequest {
    /// Key id, key ARN, alias name or alias ARN.
    pub key_id: String,
    /// The encapsulated secret.
    pub shared_secret_ciphertext_blob: CiphertextBlob,
    /// How the secret is encapsulated.
    pub encapsulation_algorithm: EncapsulationAlgorithm,
    /// Tokens of grants too young to be found everywhere; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant_tokens: Vec<String>,
    /// Only check whether the call would succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// The answer of `Decapsulate`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DecapsulateResponse {
    /// The key ARN.
    pub key_id: String,
    /// The secret.
    pub shared_secret: Plaintext,
    /// How the secret is encapsulated.
    pub encapsulation_algorithm: EncapsulationAlgorithm,
}
