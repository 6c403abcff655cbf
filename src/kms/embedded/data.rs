//! Encrypting, decrypting and generating data.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{
    Done, Embedded, Named,
    authorize::{Facts, Target},
    trail::Trail,
};
use crate::{
    crypto::random,
    kms::{
        KmsError,
        api::{
            CiphertextBlob, DataKeySpec, DecryptRequest, DecryptResponse, EncryptRequest,
            EncryptResponse, EncryptionAlgorithm, EncryptionContext, GenerateDataKeyRequest,
            GenerateDataKeyResponse, GenerateDataKeyWithoutPlaintextResponse,
            GenerateRandomRequest, GenerateRandomResponse, KeyUsage, Plaintext, ReEncryptRequest,
            ReEncryptResponse,
        },
        blob::{self, Unverified},
        key::{Key, Usable},
        name::{AliasName, Place},
    },
};

/// How a key encrypts unless another way is asked for.
const ALGORITHM: EncryptionAlgorithm = EncryptionAlgorithm::SymmetricDefault;
/// The most that `NumberOfBytes` asks for.
const MAX_BYTES: i32 = 1024;

impl Embedded {
    pub(super) fn generate_data_key<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a GenerateDataKeyRequest,
    ) -> Result<Done<'a, GenerateDataKeyResponse>, KmsError> {
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
        context(trail, "encryptionContext", &request.encryption_context);
        let length = data_key_length(request)?;
        let named = self.find(trail.place(), &request.key_id)?;
        let facts = facts(&request.encryption_context, named.alias.as_ref());
        let allowed = self.authorize(trail, action, Target::Key(&named.key), facts)?;
        let key = named.key.usable(&allowed)?;
        let operation = action.trim_start_matches("kms:");
        check_usage(key.key(), KeyUsage::EncryptDecrypt, operation)?;
        check_algorithm(key, None)?;
        check_dry_run(request.dry_run)?;
        let mut plaintext = vec![0; length];
        random::fill(&mut plaintext);
        let plaintext = Plaintext::new(plaintext);
        let sealed = GenerateDataKeyWithoutPlaintextResponse {
            ciphertext_blob: seal(key, &request.encryption_context, plaintext.expose())?,
            key_id: key.key().arn.clone(),
            key_material_id: key.current().id().to_string(),
        };
        Ok(Done::answer(&allowed, (sealed, plaintext)))
    }

    pub(super) fn encrypt<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a EncryptRequest,
    ) -> Result<Done<'a, EncryptResponse>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        context(trail, "encryptionContext", &request.encryption_context);
        algorithm(trail, "encryptionAlgorithm", request.encryption_algorithm);
        check_length(
            "plaintext",
            request.plaintext.expose().len(),
            blob::MAX_PLAINTEXT,
        )?;
        let named = self.find(trail.place(), &request.key_id)?;
        let facts = facts(&request.encryption_context, named.alias.as_ref());
        let allowed = self.authorize(trail, "kms:Encrypt", Target::Key(&named.key), facts)?;
        let key = named.key.usable(&allowed)?;
        check_usage(key.key(), KeyUsage::EncryptDecrypt, "Encrypt")?;
        check_algorithm(key, request.encryption_algorithm)?;
        check_dry_run(request.dry_run)?;
        Ok(Done::answer(
            &allowed,
            EncryptResponse {
                ciphertext_blob: seal(
                    key,
                    &request.encryption_context,
                    request.plaintext.expose(),
                )?,
                key_id: key.key().arn.clone(),
                encryption_algorithm: ALGORITHM,
            },
        ))
    }

    pub(super) fn decrypt<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a DecryptRequest,
    ) -> Result<Done<'a, DecryptResponse>, KmsError> {
        trail.optional("keyId", request.key_id.as_deref());
        context(trail, "encryptionContext", &request.encryption_context);
        algorithm(trail, "encryptionAlgorithm", request.encryption_algorithm);
        let source = self.find_source(
            trail.place(),
            &request.ciphertext_blob,
            request.key_id.as_deref(),
        )?;
        let facts = facts(&request.encryption_context, source.named.alias.as_ref());
        let target = Target::Key(&source.named.key);
        let allowed = self.authorize(trail, "kms:Decrypt", target, facts)?;
        source.check_key()?;
        let key = source.named.key.usable(&allowed)?;
        check_usage(key.key(), KeyUsage::EncryptDecrypt, "Decrypt")?;
        check_algorithm(key, request.encryption_algorithm)?;
        let (mut plaintext, key_material_id) = source.open(key, &request.encryption_context)?;
        check_dry_run(request.dry_run)?;
        Ok(Done::answer(
            &allowed,
            DecryptResponse {
                key_id: key.key().arn.clone(),
                plaintext: Plaintext::new(std::mem::take(&mut *plaintext)),
                encryption_algorithm: ALGORITHM,
                key_material_id,
            },
        ))
    }

    pub(super) fn re_encrypt<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a ReEncryptRequest,
    ) -> Result<Done<'a, ReEncryptResponse>, KmsError> {
        let (source_context, destination_context) = (
            &request.source_encryption_context,
            &request.destination_encryption_context,
        );
        trail.optional("sourceKeyId", request.source_key_id.as_deref());
        trail.parameter("destinationKeyId", &*request.destination_key_id);
        context(trail, "sourceEncryptionContext", source_context);
        context(trail, "destinationEncryptionContext", destination_context);
        let source_algorithm = request.source_encryption_algorithm;
        let destination_algorithm = request.destination_encryption_algorithm;
        algorithm(trail, "sourceEncryptionAlgorithm", source_algorithm);
        algorithm(
            trail,
            "destinationEncryptionAlgorithm",
            destination_algorithm,
        );

        let source = self.find_source(
            trail.place(),
            &request.ciphertext_blob,
            request.source_key_id.as_deref(),
        )?;
        let destination = self.find(trail.place(), &request.destination_key_id)?;
        let same_key = Some(source.named.key.id == destination.key.id);
        let from = Facts {
            same_key,
            ..facts(source_context, source.named.alias.as_ref())
        };
        let to = Facts {
            same_key,
            ..facts(destination_context, destination.alias.as_ref())
        };
        let target = Target::Key(&source.named.key);
        let from = self.authorize(trail, "kms:ReEncryptFrom", target, from)?;
        let target = Target::Key(&destination.key);
        let to = self.authorize(trail, "kms:ReEncryptTo", target, to)?;
        source.check_key()?;
        let source_key = source.named.key.usable(&from)?;
        let destination_key = destination.key.usable(&to)?;
        check_usage(source_key.key(), KeyUsage::EncryptDecrypt, "ReEncrypt")?;
        check_usage(destination_key.key(), KeyUsage::EncryptDecrypt, "ReEncrypt")?;
        check_algorithm(source_key, source_algorithm)?;
        check_algorithm(destination_key, destination_algorithm)?;
        let (plaintext, source_key_material_id) = source.open(source_key, source_context)?;
        check_dry_run(request.dry_run)?;
        Ok(Done::answer(
            &to,
            ReEncryptResponse {
                ciphertext_blob: seal(destination_key, destination_context, &plaintext)?,
                source_key_id: source_key.key().arn.clone(),
                key_id: destination_key.key().arn.clone(),
                source_encryption_algorithm: ALGORITHM,
                destination_encryption_algorithm: ALGORITHM,
                source_key_material_id,
                destination_key_material_id: destination_key.current().id().to_string(),
            },
        ))
    }

    pub(super) fn generate_random<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a GenerateRandomRequest,
    ) -> Result<Done<'a, GenerateRandomResponse>, KmsError> {
        number_of_bytes(trail, request.number_of_bytes);
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

    /// The key to open `ciphertext` with: the one `named` in the request, else the one in the blob.
    fn find_source<'b>(
        &self,
        place: &Place,
        ciphertext: &'b CiphertextBlob,
        named: Option<&str>,
    ) -> Result<Source<'b>, KmsError> {
        check_length("ciphertextBlob", ciphertext.0.len(), blob::MAX_BLOB)?;
        let blob = blob::parse(ciphertext);
        let named = match (named, &blob) {
            (Some(text), _) => self.find(place, text)?,
            (None, None) => return Err(KmsError::InvalidCiphertext),
            (None, Some(blob)) => match self.state.read().key(&place.region, blob.key_id) {
                Some(key) => Named {
                    key: Arc::clone(key),
                    alias: None,
                },
                None => {
                    return Err(KmsError::AccessDenied(
                        "The ciphertext refers to a customer master key that does not exist, does \
                         not exist in this region, or you are not allowed to access."
                            .to_owned(),
                    ));
                }
            },
        };
        Ok(Source { named, blob })
    }
}

