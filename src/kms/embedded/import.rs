//! Importing key material, and removing it.

use std::sync::Arc;

use super::{
    Change, Done, Embedded,
    authorize::{Facts, Target},
    checks::{MAX_BLOB, check_length},
    trail::Trail,
};
use crate::kms::{
    KmsError,
    api::{
        DeleteImportedKeyMaterialRequest, DeleteImportedKeyMaterialResponse, ExpirationModel,
        GetParametersForImportRequest, GetParametersForImportResponse, ImportKeyMaterialRequest,
        ImportKeyMaterialResponse, ImportType, KeySpec, KeyState, Origin, PublicKey, Timestamp,
        WrappingAlgorithm, WrappingKeySpec,
    },
    import,
    import_token::ImportParameters,
    key::Key,
    key_state::Demand,
    keypair::{Bits, Oaep},
    material::Material,
    name::Region,
    state::Write,
    wrapping::Wrapping,
};

impl Embedded {
    pub(super) fn get_parameters_for_import<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a GetParametersForImportRequest,
    ) -> Result<Done<'a, GetParametersForImportResponse>, KmsError> {
        let (algorithm, wrapping_spec) = (request.wrapping_algorithm, request.wrapping_key_spec);
        trail.parameter("keyId", &*request.key_id);
        trail.parameter("wrappingAlgorithm", algorithm.as_str());
        trail.parameter("wrappingKeySpec", wrapping_spec.as_str());
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let facts = Facts {
            values: &[
                ("kms:WrappingAlgorithm", algorithm.as_str()),
                ("kms:WrappingKeySpec", wrapping_spec.as_str()),
            ],
            ..Facts::default()
        };
        let action = "kms:GetParametersForImport";
        let allowed = self.authorize(trail, action, Target::Key(&key), facts)?;
        check_importable(&key, trail.demand())?;
        let (bits, wrapping) = wrapping_of(algorithm, wrapping_spec)?;
        check_fits(key.spec, bits, algorithm, wrapping)?;
        let parameters = ImportParameters::generate(bits, wrapping, self.now())?;
        let response = GetParametersForImportResponse {
            key_id: key.arn.clone(),
            import_token: parameters.seal(&self.root, &key.arn)?,
            public_key: PublicKey(parameters.public_key()?),
            parameters_valid_to: parameters.valid_to,
        };
        Ok(Done::answer(&allowed, response))
    }

    pub(super) fn import_key_material<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a ImportKeyMaterialRequest,
    ) -> Result<Done<'a, ImportKeyMaterialResponse>, KmsError> {
        let model = request.expiration_model.unwrap_or(ExpirationModel::Expires);
        let valid_to = request.valid_to.map(|at| at.to_string());
        trail.parameter("keyId", &*request.key_id);
        trail.parameter("expirationModel", model.as_str());
        trail.optional("validTo", valid_to.clone());
        trail.optional("importType", request.import_type.map(ImportType::as_str));
        trail.optional("keyMaterialId", request.key_material_id.as_deref());
        let now = self.now();
        let token = &request.import_token;
        let wrapped = &request.encrypted_key_material;
        check_length("importToken", token.0.len(), MAX_BLOB)?;
        check_length("encryptedKeyMaterial", wrapped.0.len(), MAX_BLOB)?;
        check_description(request.key_material_description.as_deref())?;
        check_material_id(request.key_material_id.as_deref())?;
        let expiry = import::expiry(request, now)?;

        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let mut values = vec![("kms:ExpirationModel", model.as_str())];
        values.extend(valid_to.as_deref().map(|at| ("kms:ValidTo", at)));
        let facts = Facts {
            values: &values,
            ..Facts::default()
        };
        let target = Target::Key(&key);
        let allowed = self.authorize(trail, "kms:ImportKeyMaterial", target, facts)?;
        check_importable(&key, trail.demand())?;
        import::check_members(key.spec, request)?;
        // All that takes time happens before others have to wait.
        let parameters = ImportParameters::open(token, &self.root, &key.arn, now)?;
        let secret = import::secret(key.spec, parameters.unwrap(wrapped)?)?;

        let store = self.changing();
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        check_importable(&key, trail.demand())?;
        let primary = self.primary_of(&key);
        let material = import::placed(&key, primary.as_deref(), request, secret, expiry, now)?;
        let id = material.id().to_string();
        trail.response("keyMaterialId", id.clone());
        let response = ImportKeyMaterialResponse {
            key_id: key.arn.clone(),
            key_material_id: id,
        };
        let writes = self.put_material(&key, &Arc::new(material));
        let change = Change::write(self, store, writes)?;
        Ok(Done::change(&allowed, change, response))
    }

    pub(super) fn delete_imported_key_material<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a DeleteImportedKeyMaterialRequest,
    ) -> Result<Done<'a, DeleteImportedKeyMaterialResponse>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        trail.optional("keyMaterialId", request.key_material_id.as_deref());
        check_material_id(request.key_material_id.as_deref())?;
        let store = self.changing();
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let action = "kms:DeleteImportedKeyMaterial";
        let allowed = self.authorize(trail, action, Target::Key(&key), Facts::default())?;
        check_origin(&key)?;
        let material = match &request.key_material_id {
            None => key.current(),
            Some(asked) => {
                let mut all = key.materials.iter();
                let found = all.find(|material| material.id().to_string() == *asked);
                Some(found.ok_or_else(|| {
                    KmsError::NotFound(format!(
                        "Key material {asked} is not associated with KMS key {}.",
                        key.arn
                    ))
                })?)
            }
        };
        let response = DeleteImportedKeyMaterialResponse {
            key_id: key.arn.clone(),
            key_material_id: material.map(|material| material.id().to_string()),
        };
        let Some(material) = material.filter(|material| material.secret().is_some()) else {
            // There is nothing to delete, which is no error.
            return Ok(Done::answer(&allowed, response));
        };
        let version = material.version();
        let writes = self.take_materials(&key, |material| material.version() == version);
        let change = Change::write(self, store, writes)?;
        Ok(Done::change(&allowed, change, response))
    }

    /// The primary key of a replica.
    fn primary_of(&self, key: &Key) -> Option<Arc<Key>> {
        let region = key.primary.as_ref().filter(|r| **r != key.region)?;
        self.state.read().key(region, key.id).cloned()
    }

    /// The Regions of the replicas that the material waiting in `key` has not been imported into.
    pub(super) fn lacking_waiting(&self, key: &Key, now: Timestamp) -> Vec<Region> {
        let Some(waiting) = key.waiting() else {
            return Vec::new();
        };
        let lacks = |relative: &&Arc<Key>| {
            let relative = Arc::clone(relative).as_of(now);
            relative.waiting().map(|material| material.id()) != Some(waiting.id())
        };
        let state = self.state.read();
        let lacking = state.related(key).filter(lacks);
        lacking.map(|relative| relative.region.clone()).collect()
    }

    /// What makes the material that waits in `key`, and in its replicas, current.
    pub(super) fn rotate_imported(
        &self,
        key: &Key,
        now: Timestamp,
    ) -> Result<Vec<Write>, KmsError> {
        if key.waiting().is_none() || !self.lacking_waiting(key, now).is_empty() {
            return Err(KmsError::InvalidState(format!(
                "No available key material pending rotation for the key: {}.",
                key.arn
            )));
        }
        let state = self.state.read();
        let all = std::iter::once(key).chain(state.related(key).map(|relative| &**relative));
        let rotated = all.filter_map(|key| Some((key, key.waiting()?.rotated_in(now))));
        Ok(rotated
            .flat_map(|(key, material)| self.put_material(key, &Arc::new(material)))
            .collect())
    }

    /// What puts `material` into its place in `key`.
    pub(super) fn put_material(&self, key: &Key, material: &Arc<Material>) -> Vec<Write> {
        let sealed = material.seal(&self.root, key.id);
        let mut changed = key.clone();
        changed.materials = import::with_material(key, Arc::clone(material));
        if changed.state == KeyState::PendingImport && !changed.lacks_material() {
            changed.state = KeyState::Enabled;
        }
        vec![
            Write::Key(Arc::new(changed)),
            Write::Material(key.region.clone(), key.id, sealed),
        ]
    }

    /// What erases the `gone` materials of `key`.
    pub(super) fn take_materials(&self, key: &Key, gone: impl Fn(&Material) -> bool) -> Vec<Write> {
        let mut writes = vec![Write::Key(Arc::new(key.without(&gone)))];
        let taken = key.materials.iter().filter(|material| gone(material));
        writes.extend(taken.map(|material| {
            let region = key.region.clone();
            if material.facts().waiting {
                Write::ForgetMaterial(region, key.id, material.version())
            } else {
                let erased = material.without_secret().seal(&self.root, key.id);
                Write::Material(region, key.id, erased)
            }
        }));
        writes
    }
}

