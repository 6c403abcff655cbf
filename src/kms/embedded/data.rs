//! Encrypting, decrypting and generating data.

use super::{
    Done, Embedded,
    authorize::{Facts, Target, truth},
    checks::{MAX_MESSAGE, check_dry_run, check_length, check_recipient},
    encryption::{
        check_algorithm, check_generates, check_plaintext, encrypt, key_is_required, seal,
    },
    trail::Trail,
};
use crate::{
    crypto::random,
    kms::{
        KmsError,
        api::{
            DataKeySpec, DecryptRequest, DecryptResponse, DryRunModifier, EncryptRequest,
            EncryptResponse, EncryptionAlgorithm, EncryptionContext, GenerateDataKeyRequest,
            GenerateDataKeyResponse, GenerateDataKeyWithoutPlaintextResponse,
            GenerateRandomRequest, GenerateRandomResponse, KeyUsage, Plaintext, ReEncryptRequest,
            ReEncryptResponse,
        },
        name::AliasName,
    },
};

/// How a key encrypts unless another way is asked for.
const ALGORITHM: EncryptionAlgorithm = EncryptionAlgorithm::SymmetricDefault;
/// What a key has to be for.
const USAGE: KeyUsage = KeyUsage::EncryptDecrypt;
/// The most that `NumberOfBytes` asks for.
const MAX_BYTES: i32 = 1024;
/// Bytes of an encryption context, all names and values together.
const MAX_CONTEXT: usize = 8192;

