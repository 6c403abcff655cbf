//! Asking policy: what a request is about, and what it says of itself to conditions.

use std::{borrow::Cow, sync::Arc};

use super::{Embedded, trail::Trail};
use crate::{
    kms::{
        Caller, KmsError,
        api::{EncryptionAlgorithm, EncryptionContext, KeySpec, KeyUsage, Origin, Tag},
        key::Key,
        name::{AliasName, Place},
    },
    policy::{self, Allowed, Context, Denied, DenyReason, Document, Principal, Request},
};

/// What an operation is to be done to.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// Nothing in particular: identity policies alone decide.
    Account,
    /// A key: its policy decides.
    Key(&'a Key),
    /// An alias: identity policies alone decide.
    Alias(&'a AliasName),
}

/// What a request tells conditions beyond its caller and its key.
#[derive(Clone, Copy, Default)]
pub(super) struct Facts<'a> {
    pub(super) encryption_context: Option<&'a EncryptionContext>,
    /// The alias that named the key.
    pub(super) request_alias: Option<&'a AliasName>,
    pub(super) algorithm: Option<EncryptionAlgorithm>,
    /// `ReEncrypt` only.
    pub(super) same_key: Option<bool>,
    /// Condition keys that only the operation has, and their values.
    pub(super) values: &'a [(&'static str, &'a str)],
    /// `CreateKey` and `PutKeyPolicy` only.
    pub(super) bypass_lockout_check: Option<bool>,
    /// `CreateKey` only.
    pub(super) new_key: Option<NewKey>,
    /// `CreateKey` only.
    pub(super) request_tags: &'a [Tag],
}

/// What a key that is to be made will be.
#[derive(Clone, Copy)]
pub(super) struct NewKey {
    pub(super) spec: KeySpec,
    pub(super) usage: KeyUsage,
    pub(super) origin: Origin,
    pub(super) multi_region: bool,
}

impl Embedded {
    /// Has policy decide whether the caller may do `action` (`kms:…`) to `target`.
    pub(super) fn authorize(
        &self,
        trail: &mut Trail<'_>,
        action: &str,
        target: Target<'_>,
        facts: Facts<'_>,
    ) -> Result<Allowed, KmsError> {
        let document = match target {
            Target::Key(key) => {
                trail.key(&key.arn);
                &*key.policy
            }
            Target::Account | Target::Alias(_) => &self.account,
        };
        match self.decide(document, trail, action, target, facts) {
            Ok(allowed) => {
                trail.allowed(&allowed);
                Ok(allowed)
            }
            Err(denied) => {
                let error = access_denied(&denied, trail, action, target);
                trail.denied(denied);
                Err(error)
            }
        }
    }

    /// The decision alone, by `document` in the place of the target's own policy.
    pub(super) fn decide(
        &self,
        document: &Document,
        trail: &Trail<'_>,
        action: &str,
        target: Target<'_>,
        facts: Facts<'_>,
    ) -> Result<Allowed, Denied> {
        let (caller, place) = (trail.caller(), trail.place());
        let resource = resource(place, target);
        let context = Conditions {
            service: self,
            caller,
            place,
            target,
            facts,
        };
        let principal = &*caller.principal;
        let request = Request {
            principal,
            action,
            resource: &resource,
            context: &context,
        };
        let attached = self.identity_policies(principal);
        let mut identity: Vec<&Document> = attached.iter().map(|document| &**document).collect();
        if principal.arn == self.home.admin.arn {
            identity.push(&self.administrator);
        }
        policy::decide(document, &identity, &[], &request)
    }

    /// What is attached to the caller, and to the caller's groups and roles.
    fn identity_policies(&self, principal: &Principal) -> Vec<Arc<Document>> {
        let state = self.state.read();
        let names = std::iter::once(&principal.arn).chain(&principal.also);
        names
            .flat_map(|arn| state.identity_policies(arn))
            .cloned()
            .collect()
    }
}

