//! Which operations a key's state allows.
//!
//! Source: the table at <https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>, with
//! its footnotes' errors. What depends on a key's origin or kind is each operation's own matter.

use super::{KmsError, api::KeyState, key::Key};

/// What an operation asks of a key's state. The columns: is it allowed when the key is enabled, is
/// disabled, waits for its deletion (or that of its replicas), waits for imported material?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand([u8; 4]);

impl Demand {
    /// Cryptographic use, and what concerns the material in use.
    pub(super) const USE: Self = Self([1, 0, 0, 0]);
    const SWITCH: Self = Self([1, 1, 0, 0]);
    const CHANGE: Self = Self([1, 1, 0, 1]);
    const CANCEL: Self = Self([0, 0, 1, 0]);
    const NOTHING: Self = Self([1, 1, 1, 1]);

    /// What `operation` asks of the state of the key it is to be done to.
    pub(super) fn of(operation: &str) -> Self {
        let row = TABLE.iter().find(|(name, _)| *name == operation);
        row.map_or(Self::NOTHING, |(_, demand)| *demand)
    }
}

/// Every operation on an existing key. For `UpdateAlias` it is the key that the alias will name.
const TABLE: &[(&str, Demand)] = &[
    ("CancelKeyDeletion", Demand::CANCEL),
    ("CreateAlias", Demand::CHANGE),
    ("CreateGrant", Demand::USE),
    ("Decapsulate", Demand::USE),
    ("Decrypt", Demand::USE),
    ("DeleteAlias", Demand::NOTHING),
    ("DeleteImportedKeyMaterial", Demand::NOTHING),
    ("DeriveSharedSecret", Demand::USE),
    ("DescribeKey", Demand::NOTHING),
    ("DisableKey", Demand::SWITCH),
    ("DisableKeyRotation", Demand::USE),
    ("EnableKey", Demand::SWITCH),
    ("EnableKeyRotation", Demand::USE),
    ("Encapsulate", Demand::USE),
    ("Encrypt", Demand::USE),
    ("GenerateDataKey", Demand::USE),
    ("GenerateDataKeyPair", Demand::USE),
    ("GenerateDataKeyPairWithoutPlaintext", Demand::USE),
    ("GenerateDataKeyWithoutPlaintext", Demand::USE),
    ("GenerateMac", Demand::USE),
    ("GetKeyLastUsage", Demand::NOTHING),
    ("GetKeyPolicy", Demand::NOTHING),
    ("GetKeyRotationStatus", Demand::NOTHING),
    ("GetParametersForImport", Demand::CHANGE),
    // AWS documents DisabledException, and gives out the public key of a disabled key.
    ("GetPublicKey", Demand::SWITCH),
    ("ImportKeyMaterial", Demand::CHANGE),
    ("ListAliases", Demand::NOTHING),
    ("ListGrants", Demand::NOTHING),
    ("ListKeyPolicies", Demand::NOTHING),
    ("ListKeyRotations", Demand::NOTHING),
    ("ListResourceTags", Demand::NOTHING),
    ("ListRetirableGrants", Demand::NOTHING),
    ("PutKeyPolicy", Demand::NOTHING),
    ("ReEncrypt", Demand::USE),
    ("ReplicateKey", Demand::USE),
    ("RetireGrant", Demand::NOTHING),
    ("RevokeGrant", Demand::NOTHING),
    ("RotateKeyOnDemand", Demand::USE),
    ("ScheduleKeyDeletion", Demand::CHANGE),
    ("Sign", Demand::USE),
    ("TagResource", Demand::CHANGE),
    ("UntagResource", Demand::CHANGE),
    ("UpdateAlias", Demand::CHANGE),
    ("UpdateKeyDescription", Demand::CHANGE),
    ("UpdatePrimaryRegion", Demand::USE),
    ("Verify", Demand::USE),
    ("VerifyMac", Demand::USE),
];

impl Key {
    /// Whether the key's state allows what `demand` asks of it.
    pub(super) fn check_state(&self, demand: Demand) -> Result<(), KmsError> {
        let Demand([enabled, disabled, pending_deletion, pending_import]) = demand;
        let (allowed, named) = match self.state {
            KeyState::Enabled => (enabled, ""),
            KeyState::Disabled => (disabled, "disabled"),
            KeyState::PendingDeletion => (pending_deletion, "pending deletion"),
            KeyState::PendingReplicaDeletion => (pending_deletion, "pending replica deletion"),
            KeyState::PendingImport => (pending_import, "pending import"),
            // States that no key of this service is ever in.
            KeyState::Creating => (0, "creating"),
            KeyState::Updating => (0, "updating"),
            KeyState::Unavailable => (0, "unavailable"),
        };
        if allowed == 1 {
            return Ok(());
        }
        Err(match self.state {
            _ if demand == Demand::CANCEL => {
                KmsError::InvalidState(format!("{} is not pending deletion.", self.arn))
            }
            KeyState::Disabled => KmsError::Disabled(format!("{} is disabled.", self.arn)),
            _ => KmsError::InvalidState(format!("{} is {named}.", self.arn)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::TABLE;
    use crate::kms::OPERATIONS;

    #[test]
    fn the_table_has_every_operation_on_an_existing_key_once() {
        let without_key = |name: &&&str| {
            name.ends_with("CustomKeyStore")
                || name.ends_with("CustomKeyStores")
                || ["CreateKey", "ListKeys", "GenerateRandom"].contains(name)
        };
        let mut expected: Vec<&str> = OPERATIONS
            .iter()
            .filter(|name| !without_key(name))
            .copied()
            .collect();
        expected.sort_unstable();
        let listed: Vec<&str> = TABLE.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, expected);
    }
}
