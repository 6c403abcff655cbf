//! Making, describing, listing and switching keys.

use std::{ops::Bound, sync::Arc};

use super::{
    Change, Done, Embedded,
    authorize::{Facts, NewKey, Target, truth},
    page,
    policies::check_size,
    tags::{check_tags, tags_value},
    trail::Trail,
};
use crate::{
    kms::{
        KmsError, Region,
        api::{
            CreateKeyRequest, CreateKeyResponse, DescribeKeyRequest, DescribeKeyResponse,
            DisableKeyRequest, Empty, EnableKeyRequest, KeyListEntry, KeyManager, KeyMetadata,
            KeySpec, KeyState, KeyUsage, ListKeysRequest, ListKeysResponse, Origin,
        },
        key::Key,
        material::{KeyVersion, Material, MaterialFacts},
        name::KeyId,
        secret::Secret,
        state::Write,
    },
    policy::canned,
};

const MAX_DESCRIPTION: usize = 8192;

impl Embedded {
    pub(super) fn create_key<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a CreateKeyRequest,
    ) -> Result<Done<'a, CreateKeyResponse>, KmsError> {
        let description = request.description.as_deref().unwrap_or_default();
        let tags = request.tags.as_deref().unwrap_or_default();
        let bypass = request.bypass_policy_lockout_safety_check.unwrap_or(false);
        check_description(description)?;
        check_size(request.policy.as_deref())?;
        trail.parameter("description", description);
        trail.parameter("bypassPolicyLockoutSafetyCheck", bypass);
        trail.optional("policy", request.policy.as_deref());
        let kind = kind_of(request, &trail.place().region)?;
        trail.parameter("keySpec", kind.spec.as_str());
        trail.parameter("keyUsage", kind.usage.as_str());
        trail.parameter("origin", kind.origin.as_str());
        trail.parameter("multiRegion", kind.multi_region);
        trail.parameter("tags", tags_value(tags));
        check_tags(tags)?;

        let values = [("kms:BypassPolicyLockoutSafetyCheck", truth(bypass))];
        let facts = Facts {
            new_key: Some(kind),
            request_tags: tags,
            values: &values,
            ..Facts::default()
        };
        let mut allowed = self.authorize(trail, "kms:CreateKey", Target::Account, facts)?;
        if !tags.is_empty() {
            allowed = self.authorize(trail, "kms:TagResource", Target::Account, facts)?;
        }
        let policy = match request.policy.as_deref() {
            Some(policy) => self.parse_policy(policy)?,
            None => self.parse_policy(&canned::default_key_policy(&self.home.place.account))?,
        };
        let place = trail.place().clone();
        let (id, now) = (KeyId::generate(kind.multi_region), self.now());
        let imported = kind.origin == Origin::External;
        let first = if imported {
            None
        } else {
            let facts = MaterialFacts::new(KeyVersion::FIRST, None, now);
            Some(Material::new(id, facts, Secret::generate(kind.spec)?))
        };
        let mut writes = Vec::with_capacity(2);
        let sealed = first.as_ref().map(|material| material.seal(&self.root, id));
        let key = Arc::new(Key {
            id,
            arn: place.key_arn(id),
            spec: kind.spec,
            usage: kind.usage,
            origin: kind.origin,
            manager: KeyManager::Customer,
            created: now,
            state: if imported {
                KeyState::PendingImport
            } else {
                KeyState::Enabled
            },
            description: description.to_owned(),
            tags: tags.into(),
            policy,
            primary: kind.multi_region.then(|| place.region.clone()),
            deletion: None,
            rotation: None,
            last_use: Arc::default(),
            materials: first.into_iter().map(Arc::new).collect(),
            region: place.region.clone(),
        });
        self.check_lockout(trail, &key, &key.policy, bypass)?;
        let response = CreateKeyResponse {
            key_metadata: key.metadata(&place, &[]),
        };
        trail.key(&key.arn);
        trail.response("keyId", id.to_string());
        let store = self.changing();
        writes.push(Write::Key(key));
        writes.extend(sealed.map(|sealed| Write::Material(place.region, id, sealed)));
        let change = Change::write(self, store, writes)?;
        Ok(Done::change(&allowed, change, response))
    }

    pub(super) fn describe_key<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a DescribeKeyRequest,
    ) -> Result<Done<'a, DescribeKeyResponse>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        self.check_grant_tokens(trail, &request.grant_tokens)?;
        let named = self.find(trail.place(), &request.key_id)?;
        let facts = Facts {
            request_alias: named.alias.as_ref(),
            ..Facts::default()
        };
        let allowed = self.authorize(trail, "kms:DescribeKey", Target::Key(&named.key), facts)?;
        let key_metadata = self.metadata(trail, &named.key);
        Ok(Done::answer(&allowed, DescribeKeyResponse { key_metadata }))
    }

    /// What the API tells of `key`.
    pub(super) fn metadata(&self, trail: &Trail<'_>, key: &Key) -> KeyMetadata {
        let replicas = self.state.read().replica_regions(key);
        key.metadata(trail.place(), &replicas)
    }

    pub(super) fn list_keys<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a ListKeysRequest,
    ) -> Result<Done<'a, ListKeysResponse>, KmsError> {
        let limit = page::limit(request.limit, 100, 1000)?;
        let after = page::start(request.marker.as_deref(), |name| name.parse::<KeyId>().ok())?;
        let allowed = self.authorize(trail, "kms:ListKeys", Target::Account, Facts::default())?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.state.read();
        let keys = state
            .region(&trail.place().region)
            .into_iter()
            .flat_map(|regional| regional.keys.range((from, Bound::Unbounded)))
            .map(|(_, key)| KeyListEntry {
                key_id: key.id.to_string(),
                key_arn: key.arn.clone(),
            });
        let page = page::cut(keys, limit, |entry| entry.key_id.clone());
        let truncated = page.next.is_some();
        Ok(Done::answer(
            &allowed,
            ListKeysResponse {
                keys: page.items,
                next_marker: page.next,
                truncated,
            },
        ))
    }

    pub(super) fn enable_key<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a EnableKeyRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        self.switch_key(trail, &request.key_id, "kms:EnableKey", KeyState::Enabled)
    }

    pub(super) fn disable_key<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a DisableKeyRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        self.switch_key(trail, &request.key_id, "kms:DisableKey", KeyState::Disabled)
    }

    fn switch_key<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        key_id: &'a str,
        action: &str,
        to: KeyState,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.parameter("keyId", key_id);
        let store = self.changing();
        let key = self.find_by_id(trail.place(), key_id)?;
        let allowed = self.authorize(trail, action, Target::Key(&key), Facts::default())?;
        key.check_state(trail.demand())?;
        let switched = Key {
            state: to,
            ..(*key).clone()
        };
        let change = Change::write(self, store, vec![Write::Key(Arc::new(switched))])?;
        Ok(Done::change(&allowed, change, Empty {}))
    }
}