impl Embedded {
    pub(super) fn generate_data_key<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a GenerateDataKeyRequest,
    ) -> Result<Done<'a, GenerateDataKeyResponse>, KmsError> {
        check_recipient(request.recipient.as_ref())?;
        let done = self.make_data_key(trail, request, "kms:GenerateDataKey")?;
        Ok(done.map(|(sealed, plaintext)| GenerateDataKeyResponse {
            ciphertext_blob: sealed.ciphertext_blob,
            plaintext,
            key_id: sealed.key_id,
            key_material_id: sealed.key_material_id,
        }))
    }

    pub(super) fn generate_data_key_without_plaintext<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a GenerateDataKeyRequest,
    ) -> Result<Done<'a, GenerateDataKeyWithoutPlaintextResponse>, KmsError> {
        let action = "kms:GenerateDataKeyWithoutPlaintext";
        let done = self.make_data_key(trail, request, action)?;
        Ok(done.map(|(sealed, _)| sealed))
    }

    fn make_data_key<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a GenerateDataKeyRequest,
        action: &str,
    ) -> Result<Done<'a, (GenerateDataKeyWithoutPlaintextResponse, Plaintext)>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        trail.optional("keySpec", request.key_spec.map(DataKeySpec::as_str));
        number_of_bytes(trail, request.number_of_bytes);
        record_context(trail, "encryptionContext", &request.encryption_context)?;
        let length = data_key_length(request)?;
        self.check_grant_tokens(trail, &request.grant_tokens)?;
        let named = self.find(trail.place(), &request.key_id)?;
        let algorithm = condition(ALGORITHM);
        let facts = facts(
            &request.encryption_context,
            named.alias.as_ref(),
            &algorithm,
        );
        let allowed = self.authorize(trail, action, Target::Key(&named.key), facts)?;
        let operation = action.trim_start_matches("kms:");
        let key = named.key.usable_for(&allowed, USAGE, operation)?;
        check_generates(&named.key)?;
        check_dry_run(request.dry_run)?;
        let mut plaintext = vec![0; length];
        random::fill(&mut plaintext);
        let plaintext = Plaintext::new(plaintext);
        let sealed = GenerateDataKeyWithoutPlaintextResponse {
            ciphertext_blob: seal(key, &request.encryption_context, plaintext.expose())?,
            key_id: key.key().arn.clone(),
            key_material_id: key.current().id().to_string(),
        };
        trail.additional("keyMaterialId", sealed.key_material_id.clone());
        Ok(Done::answer(&allowed, (sealed, plaintext)))
    }

    pub(super) fn encrypt<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a EncryptRequest,
    ) -> Result<Done<'a, EncryptResponse>, KmsError> {
        let (plaintext, context) = (request.plaintext.expose(), &request.encryption_context);
        let algorithm = request.encryption_algorithm.unwrap_or(ALGORITHM);
        trail.parameter("keyId", &*request.key_id);
        record_context(trail, "encryptionContext", context)?;
        trail.parameter("encryptionAlgorithm", algorithm.as_str());
        check_length("plaintext", plaintext.len(), MAX_MESSAGE)?;
        self.check_grant_tokens(trail, &request.grant_tokens)?;
        let condition = condition(algorithm);
        let named = self.find(trail.place(), &request.key_id)?;
        let facts = facts(context, named.alias.as_ref(), &condition);
        let allowed = self.authorize(trail, "kms:Encrypt", Target::Key(&named.key), facts)?;
        let key = named.key.usable_for(&allowed, USAGE, "Encrypt")?;
        check_algorithm(&named.key, algorithm, context)?;
        check_plaintext(&named.key, algorithm, plaintext.len())?;
        check_dry_run(request.dry_run)?;
        let response = EncryptResponse {
            ciphertext_blob: encrypt(key, algorithm, context, plaintext)?,
            key_id: named.key.arn.clone(),
            encryption_algorithm: algorithm,
        };
        Ok(Done::answer(&allowed, response))
    }

    pub(super) fn decrypt<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a DecryptRequest,
    ) -> Result<Done<'a, DecryptResponse>, KmsError> {
        let context = &request.encryption_context;
        let algorithm = request.encryption_algorithm.unwrap_or(ALGORITHM);
        trail.optional("keyId", request.key_id.as_deref());
        record_context(trail, "encryptionContext", context)?;
        trail.parameter("encryptionAlgorithm", algorithm.as_str());
        check_recipient(request.recipient.as_ref())?;
        self.check_grant_tokens(trail, &request.grant_tokens)?;
        let condition = condition(algorithm);
        if only_permission(request.dry_run, &request.dry_run_modifiers) {
            let text = request.key_id.as_deref().ok_or_else(key_is_required)?;
            let named = self.find(trail.place(), text)?;
            let facts = facts(context, named.alias.as_ref(), &condition);
            let allowed = self.authorize(trail, "kms:Decrypt", Target::Key(&named.key), facts)?;
            named.key.usable_for(&allowed, USAGE, "Decrypt")?;
            check_algorithm(&named.key, algorithm, context)?;
            check_dry_run(request.dry_run)?;
        }
        let source = self.find_source(
            trail.place(),
            &request.ciphertext_blob,
            request.key_id.as_deref(),
            algorithm,
        )?;
        let facts = facts(context, source.named.alias.as_ref(), &condition);
        let target = Target::Key(&source.named.key);
        let allowed = self.authorize(trail, "kms:Decrypt", target, facts)?;
        source.check_key()?;
        let key = source.named.key.usable_for(&allowed, USAGE, "Decrypt")?;
        check_algorithm(key.key(), algorithm, context)?;
        let opened = source.open(key, context)?;
        check_dry_run(request.dry_run)?;
        if let Some(material) = &opened.material {
            trail.additional("keyMaterialId", material.clone());
        }
        let response = DecryptResponse {
            key_id: key.key().arn.clone(),
            plaintext: Plaintext::from(opened.plaintext),
            encryption_algorithm: algorithm,
            key_material_id: opened.material,
        };
        Ok(Done::answer(&allowed, response))
    }

    pub(super) fn re_encrypt<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a ReEncryptRequest,
    ) -> Result<Done<'a, ReEncryptResponse>, KmsError> {
        let (old_context, new_context) = (
            &request.source_encryption_context,
            &request.destination_encryption_context,
        );
        let old_algorithm = request.source_encryption_algorithm.unwrap_or(ALGORITHM);
        let new_algorithm = request
            .destination_encryption_algorithm
            .unwrap_or(ALGORITHM);
        trail.optional("sourceKeyId", request.source_key_id.as_deref());
        trail.parameter("destinationKeyId", &*request.destination_key_id);
        record_context(trail, "sourceEncryptionContext", old_context)?;
        record_context(trail, "destinationEncryptionContext", new_context)?;
        trail.parameter("sourceEncryptionAlgorithm", old_algorithm.as_str());
        trail.parameter("destinationEncryptionAlgorithm", new_algorithm.as_str());

        self.check_grant_tokens(trail, &request.grant_tokens)?;
        let source = self.find_source(
            trail.place(),
            &request.ciphertext_blob,
            request.source_key_id.as_deref(),
            old_algorithm,
        )?;
        let destination = self.find(trail.place(), &request.destination_key_id)?;
        let same_key = truth(source.named.key.id == destination.key.id);
        let values = |algorithm| {
            let [algorithm] = condition(algorithm);
            [algorithm, ("kms:ReEncryptOnSameKey", same_key)]
        };
        let (from, to) = (values(old_algorithm), values(new_algorithm));
        let from = facts(old_context, source.named.alias.as_ref(), &from);
        let to = facts(new_context, destination.alias.as_ref(), &to);
        let target = Target::Key(&source.named.key);
        let from = self.authorize(trail, "kms:ReEncryptFrom", target, from)?;
        let target = Target::Key(&destination.key);
        let to = self.authorize(trail, "kms:ReEncryptTo", target, to)?;
        source.check_key()?;
        let old = source.named.key.usable_for(&from, USAGE, "ReEncryptFrom")?;
        let new = destination.key.usable_for(&to, USAGE, "ReEncryptTo")?;
        check_algorithm(old.key(), old_algorithm, old_context)?;
        check_algorithm(new.key(), new_algorithm, new_context)?;
        let opened = source.open(old, old_context)?;
        check_plaintext(new.key(), new_algorithm, opened.plaintext.len())?;
        check_dry_run(request.dry_run)?;
        let symmetric = new.key().spec.is_symmetric_encryption();
        let response = ReEncryptResponse {
            ciphertext_blob: encrypt(new, new_algorithm, new_context, &opened.plaintext)?,
            source_key_id: old.key().arn.clone(),
            key_id: new.key().arn.clone(),
            source_encryption_algorithm: old_algorithm,
            destination_encryption_algorithm: new_algorithm,
            source_key_material_id: opened.material,
            destination_key_material_id: symmetric.then(|| new.current().id().to_string()),
        };
        Ok(Done::answer(&to, response))
    }

    pub(super) fn generate_random<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a GenerateRandomRequest,
    ) -> Result<Done<'a, GenerateRandomResponse>, KmsError> {
        number_of_bytes(trail, request.number_of_bytes);
        check_recipient(request.recipient.as_ref())?;
        if request.custom_key_store_id.is_some() {
            return Err(KmsError::Unsupported(
                "Custom key stores are not supported by this version of kmsfs.".to_owned(),
            ));
        }
        let Some(number) = request.number_of_bytes else {
            return Err(KmsError::Validation(
                "NumberOfBytes is required.".to_owned(),
            ));
        };
        let length = check_number_of_bytes(number)?;
        let allowed = self.authorize(
            trail,
            "kms:GenerateRandom",
            Target::Account,
            Facts::default(),
        )?;
        let mut plaintext = vec![0; length];
        random::fill(&mut plaintext);
        Ok(Done::answer(
            &allowed,
            GenerateRandomResponse {
                plaintext: Plaintext::new(plaintext),
            },
        ))
    }
}

