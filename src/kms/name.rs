//! Naming keys: key ids, ARNs, aliases, and the four forms in which a request may name a key.

use std::{fmt, str::FromStr};

use uuid::Uuid;

use super::KmsError;

/// A key's id: a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Uuid);

impl KeyId {
    /// Bytes of the binary form.
    pub(super) const LEN: usize = 16;

    /// A fresh random id.
    pub(super) fn generate() -> Self {
        Self(Uuid::new_v4())
    }

    /// The binary form, as in ciphertext blobs.
    pub(super) fn as_bytes(&self) -> &[u8; Self::LEN] {
        self.0.as_bytes()
    }

    /// The id with this binary form.
    pub(super) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl FromStr for KeyId {
    type Err = KmsError;

    /// Only the hyphenated form in lower or upper case, as AWS has it.
    fn from_str(text: &str) -> Result<Self, KmsError> {
        let invalid = || KmsError::NotFound(format!("Invalid keyId '{text}'"));
        if text.len() != 36 {
            return Err(invalid());
        }
        Uuid::try_parse(text).map(Self).map_err(|_| invalid())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// An alias' name with its prefix `alias/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct AliasName(String);

impl AliasName {
    const PREFIX: &str = "alias/";
    /// Only AWS makes aliases that begin so.
    const RESERVED: &str = "alias/aws/";

    /// An alias that a client wants to create, change or delete.
    pub(super) fn parse(text: &str) -> Result<Self, KmsError> {
        if text.is_empty() {
            return Err(KmsError::constraint(
                "Value '' at 'aliasName' failed to satisfy constraint: Member must have length \
                 greater than or equal to 1",
            ));
        }
        if text.chars().count() > 256 {
            return Err(KmsError::constraint(&format!(
                "Value '{text}' at 'aliasName' failed to satisfy constraint: Member must have \
                 length less than or equal to 256"
            )));
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b":/_-".contains(&b))
        {
            return Err(KmsError::constraint(&format!(
                "Value '{text}' at 'aliasName' failed to satisfy constraint: Member must satisfy \
                 regular expression pattern: ^[a-zA-Z0-9:/_-]+$"
            )));
        }
        let Some(name) = text
            .strip_prefix(Self::PREFIX)
            .filter(|name| !name.is_empty())
        else {
            return Err(KmsError::Validation(
                "Alias must start with the prefix \"alias/\". Please see \
                 https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
                    .to_owned(),
            ));
        };
        if name.contains(':') {
            return Err(KmsError::Validation(format!(
                "{text} contains invalid characters for an alias"
            )));
        }
        if text.starts_with(Self::RESERVED) {
            return Err(KmsError::NotAuthorized(String::new()));
        }
        Ok(Self(text.to_owned()))
    }

    /// A name that the store holds, or that a request looks up.
    pub(super) fn known(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AliasName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The account and Region that ARNs of a home carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) account: String,
    pub(super) region: String,
}

/// What a request's `KeyId` says, before it is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyName {
    Id(KeyId),
    Alias(AliasName),
}

impl Place {
    /// `arn:aws:kms:<region>:<account>:key/<key id>`.
    pub(super) fn key_arn(&self, id: KeyId) -> String {
        format!("arn:aws:kms:{}:{}:key/{id}", self.region, self.account)
    }

    /// `arn:aws:kms:<region>:<account>:alias/...`.
    pub(super) fn alias_arn(&self, alias: &AliasName) -> String {
        format!("arn:aws:kms:{}:{}:{alias}", self.region, self.account)
    }

    /// The service that mounts call from, as `kms:ViaService` has it.
    pub(super) fn via_service(&self) -> String {
        format!("kmsfs.{}.amazonaws.com", self.region)
    }

    /// Reads a `KeyId` in any of its four forms.
    pub(super) fn parse_key_name(&self, text: &str) -> Result<KeyName, KmsError> {
        if text.is_empty() {
            return Err(KmsError::constraint(
                "Value '' at 'keyId' failed to satisfy constraint: Member must have length greater \
                 than or equal to 1",
            ));
        }
        if text.chars().count() > 2048 {
            return Err(KmsError::constraint(
                "Value at 'keyId' failed to satisfy constraint: Member must have length less than \
                 or equal to 2048",
            ));
        }
        let resource = match text.strip_prefix("arn:") {
            Some(rest) => self.resource_of(text, rest)?,
            None => text,
        };
        if resource.starts_with(AliasName::PREFIX) {
            return Ok(KeyName::Alias(AliasName::known(resource)));
        }
        let id = match (text == resource, resource.strip_prefix("key/")) {
            (false, Some(id)) => id,
            (false, None) => return Err(KmsError::InvalidArn(format!("Invalid arn {text}"))),
            (true, _) => resource,
        };
        id.parse().map(KeyName::Id)
    }

    /// The resource part of an ARN of this account and Region.
    fn resource_of<'a>(&self, arn: &str, rest: &'a str) -> Result<&'a str, KmsError> {
        let mut parts = rest.splitn(5, ':');
        let fields = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        );
        let (Some("aws"), Some("kms"), Some(region), Some(account), Some(resource)) = fields else {
            return Err(KmsError::InvalidArn(format!("Invalid arn {arn}")));
        };
        if region != self.region {
            return Err(KmsError::NotFound(format!("Invalid arn {region}")));
        }
        if account != self.account {
            return Err(KmsError::NotFound(format!(
                "Invalid arn {arn}: another account"
            )));
        }
        Ok(resource)
    }
}