fn check_origin(key: &Key) -> Result<(), KmsError> {
    if key.origin == Origin::External {
        return Ok(());
    }
    Err(KmsError::Unsupported(format!(
        "{} origin is {} which is not valid for this operation.",
        key.arn, key.origin
    )))
}

fn check_importable(key: &Key, demand: Demand) -> Result<(), KmsError> {
    check_origin(key)?;
    key.check_state(demand)
}

fn wrapping_of(
    algorithm: WrappingAlgorithm,
    spec: WrappingKeySpec,
) -> Result<(Bits, Wrapping), KmsError> {
    let unsupported = |text: &str| Err(KmsError::Unsupported(text.to_owned()));
    let wrapping = match algorithm {
        WrappingAlgorithm::RsaesOaepSha1 => Wrapping::Rsa(Oaep::Sha1),
        WrappingAlgorithm::RsaesOaepSha256 => Wrapping::Rsa(Oaep::Sha256),
        WrappingAlgorithm::RsaAesKeyWrapSha1 => Wrapping::RsaAes(Oaep::Sha1),
        WrappingAlgorithm::RsaAesKeyWrapSha256 => Wrapping::RsaAes(Oaep::Sha256),
        WrappingAlgorithm::RsaesPkcs1V15 => {
            return unsupported("RSAES_PKCS1_V1_5 is no longer supported as a wrapping algorithm.");
        }
        WrappingAlgorithm::Sm2Pke => {
            return unsupported("WrappingAlgorithm SM2PKE is not supported in this region");
        }
    };
    let bits = match spec {
        WrappingKeySpec::Rsa2048 => Bits::B2048,
        WrappingKeySpec::Rsa3072 => Bits::B3072,
        WrappingKeySpec::Rsa4096 => Bits::B4096,
        WrappingKeySpec::Sm2 => {
            return unsupported("WrappingKeySpec SM2 is not supported in this region");
        }
    };
    Ok((bits, wrapping))
}

