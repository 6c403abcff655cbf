//! Data key pairs.

use serde::{Deserialize, Serialize};

use super::{
    CiphertextBlob, DataKeyPairSpec, EncryptionContext, Plaintext, PublicKey, RecipientInfo,
};

/// `GenerateDataKeyPair`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateDataKeyPairRequest {
    /// What the private key is bound to.
    #[serde(default, skip_serializing_if = "EncryptionContext::is_empty")]
    pub encryption_context: EncryptionContext,
    /// Key id, key ARN, alias name or alias ARN.
    pub key_id: String,
    /// The kind of key pair.
    pub key_pair_spec: DataKeyPairSpec,
    /// Tokens of grants too young to be found everywhere; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant_tokens: Vec<String>,
    /// For an enclave; not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<RecipientInfo>,
    /// Only check whether the call would succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// The answer of `GenerateDataKeyPair`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateDataKeyPairResponse {
    /// The private key, encrypted under the KMS key.
    pub private_key_ciphertext_blob: CiphertextBlob,
    /// The private key, DER-encoded PKCS #8.
    pub private_key_plaintext: Plaintext,
    /// The public key, DER-encoded `SubjectPublicKeyInfo`.
    pub public_key: PublicKey,
    /// The key ARN.
    pub key_id: String,
    /// The kind of key pair.
    pub key_pair_spec: DataKeyPairSpec,
    /// For an enclave; always absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ciphertext_for_recipient: Option<CiphertextBlob>,
    /// The key material: 64 hex digits.
    pub key_material_id: String,
}

/// `GenerateDataKeyPairWithoutPlaintext`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateDataKeyPairWithoutPlaintextRequest {
    /// What the private key is bound to.
    #[serde(default, skip_serializing_if = "EncryptionContext::is_empty")]
    pub encryption_context: EncryptionContext,
    /// Key id, key ARN, alias name or alias ARN.
    pub key_id: String,
    /// The kind of key pair.
    pub key_pair_spec: DataKeyPairSpec,
    /// Tokens of grants too young to be found everywhere; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant_tokens: Vec<String>,
    /// Only check whether the call would succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// The answer of `GenerateDataKeyPairWithoutPlaintext`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateDataKeyPairWithoutPlaintextResponse {
    /// The private key, encrypted under the KMS key.
    pub private_key_ciphertext_blob: CiphertextBlob,
    /// The public key, DER-encoded `SubjectPublicKeyInfo`.
    pub public_key: PublicKey,
    /// The key ARN.
    pub key_id: String,
    /// The kind of key pair.
    pub key_pair_spec: DataKeyPairSpec,
    /// The key material: 64 hex digits.
    pub key_material_id: String,
}