#[cfg(test)]
mod tests {
    use super::{AliasName, KeyName, Place};
    use crate::kms::KmsError;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

    fn place() -> Place {
        Place {
            account: "111122223333".to_owned(),
            region: "us-west-2".to_owned(),
        }
    }

    #[test]
    fn a_key_may_be_named_in_four_forms() {
        let id = KeyName::Id(ID.parse().unwrap());
        let alias = KeyName::Alias(AliasName::known("alias/a"));
        let parse = |text: &str| place().parse_key_name(text).unwrap();
        assert_eq!(parse(ID), id);
        assert_eq!(
            parse(&format!("arn:aws:kms:us-west-2:111122223333:key/{ID}")),
            id
        );
        assert_eq!(parse("alias/a"), alias);
        assert_eq!(parse("arn:aws:kms:us-west-2:111122223333:alias/a"), alias);
    }

    #[test]
    fn a_name_that_is_none_of_them_is_refused_as_aws_refuses_it() {
        let refuse = |text: &str| place().parse_key_name(text).unwrap_err();
        let not_found = |text: &str| KmsError::NotFound(text.to_owned());
        assert_eq!(refuse("fake"), not_found("Invalid keyId 'fake'"));
        assert_eq!(
            refuse("1234abcd12ab34cd56ef1234567890ab"),
            not_found("Invalid keyId '1234abcd12ab34cd56ef1234567890ab'")
        );
        assert_eq!(
            refuse(&format!("arn:aws:kms:eu-west-1:111122223333:key/{ID}")),
            not_found("Invalid arn eu-west-1")
        );
        assert!(matches!(
            refuse("arn:aws:s3:::bucket"),
            KmsError::InvalidArn(_)
        ));
        assert!(matches!(
            refuse("arn:aws:kms:us-west-2:111122223333:x/y"),
            KmsError::InvalidArn(_)
        ));
        assert!(matches!(refuse(""), KmsError::Validation(_)));
        assert!(matches!(refuse(&"k".repeat(2049)), KmsError::Validation(_)));
    }

    #[test]
    fn alias_names_follow_the_rules() {
        assert!(AliasName::parse("alias/team/project_1-x").is_ok());
        for bad in ["", "team", "alias/", "alias/a b", "alias/a:b", "alias/ä"] {
            let refused = AliasName::parse(bad);
            assert!(matches!(refused, Err(KmsError::Validation(_))), "{bad}");
        }
        let long = format!("alias/{}", "a".repeat(251));
        assert!(matches!(
            AliasName::parse(&long),
            Err(KmsError::Validation(_))
        ));
        assert!(AliasName::parse(&long[..256]).is_ok());
        assert!(matches!(
            AliasName::parse("alias/aws/s3"),
            Err(KmsError::NotAuthorized(_))
        ));
    }
}