/// What kind of key the request asks for, if there is such a kind.
fn kind_of(request: &CreateKeyRequest, region: &Region) -> Result<NewKey, KmsError> {
    let invalid = |text: String| Err(KmsError::Validation(text));
    if request.key_spec.is_some() && request.customer_master_key_spec.is_some() {
        return invalid(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. \
             CustomerMasterKeySpec is deprecated."
                .to_owned(),
        );
    }
    let spec = request.key_spec.or(request.customer_master_key_spec);
    let spec = spec.unwrap_or(KeySpec::SymmetricDefault);
    let usage = match request.key_usage {
        Some(usage) => usage,
        None if spec.is_symmetric_encryption() => KeyUsage::EncryptDecrypt,
        None => {
            return invalid(
                "You must specify a KeyUsage value for all KMS keys except for symmetric \
                 encryption keys."
                    .to_owned(),
            );
        }
    };
    if !spec.usages().contains(&usage) {
        return invalid(format!(
            "KeyUsage {usage} is not compatible with KeySpec {spec}"
        ));
    }
    if spec == KeySpec::Sm2 && !region.is_in_china() {
        return Err(KmsError::Unsupported(format!(
            "KeySpec {spec} is not supported in this region"
        )));
    }
    let origin = request.origin.unwrap_or(Origin::AwsKms);
    if matches!(origin, Origin::AwsCloudHsm | Origin::ExternalKeyStore)
        || request.custom_key_store_id.is_some()
        || request.xks_key_id.is_some()
    {
        return Err(KmsError::Unsupported(
            "Custom key stores are not supported by this version of kmsfs.".to_owned(),
        ));
    }
    Ok(NewKey {
        spec,
        usage,
        origin,
        multi_region: request.multi_region.unwrap_or(false),
    })
}

pub(super) fn check_description(description: &str) -> Result<(), KmsError> {
    if description.chars().count() > MAX_DESCRIPTION {
        return Err(KmsError::constraint(
            "Value at 'description' failed to satisfy constraint: Member must have length less \
             than or equal to 8192",
        ));
    }
    Ok(())
}
