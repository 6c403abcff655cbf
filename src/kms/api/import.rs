//! Importing key material.

use serde::{Deserialize, Serialize};

use super::{
    CiphertextBlob, ExpirationModel, ImportType, PublicKey, Timestamp, WrappingAlgorithm,
    WrappingKeySpec,
};

/// `GetParametersForImport`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetParametersForImportRequest {
    /// Key id or key ARN.
    pub key_id: String,
    /// How the material will be encrypted.
    pub wrapping_algorithm: WrappingAlgorithm,
    /// The kind of public key to encrypt it under.
    pub wrapping_key_spec: WrappingKeySpec,
}

/// The answer of `GetParametersForImport`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetParametersForImportResponse {
    /// The key ARN.
    pub key_id: String,
    /// Belongs to the public key; needed for the import.
    pub import_token: CiphertextBlob,
    /// The public key, DER-encoded.
    pub public_key: PublicKey,
    /// Until when key and token are good.
    pub parameters_valid_to: Timestamp,
}

/// `ImportKeyMaterial`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImportKeyMaterialRequest {
    /// Key id or key ARN.
    pub key_id: String,
    /// Belongs to the public key; needed for the import.
    pub import_token: CiphertextBlob,
    /// The material, encrypted under the public key of the token.
    pub encrypted_key_material: CiphertextBlob,
    /// When the material expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Timestamp>,
    /// Whether it expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_model: Option<ExpirationModel>,
    /// Whether the material is new to the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import_type: Option<ImportType>,
    /// What the material is, in words; at most 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_material_description: Option<String>,
    /// The key material: 64 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_material_id: Option<String>,
}

/// The answer of `ImportKeyMaterial`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImportKeyMaterialResponse {
    /// The key ARN.
    pub key_id: String,
    /// The key material: 64 hex digits.
    pub key_material_id: String,
}

/// `DeleteImportedKeyMaterial`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteImportedKeyMaterialRequest {
    /// Key id or key ARN.
    pub key_id: String,
    /// The key material: 64 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_material_id: Option<String>,
}

/// The answer of `DeleteImportedKeyMaterial`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteImportedKeyMaterialResponse {
    /// The key ARN.
    pub key_id: String,
    /// The key material: 64 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_material_id: Option<String>,
}