/// A ciphertext with the key that is to open it. Whether it does is not known yet.
struct Source<'b> {
    named: Named,
    /// `None`: not one of our ciphertexts.
    blob: Option<Unverified<'b>>,
}

impl Source<'_> {
    /// Whether the key that the request names is the one that made the ciphertext. Asked after
    /// policy, so that nobody learns it who may not decrypt.
    fn check_key(&self) -> Result<(), KmsError> {
        match &self.blob {
            Some(blob) if blob.key_id != self.named.key.id => Err(KmsError::IncorrectKey(
                "The key ID in the request does not identify a CMK that can perform this operation."
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// The plaintext, and the id of the material that encrypted it.
    fn open(
        &self,
        key: Usable<'_>,
        context: &EncryptionContext,
    ) -> Result<(Zeroizing<Vec<u8>>, String), KmsError> {
        let opened = self.blob.as_ref().and_then(|blob| {
            let material = key.material(blob.key_version)?;
            let plaintext = blob.open(material.symmetric()?, context)?;
            Some((plaintext, material.id().to_string()))
        });
        opened.ok_or(KmsError::InvalidCiphertext)
    }
}

fn seal(
    key: Usable<'_>,
    context: &EncryptionContext,
    plaintext: &[u8],
) -> Result<CiphertextBlob, KmsError> {
    let (id, material) = (key.key().id, key.current());
    let secret = material.symmetric().ok_or_else(|| {
        let arn = &key.key().arn;
        KmsError::Unsupported(format!(
            "{arn} is no symmetric encryption key; this version of kmsfs does not encrypt with it."
        ))
    })?;
    Ok(blob::seal(
        id,
        (material.version(), secret),
        context,
        plaintext,
    ))
}

/// Whether a key of this usage can do `operation`.
pub(super) fn check_usage(key: &Key, usage: KeyUsage, operation: &str) -> Result<(), KmsError> {
    if key.usage == usage {
        return Ok(());
    }
    Err(KmsError::InvalidKeyUsage(format!(
        "{} key usage is {} which is not valid for {operation}.",
        key.arn, key.usage
    )))
}

fn facts<'a>(context: &'a EncryptionContext, alias: Option<&'a AliasName>) -> Facts<'a> {
    Facts {
        encryption_context: Some(context),
        request_alias: alias,
        algorithm: Some(ALGORITHM),
        ..Facts::default()
    }
}

fn context<'a>(trail: &mut Trail<'a>, name: &'static str, context: &'a EncryptionContext) {
    if !context.is_empty() {
        trail.parameter(name, context);
    }
}

fn algorithm(trail: &mut Trail<'_>, name: &'static str, asked: Option<EncryptionAlgorithm>) {
    trail.parameter(name, asked.unwrap_or(ALGORITHM).as_str());
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

fn check_length(member: &str, length: usize, most: usize) -> Result<(), KmsError> {
    let bound = match length {
        0 => "greater than or equal to 1".to_owned(),
        length if length > most => format!("less than or equal to {most}"),
        _ => return Ok(()),
    };
    Err(KmsError::constraint(&format!(
        "Value at '{member}' failed to satisfy constraint: Member must have length {bound}"
    )))
}

fn check_algorithm(key: Usable<'_>, asked: Option<EncryptionAlgorithm>) -> Result<(), KmsError> {
    let key = key.key();
    let asked = asked.unwrap_or(ALGORITHM);
    if key.spec.encryption_algorithms(key.usage).contains(&asked) {
        return Ok(());
    }
    Err(KmsError::InvalidKeyUsage(format!(
        "Algorithm {asked} is incompatible with key spec {}.",
        key.spec
    )))
}

fn check_dry_run(dry_run: Option<bool>) -> Result<(), KmsError> {
    match dry_run {
        Some(true) => Err(KmsError::DryRun(
            "The request would have succeeded, but the DryRun option is set.".to_owned(),
        )),
        Some(false) | None => Ok(()),
    }
}
