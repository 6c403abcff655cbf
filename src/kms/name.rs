//! Naming keys: Regions, key ids, ARNs, aliases, and the four forms in which a request may name a key.

use std::{fmt, str::FromStr, sync::Arc};

use uuid::Uuid;

use super::KmsError;

/// Every AWS Region of every partition, in order: `data/endpoints.json` of botocore 1.44.8.
const REGIONS: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-isoe-west-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-iso-west-1",
    "us-isob-east-1",
    "us-isob-west-1",
    "us-isof-east-1",
    "us-isof-south-1",
    "us-west-1",
    "us-west-2",
];

/// The name of an AWS Region, such as `us-east-1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(Arc<str>);

impl Region {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A Region that a home has, be it because AWS gave it up: the pattern of `RegionType` in the
    /// API, `([a-z]+-){2,3}\d+`, at most 32 characters.
    pub(super) fn known(text: &str) -> Result<Self, NoRegion> {
        let mut parts = text.split('-').rev();
        let number = parts.next().unwrap_or_default();
        let words: Vec<&str> = parts.collect();
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let word = |w: &&str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase());
        if digits && matches!(words.len(), 2 | 3) && words.iter().all(word) && text.len() <= 32 {
            Ok(Self(text.into()))
        } else {
            Err(NoRegion(text.to_owned()))
        }
    }

    /// Whether it is one of the China Regions, which alone have SM2.
    pub(super) fn is_in_china(&self) -> bool {
        self.0.starts_with("cn-")
    }
}

impl FromStr for Region {
    type Err = NoRegion;

    /// Takes the Regions that there are: each holds keys of its own, so whoever could invent Regions
    /// could have keys without end.
    fn from_str(text: &str) -> Result<Self, NoRegion> {
        match REGIONS.binary_search(&text) {
            Ok(_) => Ok(Self(text.into())),
            Err(_) => Err(NoRegion(text.to_owned())),
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not the name of a Region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of an AWS Region, such as us-east-1")]
pub struct NoRegion(String);

/// A key's id: a UUID, or `mrk-` and 32 hexadecimal digits for a multi-Region key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId {
    multi_region: bool,
    uuid: Uuid,
}

impl KeyId {
    /// Bytes of the binary form.
    pub(super) const LEN: usize = 16;
    const MULTI_REGION: &str = "mrk-";

    /// A fresh random id.
    pub(super) fn generate(multi_region: bool) -> Self {
        let uuid = Uuid::new_v4();
        Self { multi_region, uuid }
    }

    /// Whether it names a multi-Region key, which has the same id in every Region.
    pub(super) fn is_multi_region(self) -> bool {
        self.multi_region
    }

    /// The binary form, as in ciphertext blobs. Which kind of key it names is not in it.
    pub(super) fn as_bytes(&self) -> &[u8; Self::LEN] {
        self.uuid.as_bytes()
    }

    /// The id with this binary form.
    pub(super) fn from_bytes(multi_region: bool, bytes: [u8; Self::LEN]) -> Self {
        let uuid = Uuid::from_bytes(bytes);
        Self { multi_region, uuid }
    }
}

impl FromStr for KeyId {
    type Err = KmsError;

    /// Only the hyphenated form in lower or upper case, as AWS has it, or that of a multi-Region key.
    fn from_str(text: &str) -> Result<Self, KmsError> {
        let (multi_region, digits, length) = match text.strip_prefix(Self::MULTI_REGION) {
            Some(digits) => (true, digits, 32),
            None => (false, text, 36),
        };
        let uuid = Some(digits)
            .filter(|digits| digits.len() == length)
            .and_then(|digits| Uuid::try_parse(digits).ok());
        uuid.map(|uuid| Self { multi_region, uuid })
            .ok_or_else(|| KmsError::NotFound(format!("Invalid keyId '{text}'")))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.multi_region {
            write!(f, "{}{}", Self::MULTI_REGION, self.uuid.as_simple())
        } else {
            self.uuid.as_hyphenated().fmt(f)
        }
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

/// An account in a Region: what the ARNs of its keys begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) account: String,
    pub(super) region: Region,
}

/// What a request's `KeyId` says, before it is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyName {
    Id(KeyId),
    Alias(AliasName),
}

impl Place {
    /// The same account in another Region.
    pub(super) fn at(&self, region: &Region) -> Self {
        Self {
            account: self.account.clone(),
            region: region.clone(),
        }
    }

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
        if region != self.region.as_str() {
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
    use super::{AliasName, KeyName, Place, REGIONS, Region};
    use crate::kms::KmsError;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

    fn place() -> Place {
        Place {
            account: "111122223333".to_owned(),
            region: "us-west-2".parse().unwrap(),
        }
    }

    #[test]
    fn only_the_regions_that_there_are_can_be_named_and_all_of_them() {
        assert!(REGIONS.is_sorted(), "they are searched");
        for region in REGIONS {
            assert_eq!(region.parse::<Region>().unwrap().as_str(), *region);
            assert!(Region::known(region).is_ok(), "{region}");
        }
        for invented in ["xx-nowhere-1", "us-east-99", "US-EAST-1", "us-east-1 ", ""] {
            assert!(invented.parse::<Region>().is_err(), "{invented}");
        }
        // A home that has one goes on.
        assert!(Region::known("xx-nowhere-1").is_ok());
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
        let many = "mrk-1234abcd12ab34cd56ef1234567890ab";
        let shown = many.parse::<super::KeyId>().unwrap();
        assert_eq!(shown.to_string(), many);
        assert_eq!(parse(many), KeyName::Id(shown));
        assert_ne!(parse(many), id);
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
