//! Making, describing, listing and switching keys.

use std::{collections::BTreeSet, ops::Bound, sync::Arc};

use super::{
    Change, Done, Embedded,
    authorize::{Facts, Target},
    page,
    policies::parse_policy,
    trail::Trail,
};
use crate::{
    kms::{
        KmsError,
        api::{
            CreateKeyRequest, CreateKeyResponse, DescribeKeyRequest, DescribeKeyResponse,
            DisableKeyRequest, Empty, EnableKeyRequest, KeyListEntry, KeySpec, KeyState,
            ListKeysRequest, ListKeysResponse, Origin, Tag, Timestamp,
        },
        material::{KeyVersion, Material},
        name::KeyId,
        state::Key,
    },
    policy::canned,
};

const MAX_DESCRIPTION: usize = 8192;
const MAX_TAGS: usize = 50;

impl Embedded {
    pub(super) fn create_key<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a CreateKeyRequest,
    ) -> Result<Done<'a, CreateKeyResponse>, KmsError> {
        let description = request.description.as_deref().unwrap_or_default();
        let tags = request.tags.as_deref().unwrap_or_default();
        let bypass = request.bypass_policy_lockout_safety_check.unwrap_or(false);
        let spec = request
            .key_spec
            .or(request.customer_master_key_spec)
            .unwrap_or(Key::SPEC);
        trail.parameter("description", description);
        trail.parameter("keySpec", spec.as_str());
        trail.parameter("keyUsage", request.key_usage.unwrap_or(Key::USAGE).as_str());
        trail.parameter("origin", request.origin.unwrap_or(Key::ORIGIN).as_str());
        trail.parameter("bypassPolicyLockoutSafetyCheck", bypass);
        trail.optional("policy", request.policy.as_deref());
        check_kind(request, spec)?;
        check_description(description)?;
        check_tags(tags)?;

        let facts = Facts {
            new_key: true,
            request_tags: tags,
            bypass_lockout_check: Some(bypass),
            ..Facts::default()
        };
        let mut allowed = self.authorize(trail, "kms:CreateKey", Target::Account, facts)?;
        if !tags.is_empty() {
            allowed = self.authorize(trail, "kms:TagResource", Target::Account, facts)?;
        }
        let policy = match request.policy.as_deref() {
            Some(policy) => parse_policy(policy)?,
            None => parse_policy(&canned::default_key_policy(&self.home.place.account))?,
        };
        let id = KeyId::generate();
        let material = Material::generate(id, KeyVersion::FIRST, None);
        let first = material.seal(&self.root, id);
        let key = Arc::new(Key {
            id,
            arn: self.home.place.key_arn(id),
            created: Timestamp::now(),
            state: KeyState::Enabled,
            description: description.to_owned(),
            tags: tags.into(),
            policy: Arc::new(policy),
            materials: vec![Arc::new(material)],
        });
        self.check_lockout(trail, &key, &key.policy, bypass)?;
        let response = CreateKeyResponse {
            key_metadata: key.metadata(&self.home.place),
        };
        trail.key(&key.arn);
        trail.response("keyId", id.to_string());
        let store = self.changing();
        let change = Change::write(self, store, |store| store.insert_key(&key, &first), {
            let key = Arc::clone(&key);
            move |state| drop(state.keys.insert(id, key))
        })?;
        Ok(Done::change(&allowed, change, response))
    }

    pub(super) fn describe_key<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a DescribeKeyRequest,
    ) -> Result<Done<'a, DescribeKeyResponse>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        let named = self.find(&request.key_id)?;
        let facts = Facts {
            request_alias: named.alias.as_ref(),
            ..Facts::default()
        };
        let allowed = self.authorize(trail, "kms:DescribeKey", Target::Key(&named.key), facts)?;
        let key_metadata = named.key.metadata(&self.home.place);
        Ok(Done::answer(&allowed, DescribeKeyResponse { key_metadata }))
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
            .keys
            .range((from, Bound::Unbounded))
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
        let key = self.find_by_id(key_id)?;
        let allowed = self.authorize(trail, action, Target::Key(&key), Facts::default())?;
        key.check_manageable()?;
        let id = key.id;
        let switched = Arc::new(Key {
            state: to,
            ..(*key).clone()
        });
        let change = Change::write(
            self,
            store,
            |store| store.set_key_state(id, to),
            move |state| drop(state.keys.insert(id, switched)),
        )?;
        Ok(Done::change(&allowed, change, Empty {}))
    }
}

/// Only symmetric encryption keys with material of our own can be made as yet.
fn check_kind(request: &CreateKeyRequest, spec: KeySpec) -> Result<(), KmsError> {
    let unsupported = |what: String| {
        Err(KmsError::Unsupported(format!(
            "{what} is not supported by this version of kmsfs, which makes SYMMETRIC_DEFAULT keys \
             with Origin AWS_KMS in one Region"
        )))
    };
    if request.key_spec.is_some() && request.customer_master_key_spec.is_some() {
        return Err(KmsError::Validation(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. \
             CustomerMasterKeySpec is deprecated."
                .to_owned(),
        ));
    }
    if spec != Key::SPEC {
        if request.key_usage.is_none() {
            return Err(KmsError::Validation(
                "You must specify a KeyUsage value for all KMS keys except for symmetric \
                 encryption keys."
                    .to_owned(),
            ));
        }
        return unsupported(format!("KeySpec {spec}"));
    }
    match request.key_usage {
        None | Some(Key::USAGE) => {}
        Some(usage) => {
            return Err(KmsError::Validation(format!(
                "KeyUsage {usage} is not compatible with KeySpec {spec}"
            )));
        }
    }
    match request.origin {
        None | Some(Origin::AwsKms) => {}
        Some(origin) => return unsupported(format!("Origin {origin}")),
    }
    if request.multi_region == Some(true) {
        return unsupported("MultiRegion".to_owned());
    }
    Ok(())
}

fn check_description(description: &str) -> Result<(), KmsError> {
    if description.chars().count() > MAX_DESCRIPTION {
        return Err(KmsError::constraint(
            "Value at 'description' failed to satisfy constraint: Member must have length less \
             than or equal to 8192",
        ));
    }
    Ok(())
}

fn check_tags(tags: &[Tag]) -> Result<(), KmsError> {
    if tags.len() > MAX_TAGS {
        return Err(KmsError::Tag("Too many tags".to_owned()));
    }
    let mut names = BTreeSet::new();
    for tag in tags {
        let (name, value) = (&*tag.tag_key, &*tag.tag_value);
        if name.is_empty() || name.chars().count() > 128 || value.chars().count() > 256 {
            return Err(KmsError::constraint(&format!(
                "Value '{name}' at 'tags' failed to satisfy constraint: a tag has a key of 1 to \
                 128 characters and a value of at most 256"
            )));
        }
        if name.starts_with("aws:") {
            return Err(KmsError::Tag(
                "Tags beginning with aws: are reserved".to_owned(),
            ));
        }
        if !names.insert(name) {
            return Err(KmsError::Tag("Duplicate tag keys".to_owned()));
        }
    }
    Ok(())
}