/// Some private keys are too long to be encrypted by RSA itself.
fn check_fits(
    spec: KeySpec,
    bits: Bits,
    algorithm: WrappingAlgorithm,
    wrapping: Wrapping,
) -> Result<(), KmsError> {
    let direct = matches!(wrapping, Wrapping::Rsa(_));
    let too_long = match spec {
        KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 => true,
        KeySpec::EccNistP521 => bits == Bits::B2048,
        _ => false,
    };
    if direct && too_long {
        return Err(KmsError::Validation(format!(
            "Wrapping algorithm {algorithm} cannot wrap key material for key spec {spec}: choose an \
             RSA_AES_KEY_WRAP algorithm or a longer wrapping key."
        )));
    }
    Ok(())
}

fn check_description(description: Option<&str>) -> Result<(), KmsError> {
    let Some(text) = description else {
        return Ok(());
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":/_.-".contains(c) || c.is_whitespace();
    let violated = if text.chars().count() > 256 {
        "length less than or equal to 256"
    } else if text.is_empty() || !text.chars().all(allowed) {
        return Err(KmsError::constraint(&format!(
            "Value '{text}' at 'keyMaterialDescription' failed to satisfy constraint: Member must \
             satisfy regular expression pattern: ^[a-zA-Z0-9:/_\\s.-]+$"
        )));
    } else {
        return Ok(());
    };
    Err(KmsError::constraint(&format!(
        "Value '{text}' at 'keyMaterialDescription' failed to satisfy constraint: Member must have \
         {violated}"
    )))
}

fn check_material_id(id: Option<&str>) -> Result<(), KmsError> {
    let Some(id) = id else {
        return Ok(());
    };
    let violated = match id.chars().count() {
        ..64 => "have length greater than or equal to 64",
        65.. => "have length less than or equal to 64",
        64 if id.bytes().all(|b| matches!(b, b'a'..=b'f' | b'0'..=b'9')) => return Ok(()),
        64 => "satisfy regular expression pattern: ^[a-f0-9]+$",
    };
    Err(KmsError::constraint(&format!(
        "Value '{id}' at 'keyMaterialId' failed to satisfy constraint: Member must {violated}"
    )))
}