fn facts<'a>(
    context: &'a EncryptionContext,
    alias: Option<&'a AliasName>,
    values: &'a [(&'static str, &'a str)],
) -> Facts<'a> {
    Facts {
        encryption_context: Some(context),
        request_alias: alias,
        values,
        ..Facts::default()
    }
}

fn condition(algorithm: EncryptionAlgorithm) -> [(&'static str, &'static str); 1] {
    [("kms:EncryptionAlgorithm", algorithm.as_str())]
}

/// Whether a dry run is to leave the ciphertext alone, which need not even be there.
fn only_permission(dry_run: Option<bool>, modifiers: &[DryRunModifier]) -> bool {
    dry_run == Some(true) && modifiers.contains(&DryRunModifier::IgnoreCiphertext)
}

/// Takes an encryption context down, if it is not longer than AWS allows.
pub(super) fn record_context<'a>(
    trail: &mut Trail<'a>,
    name: &'static str,
    context: &'a EncryptionContext,
) -> Result<(), KmsError> {
    let pairs = context.iter();
    let length: usize = pairs.map(|(name, value)| name.len() + value.len()).sum();
    if length > MAX_CONTEXT {
        return Err(KmsError::Validation(format!(
            "The encryption context has {length} bytes; at most {MAX_CONTEXT} are allowed."
        )));
    }
    if !context.is_empty() {
        trail.parameter(name, context);
    }
    Ok(())
}

/// A negative number is no parameter worth recording; the call is refused.
fn number_of_bytes(trail: &mut Trail<'_>, asked: Option<i32>) {
    trail.optional(
        "numberOfBytes",
        asked.and_then(|number| u32::try_from(number).ok()),
    );
}

fn data_key_length(request: &GenerateDataKeyRequest) -> Result<usize, KmsError> {
    match (request.key_spec, request.number_of_bytes) {
        (Some(DataKeySpec::Aes256), None) => Ok(32),
        (Some(DataKeySpec::Aes128), None) => Ok(16),
        (None, Some(number)) => check_number_of_bytes(number),
        (Some(_), Some(_)) | (None, None) => Err(KmsError::Validation(
            "Please specify either number of bytes or key spec.".to_owned(),
        )),
    }
}

fn check_number_of_bytes(number: i32) -> Result<usize, KmsError> {
    let bound = match number {
        ..1 => "greater than or equal to 1",
        1..=MAX_BYTES => return Ok(usize::try_from(number).expect("positive")),
        _ => "less than or equal to 1024",
    };
    Err(KmsError::constraint(&format!(
        "Value '{number}' at 'numberOfBytes' failed to satisfy constraint: Member must have value \
         {bound}"
    )))
}
