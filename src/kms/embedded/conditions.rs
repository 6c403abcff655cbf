//! What a request says of itself to policies' conditions
//! (<https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html>).

use std::borrow::Cow;

use super::{Embedded, authorize::Target, managed};
use crate::{
    kms::{
        Caller,
        api::{CreateGrantRequest, EncryptionContext, KeyManager, KeySpec, KeyUsage, Origin, Tag},
        key::Key,
        name::{AliasName, Place},
    },
    policy::Context,
};

/// What a request tells conditions beyond its caller and its key.
#[derive(Clone, Copy, Default)]
pub(super) struct Facts<'a> {
    /// Also what grants' constraints look at; `None` if the operation takes none.
    pub(super) encryption_context: Option<&'a EncryptionContext>,
    /// The alias that named the key.
    pub(super) request_alias: Option<&'a AliasName>,
    /// `CreateKey` only.
    pub(super) new_key: Option<NewKey>,
    pub(super) request_tags: &'a [Tag],
    /// `UntagResource` only.
    pub(super) tag_keys: &'a [String],
    /// `CreateGrant` only: a grant that lets the caller make grants has to allow this one.
    pub(super) new_grant: Option<&'a CreateGrantRequest>,
    /// Other condition keys with their values, by their canonical spelling. A key with several
    /// values comes several times.
    pub(super) values: &'a [(&'static str, &'a str)],
}

/// What a key that is to be made will be.
#[derive(Clone, Copy)]
pub(super) struct NewKey {
    pub(super) spec: KeySpec,
    pub(super) usage: KeyUsage,
    pub(super) origin: Origin,
    pub(super) multi_region: bool,
}

/// `true` or `false`, as conditions have it.
pub(super) fn truth(truth: bool) -> &'static str {
    if truth { "true" } else { "false" }
}

/// The condition keys of one request.
pub(super) struct Conditions<'a> {
    pub(super) service: &'a Embedded,
    pub(super) caller: &'a Caller,
    pub(super) place: &'a Place,
    pub(super) target: Target<'a>,
    pub(super) facts: Facts<'a>,
}

impl Conditions<'_> {
    fn key(&self) -> Option<&Key> {
        match self.target {
            Target::Key(key) => Some(key),
            Target::Account | Target::Alias(_) => None,
        }
    }

    /// What the key is, or will be.
    fn kind(&self) -> Option<NewKey> {
        self.facts.new_key.or_else(|| {
            self.key().map(|key| NewKey {
                spec: key.spec,
                usage: key.usage,
                origin: key.origin,
                multi_region: key.primary.is_some(),
            })
        })
    }

    /// The values of a family's key, such as `kms:EncryptionContext:department`. A key's name in a
    /// condition has no case, so `Department` of the request answers as well.
    fn of_family(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let (name, pairs): (&str, Vec<(&str, &str)>) =
            if let Some(name) = key.strip_prefix("kms:EncryptionContext:") {
                let pairs = self.facts.encryption_context?.iter();
                (
                    name,
                    pairs.map(|(name, value)| (&**name, &**value)).collect(),
                )
            } else if let Some(name) = key.strip_prefix("aws:RequestTag/") {
                (name, tags(self.facts.request_tags))
            } else if let Some(name) = key.strip_prefix("aws:ResourceTag/") {
                (name, tags(&self.key()?.tags))
            } else {
                return None;
            };
        let same = pairs
            .into_iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        Some(same.map(|(_, value)| value.into()).collect())
    }

    fn of_operation(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let values = self.facts.values.iter().filter(|(name, _)| *name == key);
        let values: Vec<_> = values.map(|(_, value)| Cow::from(*value)).collect();
        (!values.is_empty()).then_some(values)
    }
}

fn tags(tags: &[Tag]) -> Vec<(&str, &str)> {
    tags.iter()
        .map(|tag| (&*tag.tag_key, &*tag.tag_value))
        .collect()
}

impl Context for Conditions<'_> {
    fn get(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let (place, caller) = (self.place, self.caller);
        let one: Cow<'_, str> = match key {
            "kms:ViaService" if caller.via_kmsfs => place.via_service().into(),
            "kms:CallerAccount" => (&*caller.principal.account).into(),
            "kms:KeySpec" | "kms:CustomerMasterKeySpec" => self.kind()?.spec.as_str().into(),
            "kms:KeyUsage" | "kms:CustomerMasterKeyUsage" => self.kind()?.usage.as_str().into(),
            "kms:KeyOrigin" => self.kind()?.origin.as_str().into(),
            "kms:MultiRegion" => truth(self.kind()?.multi_region).into(),
            "kms:MultiRegionKeyType" => match self.key() {
                Some(key) => key.multi_region_type()?.as_str().into(),
                None if self.facts.new_key?.multi_region => "PRIMARY".into(),
                None => return None,
            },
            "kms:RequestAlias" => self.facts.request_alias?.as_str().into(),
            "kmsfs:Uid" => caller.uid?.to_string().into(),
            "aws:PrincipalType" => "User".into(),
            "aws:userid" => (&**caller.access_key_id.as_ref()?).into(),
            "aws:SourceIp" => caller.source_ip?.to_string().into(),
            "aws:SecureTransport" => truth(caller.secure_transport?).into(),
            "aws:UserAgent" => (&**caller.user_agent.as_ref()?).into(),
            "aws:CurrentTime" => self.service.now().to_string().into(),
            "aws:EpochTime" => (self.service.now().millis / 1000).to_string().into(),
            "aws:RequestedRegion" => place.region.as_str().into(),
            "aws:ResourceAccount" => (&*place.account).into(),
            "aws:ViaAWSService" => truth(caller.via_kmsfs).into(),
            "kms:EncryptionContextKeys" => {
                let context = self.facts.encryption_context?;
                return Some(context.keys().map(|name| (&**name).into()).collect());
            }
            "aws:TagKeys" => {
                let set = self.facts.request_tags.iter().map(|tag| &tag.tag_key);
                let names = set.chain(self.facts.tag_keys);
                return Some(names.map(|name| (&**name).into()).collect());
            }
            "kms:ResourceAliases" => {
                let key = self.key()?;
                // It may be decided upon before the store has seen it.
                if key.manager == KeyManager::Aws {
                    return Some(vec![managed::ALIAS.into()]);
                }
                let state = self.service.state.read();
                let aliases = state.region(&place.region)?.aliases_of(key.id);
                return Some(aliases.map(|name| name.to_string().into()).collect());
            }
            other => return self.of_operation(other).or_else(|| self.of_family(other)),
        };
        Some(vec![one])
    }
}
