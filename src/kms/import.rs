//! Which imported material a key takes, and what becomes of it.
//!
//! A symmetric encryption key may have several materials: the first encrypts at once, each further one
//! waits for an on-demand rotation. Any other key has one for good. Material that was the key's and
//! expired or was deleted comes back only as what it was, which its id tells.
//!
//! Source: <https://docs.aws.amazon.com/kms/latest/APIReference/API_ImportKeyMaterial.html>.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{
    KmsError,
    api::{
        ExpirationModel, ImportKeyMaterialRequest, ImportType, KeySpec, MultiRegionKeyType,
        Timestamp,
    },
    key::Key,
    keypair::KeyPair,
    mac,
    material::{Material, MaterialFacts, MaterialId},
    secret::Secret,
};

/// The longest that imported material lasts: 365 days.
const MAX_VALIDITY: i64 = 365 * 24 * 60 * 60 * 1000;

/// Until when the material of `request` is to last; `None`: for good.
pub(super) fn expiry(
    request: &ImportKeyMaterialRequest,
    now: Timestamp,
) -> Result<Option<Timestamp>, KmsError> {
    let invalid = |text: &str| Err(KmsError::Validation(text.to_owned()));
    let model = request.expiration_model.unwrap_or(ExpirationModel::Expires);
    match (model, request.valid_to) {
        (ExpirationModel::DoesNotExpire, None) => Ok(None),
        (ExpirationModel::DoesNotExpire, Some(_)) => invalid(
            "The parameter ValidTo cannot be specified for a key with an expiration model of \
             KEY_MATERIAL_DOES_NOT_EXPIRE",
        ),
        (ExpirationModel::Expires, None) => {
            invalid("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
        }
        (ExpirationModel::Expires, Some(at)) if at <= now => {
            invalid("ValidTo must be in the future")
        }
        (ExpirationModel::Expires, Some(at)) if at.millis > now.millis + MAX_VALIDITY => {
            invalid("ValidTo must be within 365 days from now")
        }
        (ExpirationModel::Expires, Some(at)) => Ok(Some(at)),
    }
}

/// The secret that unwrapped material is for a key of this kind.
pub(super) fn secret(spec: KeySpec, mut material: Zeroizing<Vec<u8>>) -> Result<Secret, KmsError> {
    let wrong = |text: String| Err(KmsError::IncorrectKeyMaterial(text));
    if let Some(lengths) = mac::lengths(spec)
        && !lengths.contains(&material.len())
    {
        return wrong(format!(
            "Key material for key spec {spec} has {} to {} bytes.",
            lengths.start(),
            lengths.end()
        ));
    }
    if let Some(kind) = spec.key_pair() {
        let Ok(pair) = KeyPair::from_pkcs8(kind, &material) else {
            return wrong(format!(
                "Key material for key spec {spec} is a private key of that kind, DER-encoded PKCS #8."
            ));
        };
        material = pair.to_pkcs8()?;
    }
    match Secret::take_from(spec, &mut material) {
        Some(secret) => Ok(secret),
        None => wrong(format!("Key material for key spec {spec} has 32 bytes.")),
    }
}

/// The material that `request` makes `secret` for `key`. `primary` is the primary key, if `key` is a
/// replica.
pub(super) fn placed(
    key: &Key,
    primary: Option<&Key>,
    request: &ImportKeyMaterialRequest,
    secret: Secret,
    valid_to: Option<Timestamp>,
    now: Timestamp,
) -> Result<Material, KmsError> {
    let id = MaterialId::of(key.id, &secret);
    let incorrect = |text: String| Err(KmsError::IncorrectKeyMaterial(text));
    if request
        .key_material_id
        .as_ref()
        .is_some_and(|asked| *asked != id.to_string())
    {
        return incorrect(format!(
            "The key material in the request has the id {id}, not the KeyMaterialId of the request."
        ));
    }
    let replica = key.multi_region_type() == Some(MultiRegionKeyType::Replica);
    let import_type = request.import_type.unwrap_or({
        if key.materials.is_empty() && !replica {
            ImportType::NewKeyMaterial
        } else {
            ImportType::ExistingKeyMaterial
        }
    });
    let known = key.materials.iter().find(|material| material.id() == id);
    // What the primary key has, a replica takes over in the primary's order.
    let in_primary = primary.and_then(|primary| primary.materials.iter().find(|m| m.id() == id));
    let mut facts = match (import_type, known.or(in_primary)) {
        (ImportType::NewKeyMaterial, _) if replica => {
            return Err(KmsError::Unsupported(format!(
                "{} is a replica key: import new key material into its primary key first.",
                key.arn
            )));
        }
        (ImportType::NewKeyMaterial, Some(_)) => {
            return incorrect(format!(
                "The key material (id: {id}) is already associated with KMS key {}.",
                key.arn
            ));
        }
        (ImportType::ExistingKeyMaterial, Some(known)) => known.facts().clone(),
        (ImportType::ExistingKeyMaterial, None) => {
            return incorrect(format!(
                "The key material (id: {id}) is not associated with KMS key {}.",
                key.arn
            ));
        }
        (ImportType::NewKeyMaterial, None) => {
            if let Some(waiting) = key.waiting() {
                return Err(KmsError::InvalidState(format!(
                    "New key material (id: {id}) cannot be imported into KMS key {}, because \
                     another key material (id: {}) is pending rotation.",
                    key.arn,
                    waiting.id()
                )));
            }
            MaterialFacts {
                waiting: !key.materials.is_empty(),
                ..MaterialFacts::new(key.next_version(), None, now)
            }
        }
    };
    facts.valid_to = valid_to;
    if let Some(description) = &request.key_material_description {
        facts.description = Some(description.clone());
    }
    Ok(Material::new(key.id, facts, secret))
}

/// Refuses what only symmetric encryption keys take.
pub(super) fn check_members(
    spec: KeySpec,
    request: &ImportKeyMaterialRequest,
) -> Result<(), KmsError> {
    let named = [
        ("ImportType", request.import_type.is_some()),
        (
            "KeyMaterialDescription",
            request.key_material_description.is_some(),
        ),
        ("KeyMaterialId", request.key_material_id.is_some()),
    ];
    if let Some((name, _)) = named.iter().find(|(_, given)| *given)
        && !spec.is_symmetric_encryption()
    {
        return Err(KmsError::Validation(format!(
            "{name} is only valid for symmetric encryption keys."
        )));
    }
    if request.import_type == Some(ImportType::NewKeyMaterial) && request.key_material_id.is_some()
    {
        return Err(KmsError::Validation(
            "KeyMaterialId cannot be specified when ImportType is NEW_KEY_MATERIAL.".to_owned(),
        ));
    }
    Ok(())
}

/// `key` with `material` in its place among the others.
pub(super) fn with_material(key: &Key, material: Arc<Material>) -> Vec<Arc<Material>> {
    let mut materials = key.materials.clone();
    materials.retain(|other| other.version() != material.version());
    let at = materials.partition_point(|other| other.version() < material.version());
    materials.insert(at, material);
    materials
}
