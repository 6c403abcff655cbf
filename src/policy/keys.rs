//! The closed list of condition keys, and what is known of each.

use std::borrow::Cow;
use std::fmt;

bitflags::bitflags! {
    /// What a document asks about the calling process: facts that cost reading `/proc`.
    ///
    /// A fact that a condition asks for and the context does not give is *unknown*, which is not
    /// the same as absent: an Allow that depends on it fails, a Deny that depends on it holds.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
    pub struct Facts: u8 {
        /// The supplementary groups (`kmsfs:Gids`, and any principal that is a role or group).
        const GIDS = 1;
        /// The path of the executable (`kmsfs:ExePath`).
        const EXE_PATH = 1 << 1;
        /// The SHA-256 of the executable, lower-case hexadecimal (`kmsfs:ExeSha256`).
        const EXE_SHA256 = 1 << 2;
        /// The login uid (`kmsfs:LoginUid`).
        const LOGIN_UID = 1 << 3;
    }
}

/// What the values of a condition key are. It decides which operators make sense on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// Text that other types may be written in, such as an encryption context value.
    Any,
    /// Text.
    String,
    /// A decimal number.
    Numeric,
    /// RFC 3339, or seconds since 1970.
    Date,
    /// `true` or `false`.
    Bool,
    /// An IPv4 or IPv6 address.
    Ip,
    /// An Amazon Resource Name.
    Arn,
}

/// Which requests carry a condition key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// Requests to the filesystem and to the key service.
    Both,
    /// Requests to the filesystem only.
    File,
    /// Requests to the key service only.
    Key,
}

/// Who answers for a condition key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// [`Context::get`](super::Context::get).
    Context,
    /// [`Principal::arn`](super::Principal); the context is not asked.
    PrincipalArn,
    /// [`Principal::account`](super::Principal); the context is not asked.
    PrincipalAccount,
    /// The name in the principal's `user/` ARN; the context is not asked.
    UserName,
}

/// A known condition key, or a family of keys.
#[derive(Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// The canonical spelling. One that ends in `:` or `/` is a family, completed by a name
    /// (`kms:EncryptionContext:department`).
    pub name: &'static str,
    /// The type of its values.
    pub kind: KeyType,
    /// It may have several values, so only `ForAnyValue:` and `ForAllValues:` operators compare it.
    pub multivalued: bool,
    /// The requests that carry it.
    pub plane: Plane,
    /// Who answers for it.
    pub source: Source,
    /// The fact about the process that it asks for, if any.
    pub fact: Facts,
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any | Self::String => "text",
            Self::Numeric => "numbers",
            Self::Date => "dates",
            Self::Bool => "true or false",
            Self::Ip => "IP addresses",
            Self::Arn => "ARNs",
        })
    }
}

impl KnownKey {
    const fn new(name: &'static str, kind: KeyType, plane: Plane) -> Self {
        let (source, fact) = (Source::Context, Facts::empty());
        Self {
            name,
            kind,
            multivalued: false,
            plane,
            source,
            fact,
        }
    }

    const fn multivalued(self) -> Self {
        Self {
            multivalued: true,
            ..self
        }
    }

    const fn from(self, source: Source) -> Self {
        Self { source, ..self }
    }

    const fn fact(self, fact: Facts) -> Self {
        Self { fact, ..self }
    }

    fn is_family(&self) -> bool {
        self.name.ends_with([':', '/'])
    }
}

const fn both(name: &'static str, kind: KeyType) -> KnownKey {
    KnownKey::new(name, kind, Plane::Both)
}

const fn file(name: &'static str, kind: KeyType) -> KnownKey {
    KnownKey::new(name, kind, Plane::File)
}

const fn key(name: &'static str, kind: KeyType) -> KnownKey {
    KnownKey::new(name, kind, Plane::Key)
}

