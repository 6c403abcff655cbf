//! Rotating a key's material.

use std::sync::Arc;

use super::{
    Change, Done, Embedded,
    authorize::{Facts, Target},
    page,
    trail::Trail,
};
use crate::kms::{
    KmsError,
    api::{
        DisableKeyRotationRequest, Empty, EnableKeyRotationRequest, ExpirationModel,
        GetKeyRotationStatusRequest, GetKeyRotationStatusResponse, ImportState, IncludeKeyMaterial,
        KeyMaterialState, KeyState, ListKeyRotationsRequest, ListKeyRotationsResponse,
        MultiRegionKeyType, Origin, RotateKeyOnDemandRequest, RotateKeyOnDemandResponse,
        RotationType, RotationsListEntry,
    },
    key::{Key, RotationSchedule},
    material::{KeyVersion, Material, MaterialFacts},
    secret::Secret,
    state::Write,
};

/// On-demand rotations per key
/// (<https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html>).
const MAX_ON_DEMAND: usize = 25;
/// Days between rotations, unless the request says otherwise.
const DEFAULT_PERIOD: i32 = 365;

impl Embedded {
    pub(super) fn enable_key_rotation<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a EnableKeyRotationRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        let asked = request.rotation_period_in_days;
        trail.parameter("keyId", &*request.key_id);
        trail.optional("rotationPeriodInDays", asked.map(i64::from));
        if let Some(days) = asked {
            check_period(days)?;
        }
        let store = self.changing();
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let known = key.rotation.map(|rotation| rotation.period_days);
        let period_days = asked.or(known).unwrap_or(DEFAULT_PERIOD);
        let period = period_days.to_string();
        let values = [("kms:RotationPeriodInDays", &*period)];
        let facts = Facts {
            values: &values,
            ..Facts::default()
        };
        let allowed = self.authorize(trail, "kms:EnableKeyRotation", Target::Key(&key), facts)?;
        check_own_material(&key)?;
        key.check_state(trail.demand())?;
        check_rotates(&key)?;
        check_not_replica(&key)?;
        // A period that stays goes on from when it began; another one begins anew.
        let next = match key.rotation {
            Some(rotation) if rotation.period_days == period_days => rotation.next,
            _ => self.now().plus_days(period_days),
        };
        let rotation = Some(RotationSchedule { period_days, next });
        let change = Change::write(self, store, set_rotation(&key, rotation))?;
        Ok(Done::change(&allowed, change, Empty {}))
    }

    pub(super) fn disable_key_rotation<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a DisableKeyRotationRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        let store = self.changing();
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let target = Target::Key(&key);
        let allowed = self.authorize(trail, "kms:DisableKeyRotation", target, Facts::default())?;
        check_own_material(&key)?;
        key.check_state(trail.demand())?;
        // Of a key whose spec does not rotate it is off already.
        check_not_replica(&key)?;
        let change = Change::write(self, store, set_rotation(&key, None))?;
        Ok(Done::change(&allowed, change, Empty {}))
    }

    pub(super) fn get_key_rotation_status<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a GetKeyRotationStatusRequest,
    ) -> Result<Done<'a, GetKeyRotationStatusResponse>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let target = Target::Key(&key);
        let allowed =
            self.authorize(trail, "kms:GetKeyRotationStatus", target, Facts::default())?;
        check_rotates(&key)?;
        // The primary's schedule is that of its replicas.
        let primary = key.primary.as_ref().and_then(|region| {
            let state = self.state.read();
            state.key(region, key.id).cloned()
        });
        let rotation = primary.unwrap_or_else(|| Arc::clone(&key)).rotation;
        // A key that waits for its deletion does not rotate; if it is kept, it will again.
        let rotation = rotation.filter(|_| key.deletion.is_none());
        let response = GetKeyRotationStatusResponse {
            key_rotation_enabled: rotation.is_some(),
            key_id: key.id.to_string(),
            rotation_period_in_days: rotation.map(|rotation| rotation.period_days),
            next_rotation_date: rotation.map(|rotation| rotation.next),
            on_demand_rotation_start_date: None,
        };
        Ok(Done::answer(&allowed, response))
    }

    pub(super) fn rotate_key_on_demand<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a RotateKeyOnDemandRequest,
    ) -> Result<Done<'a, RotateKeyOnDemandResponse>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        let store = self.changing();
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let target = Target::Key(&key);
        let allowed = self.authorize(trail, "kms:RotateKeyOnDemand", target, Facts::default())?;
        key.usable(&allowed)?;
        check_rotates(&key)?;
        check_not_replica(&key)?;
        let on_demand = RotationType::OnDemand;
        let rotations = key
            .materials
            .iter()
            .filter(|m| m.facts().rotation == Some(on_demand) && !m.facts().waiting)
            .count();
        if rotations >= MAX_ON_DEMAND {
            return Err(KmsError::LimitExceeded(format!(
                "The on-demand rotations limit has been reached for the given keyId. No more \
                 on-demand rotations can be performed for this key: {}",
                key.arn
            )));
        }
        let writes = match key.origin {
            Origin::External => self.rotate_imported(&key, self.now())?,
            _ => self.rotate(&key, on_demand)?,
        };
        trail.response("keyId", key.arn.clone());
        let change = Change::write(self, store, writes)?;
        let response = RotateKeyOnDemandResponse {
            key_id: key.arn.clone(),
        };
        Ok(Done::change(&allowed, change, response))
    }

    /// Gives `key` and its relatives the same new material.
    pub(super) fn rotate(&self, key: &Key, by: RotationType) -> Result<Vec<Write>, KmsError> {
        let now = self.now();
        let facts = MaterialFacts::new(key.next_version(), Some(by), now);
        let material = Arc::new(Material::new(key.id, facts, Secret::generate(key.spec)?));
        let state = self.state.read();
        let related = state.related(key).map(|relative| &**relative);
        let all = related.chain([key]);
        Ok(all
            .flat_map(|key| self.put_material(key, &material))
            .collect())
    }

    pub(super) fn list_key_rotations<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a ListKeyRotationsRequest,
    ) -> Result<Done<'a, ListKeyRotationsResponse>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        let limit = page::limit(request.limit, 100, 1000)?;
        let after = page::start(request.marker.as_deref(), |name| name.parse().ok())?;
        let after = after.map_or(KeyVersion(0), KeyVersion);
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let allowed = self.authorize(
            trail,
            "kms:ListKeyRotations",
            Target::Key(&key),
            Facts::default(),
        )?;
        check_rotates(&key)?;
        let all = request.include_key_material == Some(IncludeKeyMaterial::AllKeyMaterial);
        let listed = key
            .materials
            .iter()
            .filter(|material| material.version() > after)
            .filter(|material| {
                let facts = material.facts();
                all || (facts.rotation.is_some() && !facts.waiting)
            });
        let everywhere = self.lacking_waiting(&key, self.now()).is_empty();
        let page = page::cut(listed, limit, |material| material.version().0.to_string());
        let rotations = page
            .items
            .iter()
            .map(|material| entry(&key, material, everywhere))
            .collect();
        let truncated = page.next.is_some();
        let response = ListKeyRotationsResponse {
            rotations,
            next_marker: page.next,
            truncated,
        };
        Ok(Done::answer(&allowed, response))
    }
}

