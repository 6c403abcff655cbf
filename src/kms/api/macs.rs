//! Message authentication codes.

use serde::{Deserialize, Serialize};

use super::{CiphertextBlob, MacAlgorithm, Plaintext};

/// `GenerateMac`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateMacRequest {
    /// The message or its digest, 1 to 4096 bytes.
    pub message: Plaintext,
    /// Key id, key ARN, alias name or alias ARN.
    pub key_id: String,
    /// How it is authenticated.
    pub mac_algorithm: MacAlgorithm,
    /// Tokens of grants too young to be found everywhere; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant_tokens: Vec<String>,
    /// Only check whether the call would succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// The answer of `GenerateMac`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateMacResponse {
    /// The code.
    pub mac: CiphertextBlob,
    /// How it is authenticated.
    pub mac_algorithm: MacAlgorithm,
    /// The key ARN.
    pub key_id: String,
}

/// `VerifyMac`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VerifyMacRequest {
    /// The message or its digest, 1 to 4096 bytes.
    pub message: Plaintext,
    /// Key id, key ARN, alias name or alias ARN.
    pub key_id: String,
    /// How it is authenticated.
    pub mac_algorithm: MacAlgorithm,
    /// The code.
    pub mac: CiphertextBlob,
    /// Tokens of grants too young to be found everywhere; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant_tokens: Vec<String>,
    /// Only check whether the call would succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// The answer of `VerifyMac`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VerifyMacResponse {
    /// The key ARN.
    pub key_id: String,
    /// Always true: an invalid code is `KMSInvalidMacException`.
    pub mac_valid: bool,
    /// How it is authenticated.
    pub mac_algorithm: MacAlgorithm,
}