/// Every known condition key.
///
/// Sources: [AWS KMS condition keys] for `kms:`, [AWS global condition keys] for `aws:` (those a
/// request to kmsfs can carry); `kmsfs:` are the filesystem's own.
///
/// [AWS KMS condition keys]: https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html
/// [AWS global condition keys]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
pub const ALL: [KnownKey; 59] = [
    both("kmsfs:Uid", KeyType::Numeric),
    file("kmsfs:Gids", KeyType::Numeric)
        .multivalued()
        .fact(Facts::GIDS),
    file("kmsfs:ExePath", KeyType::String).fact(Facts::EXE_PATH),
    file("kmsfs:ExeSha256", KeyType::String).fact(Facts::EXE_SHA256),
    file("kmsfs:LoginUid", KeyType::Numeric).fact(Facts::LOGIN_UID),
    file("kmsfs:Label", KeyType::String),
    file("kmsfs:Path", KeyType::String),
    both("aws:PrincipalArn", KeyType::Arn).from(Source::PrincipalArn),
    both("aws:PrincipalAccount", KeyType::String).from(Source::PrincipalAccount),
    both("aws:username", KeyType::String).from(Source::UserName),
    both("aws:userid", KeyType::String),
    both("aws:PrincipalType", KeyType::String),
    both("aws:CurrentTime", KeyType::Date),
    both("aws:EpochTime", KeyType::Date),
    both("aws:SourceIp", KeyType::Ip),
    both("aws:SecureTransport", KeyType::Bool),
    key("aws:RequestTag/", KeyType::Any),
    key("aws:ResourceTag/", KeyType::Any),
    key("aws:TagKeys", KeyType::String).multivalued(),
    key("kms:BypassPolicyLockoutSafetyCheck", KeyType::Bool),
    key("kms:CallerAccount", KeyType::String),
    key("kms:CustomerMasterKeySpec", KeyType::String),
    key("kms:CustomerMasterKeyUsage", KeyType::String),
    key("kms:DataKeyPairSpec", KeyType::String),
    key("kms:EncapsulationAlgorithm", KeyType::String),
    key("kms:EncryptionAlgorithm", KeyType::String),
    key("kms:EncryptionContext:", KeyType::Any),
    key("kms:EncryptionContextKeys", KeyType::String).multivalued(),
    key("kms:ExpirationModel", KeyType::String),
    key("kms:GrantConstraintType", KeyType::String),
    key("kms:GrantIsForAWSResource", KeyType::Bool),
    key("kms:GrantOperations", KeyType::String).multivalued(),
    key("kms:GranteePrincipal", KeyType::Arn),
    key("kms:KeyAgreementAlgorithm", KeyType::String),
    key("kms:KeyOrigin", KeyType::String),
    key("kms:KeySpec", KeyType::String),
    key("kms:KeyUsage", KeyType::String),
    key("kms:MacAlgorithm", KeyType::String),
    key("kms:MessageType", KeyType::String),
    key("kms:MultiRegion", KeyType::Bool),
    key("kms:MultiRegionKeyType", KeyType::String),
    key("kms:PrimaryRegion", KeyType::String),
    key("kms:ReEncryptOnSameKey", KeyType::Bool),
    key("kms:RecipientAttestation:", KeyType::String),
    key("kms:ReplicaRegion", KeyType::String),
    key("kms:RequestAlias", KeyType::String),
    key("kms:ResourceAliases", KeyType::String).multivalued(),
    key("kms:RetiringPrincipal", KeyType::Arn),
    key("kms:RotationPeriodInDays", KeyType::Numeric),
    key(
        "kms:ScheduleKeyDeletionPendingWindowInDays",
        KeyType::Numeric,
    ),
    key("kms:SigningAlgorithm", KeyType::String),
    key("kms:ValidTo", KeyType::Date),
    key("kms:ViaService", KeyType::String),
    key("kms:WrappingAlgorithm", KeyType::String),
    key("kms:WrappingKeySpec", KeyType::String),
    both("aws:RequestedRegion", KeyType::String),
    both("aws:ResourceAccount", KeyType::String),
    both("aws:UserAgent", KeyType::String),
    both("aws:ViaAWSService", KeyType::Bool),
];

/// A condition key as a document names it.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) known: &'static KnownKey,
    /// The canonical spelling, with a family's completed name as it is written.
    pub(super) name: Cow<'static, str>,
}

impl Key {
    /// Finds a known key by its name, in any case.
    pub(super) fn named(name: &str) -> Option<Self> {
        // A constant's reference, so that keys can point into it.
        static KNOWN: [KnownKey; ALL.len()] = ALL;
        KNOWN.iter().find_map(|known| {
            let (head, rest) = name.split_at_checked(known.name.len())?;
            if !head.eq_ignore_ascii_case(known.name) || rest.is_empty() == known.is_family() {
                return None;
            }
            let name = match rest {
                "" => Cow::Borrowed(known.name),
                rest => Cow::Owned(format!("{}{rest}", known.name)),
            };
            Some(Self { known, name })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_any_case_and_given_their_canonical_spelling() {
        assert_eq!(Key::named("KMSFS:uid").unwrap().name, "kmsfs:Uid");
        let context = Key::named("kms:encryptioncontext:Department").unwrap();
        assert_eq!(context.name, "kms:EncryptionContext:Department");
        let keys = Key::named("kms:EncryptionContextKeys").unwrap();
        assert!(keys.known.multivalued);
    }

    #[test]
    fn a_family_needs_a_name_and_a_key_takes_none() {
        for unknown in [
            "kms:EncryptionContext:",
            "aws:RequestTag/",
            "kmsfs:Uid:x",
            "kmsfs:Ui",
            "",
        ] {
            assert!(Key::named(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn no_key_is_listed_twice() {
        let mut names: Vec<_> = ALL
            .iter()
            .map(|key| key.name.to_ascii_lowercase())
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