fn set_rotation(key: &Key, rotation: Option<RotationSchedule>) -> Vec<Write> {
    vec![Write::Key(Arc::new(Key {
        rotation,
        ..key.clone()
    }))]
}

/// Only symmetric encryption keys have versions.
fn check_rotates(key: &Key) -> Result<(), KmsError> {
    if key.spec.is_symmetric_encryption() {
        return Ok(());
    }
    // AWS gives no message.
    Err(KmsError::Unsupported(String::new()))
}

/// What is imported is also rotated by its importer.
fn check_own_material(key: &Key) -> Result<(), KmsError> {
    if key.origin != Origin::AwsKms {
        return Err(KmsError::Unsupported(format!(
            "{} origin is {} which is not valid for this operation.",
            key.arn, key.origin
        )));
    }
    Ok(())
}

/// Replicas rotate with their primary.
fn check_not_replica(key: &Key) -> Result<(), KmsError> {
    if key.multi_region_type() == Some(MultiRegionKeyType::Replica) {
        return Err(KmsError::Unsupported(format!(
            "{} is a multi-region replica key, which rotates with its primary key.",
            key.arn
        )));
    }
    Ok(())
}

fn check_period(days: i32) -> Result<(), KmsError> {
    let bound = match days {
        90..=2560 => return Ok(()),
        ..90 => "greater than or equal to 90",
        _ => "less than or equal to 2560",
    };
    Err(KmsError::constraint(&format!(
        "Value '{days}' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have \
         value {bound}"
    )))
}

fn entry(key: &Key, material: &Material, everywhere: bool) -> RotationsListEntry {
    let facts = material.facts();
    let current = key
        .current()
        .is_some_and(|current| current.version() == facts.version);
    let imported = (key.origin == Origin::External).then(|| material.secret().is_some());
    let there = imported == Some(true);
    let rotated = facts.rotation.filter(|_| !facts.waiting);
    RotationsListEntry {
        key_id: key.id.to_string(),
        key_material_id: material.id().to_string(),
        key_material_description: facts.description.clone(),
        import_state: imported.map(|there| {
            if there {
                ImportState::Imported
            } else {
                ImportState::PendingImport
            }
        }),
        key_material_state: match facts.waiting {
            true if everywhere => KeyMaterialState::PendingRotation,
            true => KeyMaterialState::PendingMultiRegionImportAndRotation,
            false if current => KeyMaterialState::Current,
            false => KeyMaterialState::NonCurrent,
        },
        expiration_model: there.then_some(match facts.valid_to {
            Some(_) => ExpirationModel::Expires,
            None => ExpirationModel::DoesNotExpire,
        }),
        valid_to: facts.valid_to.filter(|_| there),
        rotation_date: rotated.map(|_| facts.created),
        rotation_type: rotated,
    }
}

/// Whether the schedule has `key` rotated now.
pub(super) fn is_due(key: &Key, now: crate::kms::Timestamp) -> bool {
    key.state == KeyState::Enabled && key.rotation.is_some_and(|rotation| rotation.next <= now)
}