fn resource<'a>(place: &Place, target: Target<'a>) -> Cow<'a, str> {
    match target {
        Target::Account => "*".into(),
        Target::Key(key) => (&*key.arn).into(),
        Target::Alias(alias) => place.alias_arn(alias).into(),
    }
}

/// AWS's words (<https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>).
fn access_denied(denied: &Denied, trail: &Trail<'_>, action: &str, target: Target<'_>) -> KmsError {
    let by_resource_policy = match denied.reason {
        DenyReason::ExplicitDeny => denied
            .statements
            .iter()
            .any(|statement| !statement.starts_with("identity:")),
        DenyReason::NoAllow => matches!(target, Target::Key(_)),
    };
    let kind = if by_resource_policy {
        "resource-based"
    } else {
        "identity-based"
    };
    let because = match denied.reason {
        DenyReason::ExplicitDeny => format!("with an explicit deny in a {kind} policy"),
        DenyReason::NoAllow => format!("because no {kind} policy allows the {action} action"),
    };
    KmsError::AccessDenied(format!(
        "User: {} is not authorized to perform: {action} on resource: {} {because}",
        trail.caller().principal.arn,
        resource(trail.place(), target),
    ))
}

/// The condition keys of one request
/// (<https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html>).
struct Conditions<'a> {
    service: &'a Embedded,
    caller: &'a Caller,
    place: &'a Place,
    target: Target<'a>,
    facts: Facts<'a>,
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
}

fn tags(tags: &[Tag]) -> Vec<(&str, &str)> {
    tags.iter()
        .map(|tag| (&*tag.tag_key, &*tag.tag_value))
        .collect()
}

impl Context for Conditions<'_> {
    fn get(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let place = self.place;
        let bool = |truth: bool| Cow::from(if truth { "true" } else { "false" });
        let one: Cow<'_, str> = match key {
            "kms:ViaService" if self.caller.via_kmsfs => place.via_service().into(),
            "kms:CallerAccount" => (&*self.caller.principal.account).into(),
            "kms:KeySpec" | "kms:CustomerMasterKeySpec" => self.kind()?.spec.as_str().into(),
            "kms:KeyUsage" | "kms:CustomerMasterKeyUsage" => self.kind()?.usage.as_str().into(),
            "kms:KeyOrigin" => self.kind()?.origin.as_str().into(),
            "kms:MultiRegion" => bool(self.kind()?.multi_region),
            "kms:EncryptionAlgorithm" => self.facts.algorithm?.as_str().into(),
            "kms:RequestAlias" => self.facts.request_alias?.as_str().into(),
            "kms:ReEncryptOnSameKey" => bool(self.facts.same_key?),
            "kms:BypassPolicyLockoutSafetyCheck" => bool(self.facts.bypass_lockout_check?),
            "kmsfs:Uid" => self.caller.uid?.to_string().into(),
            "aws:PrincipalType" => "User".into(),
            "aws:CurrentTime" => jiff::Timestamp::now().to_string().into(),
            "aws:EpochTime" => jiff::Timestamp::now().as_second().to_string().into(),
            "aws:RequestedRegion" => place.region.as_str().into(),
            "aws:ResourceAccount" => (&*place.account).into(),
            "aws:ViaAWSService" => bool(self.caller.via_kmsfs),
            "kms:EncryptionContextKeys" => {
                let context = self.facts.encryption_context?;
                return Some(context.keys().map(|name| (&**name).into()).collect());
            }
            "aws:TagKeys" => {
                let names = self
                    .facts
                    .request_tags
                    .iter()
                    .map(|tag| (&*tag.tag_key).into());
                return Some(names.collect());
            }
            "kms:ResourceAliases" => {
                let state = self.service.state.read();
                let aliases = state.region(&place.region)?.aliases_of(self.key()?.id);
                return Some(aliases.map(|name| name.to_string().into()).collect());
            }
            other => match self.facts.values.iter().find(|(name, _)| *name == other) {
                Some((_, value)) => (*value).into(),
                None => return self.of_family(other),
            },
        };
        Some(vec![one])
    }
}
