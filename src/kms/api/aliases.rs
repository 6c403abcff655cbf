//! Names for keys.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// `CreateAlias`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateAliasRequest {
    /// `alias/` and a name of letters, digits, `/`, `_` and `-`; at most 256 characters.
    pub alias_name: String,
    /// Key id or key ARN.
    pub target_key_id: String,
}

/// `UpdateAlias`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateAliasRequest {
    /// The alias to point elsewhere.
    pub alias_name: String,
    /// Key id or key ARN.
    pub target_key_id: String,
}

/// `DeleteAlias`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteAliasRequest {
    /// The alias to delete; its key stays.
    pub alias_name: String,
}

/// `ListAliases`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListAliasesRequest {
    /// Only the aliases of this key, by key id or key ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// At most this many, 1 to 100; 50 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i32>,
    /// The `NextMarker` of a truncated answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
}

/// The answer of `ListAliases`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListAliasesResponse {
    /// The aliases, by name.
    pub aliases: Vec<AliasListEntry>,
    /// Where the next answer begins, if `truncated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    /// Whether there are more.
    pub truncated: bool,
}

/// One alias of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AliasListEntry {
    /// `alias/...`.
    pub alias_name: String,
    /// `arn:aws:kms:<region>:<account>:alias/...`.
    pub alias_arn: String,
    /// The id of the key it names.
    pub target_key_id: String,
    /// When it was made.
    pub creation_date: Timestamp,
    /// When it was last pointed at a key.
    pub last_updated_date: Timestamp,
}
