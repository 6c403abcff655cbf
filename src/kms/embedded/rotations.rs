//! Rotating a key's material.

use super::{
    Change, Done, Embedded,
    authorize::{Facts, Target},
    page,
    trail::Trail,
};
use crate::kms::{
    KmsError,
    api::{
        ExpirationModel, ImportState, IncludeKeyMaterial, KeyMaterialState,
        ListKeyRotationsRequest, ListKeyRotationsResponse, Origin, RotateKeyOnDemandRequest,
        RotateKeyOnDemandResponse, RotationType, RotationsListEntry, Timestamp,
    },
    key::Key,
    material::{KeyVersion, Material, MaterialFacts},
    secret::Secret,
};

/// On-demand rotations per key
/// (<https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html>).
const MAX_ON_DEMAND: usize = 25;

impl Embedded {
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
        if !key.spec.is_symmetric_encryption() {
            return Err(KmsError::Unsupported(String::new()));
        }
        let on_demand = Some(RotationType::OnDemand);
        let rotations = key
            .materials
            .iter()
            .filter(|m| m.facts().rotation == on_demand)
            .count();
        if rotations >= MAX_ON_DEMAND {
            return Err(KmsError::LimitExceeded(format!(
                "The on-demand rotations limit has been reached for the given keyId. No more \
                 on-demand rotations can be performed for this key: {}",
                key.arn
            )));
        }
        let now = Timestamp::now();
        let writes = if key.origin == Origin::External {
            self.rotate_imported(&key, now)?
        } else {
            let facts = MaterialFacts::new(key.next_version(), on_demand, now);
            let material = Material::new(key.id, facts, Secret::generate(key.spec)?);
            self.put_material(&key, material, now)
        };
        trail.response("keyId", key.id.to_string());
        let change = Change::write(self, store, writes)?;
        let response = RotateKeyOnDemandResponse {
            key_id: key.arn.clone(),
        };
        Ok(Done::change(&allowed, change, response))
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
        let all = request.include_key_material == Some(IncludeKeyMaterial::AllKeyMaterial);
        let listed = key
            .materials
            .iter()
            .filter(|material| material.version() > after)
            .filter(|material| all || material.facts().rotation.is_some());
        let everywhere = self.lacking_waiting(&key, Timestamp::now()).is_empty();
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

fn entry(key: &Key, material: &Material, everywhere: bool) -> RotationsListEntry {
    let (facts, now) = (material.facts(), Timestamp::now());
    let current = key
        .current()
        .is_some_and(|current| current.version() == facts.version);
    let imported = (key.origin == Origin::External).then(|| material.is_there(now));
    let there = imported == Some(true);
    RotationsListEntry {
        key_id: key.arn.clone(),
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
        rotation_date: facts.rotation.map(|_| facts.created),
        rotation_type: facts.rotation,
    }
}
