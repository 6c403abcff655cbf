//! Multi-Region keys: copies of one key in several Regions.

use std::sync::Arc;

use super::{
    Change, Done, Embedded,
    authorize::{Facts, NewKey, Target},
    keys::check_description,
    policies::check_size,
    tags::{check_tags, tags_value},
    trail::Trail,
};
use crate::{
    kms::{
        KmsError, Region,
        api::{
            Empty, KeyState, MultiRegionKeyType, Origin, ReplicateKeyRequest, ReplicateKeyResponse,
            UpdatePrimaryRegionRequest,
        },
        key::Key,
        state::Write,
    },
    policy::canned,
};

impl Embedded {
    pub(super) fn replicate_key<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a ReplicateKeyRequest,
    ) -> Result<Done<'a, ReplicateKeyResponse>, KmsError> {
        let description = request.description.as_deref().unwrap_or_default();
        let bypass = request.bypass_policy_lockout_safety_check.unwrap_or(false);
        trail.parameter("keyId", &*request.key_id);
        trail.parameter("replicaRegion", &*request.replica_region);
        check_description(description)?;
        check_size(request.policy.as_deref())?;
        trail.parameter("description", description);
        trail.parameter("bypassPolicyLockoutSafetyCheck", bypass);
        trail.optional("policy", request.policy.as_deref());
        trail.parameter("tags", tags_value(&request.tags));
        let region = parse_region("replicaRegion", &request.replica_region)?;
        let store = self.changing();
        let primary = self.find_by_id(trail.place(), &request.key_id)?;
        let values = [("kms:ReplicaRegion", region.as_str())];
        let facts = Facts {
            values: &values,
            ..Facts::default()
        };
        drop(self.authorize(trail, "kms:ReplicateKey", Target::Key(&primary), facts)?);
        check_primary(&primary)?;
        primary.check_state(trail.demand())?;
        check_tags(&request.tags)?;
        self.check_served(&region)?;
        let place = trail.place().at(&region);
        if self.state.read().key(&region, primary.id).is_some() || region == primary.region {
            return Err(KmsError::AlreadyExists(format!(
                "Unable to replicate key to region {region}, as the key already exists there: {}",
                place.key_arn(primary.id)
            )));
        }
        let new = Facts {
            new_key: Some(NewKey {
                spec: primary.spec,
                usage: primary.usage,
                origin: primary.origin,
                multi_region: true,
            }),
            request_tags: &request.tags,
            ..Facts::default()
        };
        // A key is made and tagged in the replica's Region, so that is the one requested.
        let allowed = trail.elsewhere(&place, |trail| {
            let allowed = self.authorize(trail, "kms:CreateKey", Target::Account, new)?;
            if request.tags.is_empty() {
                return Ok(allowed);
            }
            self.authorize(trail, "kms:TagResource", Target::Account, new)
        })?;
        let policy = match request.policy.as_deref() {
            Some(policy) => self.parse_policy(policy)?,
            None => self.parse_policy(&canned::default_key_policy(&self.home.place.account))?,
        };
        let imported = primary.origin == Origin::External;
        let replica = Key {
            region: region.clone(),
            arn: place.key_arn(primary.id),
            created: self.now(),
            state: if imported {
                KeyState::PendingImport
            } else {
                KeyState::Enabled
            },
            description: description.to_owned(),
            tags: request.tags.as_slice().into(),
            policy,
            deletion: None,
            rotation: None,
            last_use: Arc::default(),
            // The same material is to be imported into each.
            materials: if imported {
                Vec::new()
            } else {
                primary.materials.clone()
            },
            ..(*primary).clone()
        };
        trail.elsewhere(&place, |trail| {
            self.check_lockout(trail, &replica, &replica.policy, bypass)
        })?;
        let mut replicas = self.state.read().replica_regions(&primary);
        replicas.push(region.clone());
        replicas.sort_unstable();
        let mut response = ReplicateKeyResponse {
            replica_key_metadata: replica.metadata(&place, &replicas),
            replica_policy: replica.policy.source().to_owned(),
            replica_tags: request.tags.clone(),
        };
        // AWS answers before the replica is ready; here it is.
        response.replica_key_metadata.key_state = KeyState::Creating;
        response.replica_key_metadata.enabled = false;
        trail.response("replicaKeyArn", replica.arn.clone());
        trail.key(&replica.arn);
        let sealed = replica.materials.iter().map(|material| {
            let sealed = material.seal(&self.root, replica.id);
            Write::Material(region.clone(), replica.id, sealed)
        });
        let sealed: Vec<Write> = sealed.collect();
        let mut writes = vec![Write::Key(Arc::new(replica))];
        writes.extend(sealed);
        let change = Change::write(self, store, writes)?;
        Ok(Done::change(&allowed, change, response))
    }

    pub(super) fn update_primary_region<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a UpdatePrimaryRegionRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        trail.parameter("primaryRegion", &*request.primary_region);
        let region = parse_region("primaryRegion", &request.primary_region)?;
        let store = self.changing();
        let primary = self.find_by_id(trail.place(), &request.key_id)?;
        let values = [("kms:PrimaryRegion", region.as_str())];
        let facts = Facts {
            values: &values,
            ..Facts::default()
        };
        let action = "kms:UpdatePrimaryRegion";
        drop(self.authorize(trail, action, Target::Key(&primary), facts)?);
        check_primary(&primary)?;
        primary.check_state(trail.demand())?;
        self.check_served(&region)?;
        let replica = self.state.read().key(&region, primary.id).cloned();
        let replica = replica.filter(|replica| replica.region != primary.region);
        let Some(replica) = replica else {
            let arn = trail.place().at(&region).key_arn(primary.id);
            return Err(KmsError::NotFound(format!("Key '{arn}' does not exist")));
        };
        let allowed = self.authorize(trail, action, Target::Key(&replica), facts)?;
        replica.check_state(trail.demand())?;
        // Every relative knows the primary; the schedule of rotation goes with the role.
        let related: Vec<Arc<Key>> = self.state.read().related(&primary).cloned().collect();
        let writes = related.iter().chain([&primary]).map(|key| {
            let rotation = (key.region == region).then_some(primary.rotation).flatten();
            Write::Key(Arc::new(Key {
                primary: Some(region.clone()),
                rotation,
                ..Key::clone(key)
            }))
        });
        let writes = writes.collect();
        let change = Change::write(self, store, writes)?;
        Ok(Done::change(&allowed, change, Empty {}))
    }
}

fn check_primary(key: &Key) -> Result<(), KmsError> {
    match key.multi_region_type() {
        Some(MultiRegionKeyType::Primary) => Ok(()),
        Some(MultiRegionKeyType::Replica) => Err(KmsError::Unsupported(format!(
            "{} is a multi-region replica key; the operation is for its primary key.",
            key.arn
        ))),
        None => Err(KmsError::Unsupported(format!(
            "{} is not a multi-region primary key.",
            key.arn
        ))),
    }
}

fn parse_region(member: &str, text: &str) -> Result<Region, KmsError> {
    text.parse().map_err(|_| {
        KmsError::constraint(&format!(
            "Value '{text}' at '{member}' failed to satisfy constraint: Member must be the \
             name of an AWS Region"
        ))
    })
}
