//! Encrypting, decrypting and generating data.

use serde::{Deserialize, Serialize};

use super::{
    CiphertextBlob, DataKeySpec, DryRunModifier, EncryptionAlgorithm, EncryptionContext,
    KeyEncryptionMechanism, Plaintext,
};

/// `GenerateDataKey`. Exactly one of `key_spec` and `number_of_bytes` is given.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateDataKeyRequest {
    /// Key id, key ARN, alias name or alias ARN.
    pub key_id: String,
    /// What the data key is bound to.
    #[serde(default, skip_serializing_if = "EncryptionContext::is_empty")]
    pub encryption_context: EncryptionContext,
    /// The kind of data key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_spec: Option<DataKeySpec>,
    /// The length of the data key, 1 to 1024 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_of_bytes: Option<i32>,
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

/// The answer of `GenerateDataKey`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateDataKeyResponse {
    /// The data key, encrypted under the KMS key.
    pub ciphertext_blob: CiphertextBlob,
    /// The data key.
    pub plaintext: Plaintext,
    /// The key ARN.
    pub key_id: String,
    /// The material that encrypted it: 64 hex digits.
    pub key_material_id: String,
}

/// `GenerateDataKeyWithoutPlaintext`; members as in [`GenerateDataKeyRequest`].
pub type GenerateDataKeyWithoutPlaintextRequest = GenerateDataKeyRequest;

/// The answer of `GenerateDataKeyWithoutPlaintext`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateDataKeyWithoutPlaintextResponse {
    /// The data key, encrypted under the KMS key.
    pub ciphertext_blob: CiphertextBlob,
    /// The key ARN.
    pub key_id: String,
    /// The material that encrypted it: 64 hex digits.
    pub key_material_id: String,
}

/// `Encrypt`.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EncryptRequest {
    /// Key id, key ARN, alias name or alias ARN.
    pub key_id: String,
    /// 1 to 4096 bytes.
    pub plaintext: Plaintext,
    /// What the ciphertext is bound to.
    #[serde(default, skip_serializing_if = "EncryptionContext::is_empty")]
    pub encryption_context: EncryptionContext,
    /// Defaults to `SYMMETRIC_DEFAULT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_algorithm: Option<EncryptionAlgorithm>,
    /// Tokens of grants too young to be found everywhere; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant_tokens: Vec<String>,
    /// Only check whether the call would succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// The answer of `Encrypt`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EncryptResponse {
    /// The ciphertext; it names the key and its version.
    pub ciphertext_blob: CiphertextBlob,
    /// The key ARN.
    pub key_id: String,
    /// How it was encrypted.
    pub encryption_algorithm: EncryptionAlgorithm,
}

/// `Decrypt`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DecryptRequest {
    /// What `Encrypt` or `GenerateDataKey` answered.
    #[serde(default)]
    pub ciphertext_blob: CiphertextBlob,
    /// The context given then.
    #[serde(default, skip_serializing_if = "EncryptionContext::is_empty")]
    pub encryption_context: EncryptionContext,
    /// The key it must be; without one, the key that the ciphertext names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Defaults to `SYMMETRIC_DEFAULT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_algorithm: Option<EncryptionAlgorithm>,
    /// Tokens of grants too young to be found everywhere; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant_tokens: Vec<String>,
    /// For an enclave; not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<RecipientInfo>,
    /// Only check whether the call would succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// What a dry run need not check.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_run_modifiers: Vec<DryRunModifier>,
}

/// The answer of `Decrypt`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DecryptResponse {
    /// The ARN of the key that decrypted it.
    pub key_id: String,
    /// What was encrypted.
    pub plaintext: Plaintext,
    /// How it was encrypted.
    pub encryption_algorithm: EncryptionAlgorithm,
    /// The material that decrypted it, of a symmetric encryption key: 64 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_material_id: Option<String>,
}

/// `ReEncrypt`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReEncryptRequest {
    /// The ciphertext to renew.
    #[serde(default)]
    pub ciphertext_blob: CiphertextBlob,
    /// The context it was made with.
    #[serde(default, skip_serializing_if = "EncryptionContext::is_empty")]
    pub source_encryption_context: EncryptionContext,
    /// The key it must be; without one, the key that the ciphertext names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_key_id: Option<String>,
    /// The key to encrypt under.
    pub destination_key_id: String,
    /// The context of the new ciphertext.
    #[serde(default, skip_serializing_if = "EncryptionContext::is_empty")]
    pub destination_encryption_context: EncryptionContext,
    /// Defaults to `SYMMETRIC_DEFAULT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_encryption_algorithm: Option<EncryptionAlgorithm>,
    /// Defaults to `SYMMETRIC_DEFAULT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_encryption_algorithm: Option<EncryptionAlgorithm>,
    /// Tokens of grants too young to be found everywhere; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant_tokens: Vec<String>,
    /// Only check whether the call would succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// What a dry run need not check.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_run_modifiers: Vec<DryRunModifier>,
}

/// The answer of `ReEncrypt`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReEncryptResponse {
    /// The new ciphertext.
    pub ciphertext_blob: CiphertextBlob,
    /// The ARN of the key that decrypted the old one.
    pub source_key_id: String,
    /// The ARN of the key that encrypted the new one.
    pub key_id: String,
    /// How the old one was encrypted.
    pub source_encryption_algorithm: EncryptionAlgorithm,
    /// How the new one is encrypted.
    pub destination_encryption_algorithm: EncryptionAlgorithm,
    /// The material that decrypted the old one, of a symmetric encryption key: 64 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_key_material_id: Option<String>,
    /// The material that encrypted the new one, of a symmetric encryption key: 64 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_key_material_id: Option<String>,
}

/// `GenerateRandom`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateRandomRequest {
    /// 1 to 1024 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_of_bytes: Option<i32>,
    /// Where the randomness shall come from; custom key stores are not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_key_store_id: Option<String>,
    /// For an enclave; not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<RecipientInfo>,
}

/// The answer of `GenerateRandom`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateRandomResponse {
    /// The random bytes.
    pub plaintext: Plaintext,
}

/// An enclave that the answer is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RecipientInfo {
    /// How to encrypt for the enclave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_encryption_algorithm: Option<KeyEncryptionMechanism>,
    /// The enclave's attestation document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attestation_document: Option<CiphertextBlob>,
}
