//! The closed list of actions that a policy can name.

use super::pattern::Pattern;

/// Every action, in ASCII case-insensitive order (which look-up needs).
///
/// The `kms:` actions are those of the [service authorization reference]; `kmsfs:` are the
/// filesystem's own.
///
/// [service authorization reference]: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html
pub const ALL: [&str; 68] = [
    "kms:CancelKeyDeletion",
    "kms:ConnectCustomKeyStore",
    "kms:CreateAlias",
    "kms:CreateCustomKeyStore",
    "kms:CreateGrant",
    "kms:CreateKey",
    "kms:Decapsulate",
    "kms:Decrypt",
    "kms:DeleteAlias",
    "kms:DeleteCustomKeyStore",
    "kms:DeleteImportedKeyMaterial",
    "kms:DeriveSharedSecret",
    "kms:DescribeCustomKeyStores",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:DisconnectCustomKeyStore",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:Encapsulate",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyPair",
    "kms:GenerateDataKeyPairWithoutPlaintext",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:GenerateMac",
    "kms:GenerateRandom",
    "kms:GetKeyLastUsage",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:GetParametersForImport",
    "kms:GetPublicKey",
    "kms:ImportKeyMaterial",
    "kms:ListAliases",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListKeys",
    "kms:ListResourceTags",
    "kms:ListRetirableGrants",
    "kms:PutKeyPolicy",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:ReplicateKey",
    "kms:RetireGrant",
    "kms:RevokeGrant",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:Sign",
    "kms:SynchronizeMultiRegionKey",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateCustomKeyStore",
    "kms:UpdateKeyDescription",
    "kms:UpdatePrimaryRegion",
    "kms:Verify",
    "kms:VerifyMac",
    "kmsfs:Append",
    "kmsfs:Create",
    "kmsfs:Delete",
    "kmsfs:Execute",
    "kmsfs:List",
    "kmsfs:Overwrite",
    "kmsfs:Read",
    "kmsfs:SetAttr",
    "kmsfs:SetSecurity",
    "kmsfs:Write",
];

/// The actions that `pattern` names: `*`, or `service:name` where the name may hold `*` and `?`.
pub fn matching(pattern: &str) -> Vec<&'static str> {
    let set = ActionSet::matching(pattern);
    let named = ALL.iter().enumerate();
    named
        .filter(|(index, _)| set.contains(Action(*index)))
        .map(|(_, name)| *name)
        .collect()
}

/// One of [`ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Action(usize);

impl Action {
    /// Finds an action by its name, in any case.
    pub(super) fn named(name: &str) -> Option<Self> {
        let fold = |byte: u8| byte.to_ascii_lowercase();
        let found =
            ALL.binary_search_by(|known| known.bytes().map(fold).cmp(name.bytes().map(fold)));
        found.ok().map(Self)
    }
}

/// A set of actions: what an `Action` element comes to once its wildcards are expanded over the
/// closed list, so that a decision tests one bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ActionSet(u128);

impl ActionSet {
    /// The actions that `pattern` names: `*`, or `service:name` where the name may hold `*` and `?`.
    /// Empty when it names none.
    pub(super) fn matching(pattern: &str) -> Self {
        let pattern = pattern.to_ascii_lowercase();
        let service = pattern.split(':').next().unwrap_or_default();
        if pattern != "*" && service.contains(['*', '?']) {
            return Self::default();
        }
        let pattern = Pattern::glob(&pattern);
        Self::of(|name| pattern.matches_fixed(&name.to_ascii_lowercase()))
    }

    /// The actions of one service, `kms` or `kmsfs`.
    pub(super) fn of_service(service: &str) -> Self {
        Self::of(|name| name.split(':').next() == Some(service))
    }

    fn of(wanted: impl Fn(&str) -> bool) -> Self {
        let bits = ALL.iter().enumerate().filter(|(_, name)| wanted(name));
        Self(bits.fold(0, |set, (index, _)| set | 1 << index))
    }

    pub(super) fn contains(self, action: Action) -> bool {
        self.0 & (1 << action.0) != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Every action that is not in this set.
    pub(super) fn complement(self) -> Self {
        Self::of(|_| true).intersection(Self(!self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_found_by_its_name_in_any_case() {
        for (index, name) in ALL.iter().enumerate() {
            assert_eq!(
                Action::named(name),
                Some(Action(index)),
                "{name}: is the list in order?"
            );
            assert_eq!(Action::named(&name.to_uppercase()), Some(Action(index)));
        }
        assert_eq!(Action::named("kms:Decrypts"), None);
        assert_eq!(Action::named(""), None);
    }

    #[test]
    fn wildcards_expand_over_the_closed_list() {
        let names = |pattern: &str| {
            let set = ActionSet::matching(pattern);
            let named = |name: &&&str| set.contains(Action::named(name).unwrap());
            ALL.iter().filter(named).copied().collect::<Vec<_>>()
        };
        assert_eq!(names("*").len(), ALL.len());
        assert_eq!(names("kmsfs:*").len(), 10);
        assert_eq!(
            names("KMS:reencrypt*"),
            ["kms:ReEncryptFrom", "kms:ReEncryptTo"]
        );
        assert_eq!(names("kms:Generate?ac"), ["kms:GenerateMac"]);
        assert_eq!(names("kms:Decrypt"), ["kms:Decrypt"]);
        for nothing in [
            "kms:Destroy*",
            "*:Decrypt",
            "kms*",
            "k?s:Decrypt",
            "kms",
            "",
            "s3:*",
        ] {
            assert!(names(nothing).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn a_complement_stays_within_the_list() {
        let all = ActionSet::matching("*");
        assert!(all.complement().is_empty());
        let kms = ActionSet::of_service("kms");
        assert_eq!(kms.complement(), ActionSet::of_service("kmsfs"));
        assert_eq!(kms.union(kms.complement()), all);
    }
}
