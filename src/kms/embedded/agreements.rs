//! Agreeing on secrets.

use super::{
    Done, Embedded,
    authorize::{Facts, Target},
    checks::{MAX_BLOB, check_dry_run, check_length, check_recipient},
    trail::Trail,
};
use crate::kms::{
    KmsError,
    api::{
        CiphertextBlob, DecapsulateRequest, DecapsulateResponse, DeriveSharedSecretRequest,
        DeriveSharedSecretResponse, EncapsulateRequest, EncapsulateResponse, KeyUsage, Plaintext,
    },
    keypair::{EcKey, KeyPair, MlKemKey},
};

/// The longest public key that a client may present.
const MAX_PUBLIC_KEY: usize = 8192;

impl Embedded {
    pub(super) fn derive_shared_secret<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a DeriveSharedSecretRequest,
    ) -> Result<Done<'a, DeriveSharedSecretResponse>, KmsError> {
        let (algorithm, peer) = (request.key_agreement_algorithm, &request.public_key.0);
        trail.parameter("keyId", &*request.key_id);
        trail.parameter("keyAgreementAlgorithm", algorithm.as_str());
        check_length("publicKey", peer.len(), MAX_PUBLIC_KEY)?;
        check_recipient(request.recipient.as_ref())?;
        self.check_grant_tokens(trail, &request.grant_tokens)?;
        let named = self.find(trail.place(), &request.key_id)?;
        let facts = Facts {
            request_alias: named.alias.as_ref(),
            values: &[("kms:KeyAgreementAlgorithm", algorithm.as_str())],
            ..Facts::default()
        };
        let target = Target::Key(&named.key);
        let allowed = self.authorize(trail, "kms:DeriveSharedSecret", target, facts)?;
        let usage = KeyUsage::KeyAgreement;
        let key = named
            .key
            .usable_for(&allowed, usage, "DeriveSharedSecret")?;
        let secret = agreeing(&key.key_pair()?)?
            .agree(peer)
            .map_err(|_| KmsError::Validation(String::new()))?;
        check_dry_run(request.dry_run)?;
        let response = DeriveSharedSecretResponse {
            key_id: key.key().arn.clone(),
            shared_secret: Plaintext::from(secret),
            ciphertext_for_recipient: None,
            key_agreement_algorithm: algorithm,
            key_origin: key.key().origin,
        };
        Ok(Done::answer(&allowed, response))
    }

    pub(super) fn encapsulate<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a EncapsulateRequest,
    ) -> Result<Done<'a, EncapsulateResponse>, KmsError> {
        let algorithm = request.encapsulation_algorithm;
        trail.parameter("keyId", &*request.key_id);
        trail.parameter("encapsulationAlgorithm", algorithm.as_str());
        self.check_grant_tokens(trail, &request.grant_tokens)?;
        let named = self.find(trail.place(), &request.key_id)?;
        let facts = Facts {
            request_alias: named.alias.as_ref(),
            values: &[("kms:EncapsulationAlgorithm", algorithm.as_str())],
            ..Facts::default()
        };
        let allowed = self.authorize(trail, "kms:Encapsulate", Target::Key(&named.key), facts)?;
        let usage = KeyUsage::EncapsulateDecapsulate;
        let key = named.key.usable_for(&allowed, usage, "Encapsulate")?;
        check_dry_run(request.dry_run)?;
        let (ciphertext, secret) = encapsulating(&key.key_pair()?)?.encapsulate();
        let response = EncapsulateResponse {
            key_id: key.key().arn.clone(),
            shared_secret: Plaintext::from(secret),
            shared_secret_ciphertext_blob: CiphertextBlob(ciphertext),
            encapsulation_algorithm: algorithm,
        };
        Ok(Done::answer(&allowed, response))
    }

    pub(super) fn decapsulate<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a DecapsulateRequest,
    ) -> Result<Done<'a, DecapsulateResponse>, KmsError> {
        let algorithm = request.encapsulation_algorithm;
        let ciphertext = &request.shared_secret_ciphertext_blob.0;
        trail.parameter("keyId", &*request.key_id);
        trail.parameter("encapsulationAlgorithm", algorithm.as_str());
        check_length("sharedSecretCiphertextBlob", ciphertext.len(), MAX_BLOB)?;
        self.check_grant_tokens(trail, &request.grant_tokens)?;
        let named = self.find(trail.place(), &request.key_id)?;
        let facts = Facts {
            request_alias: named.alias.as_ref(),
            values: &[("kms:EncapsulationAlgorithm", algorithm.as_str())],
            ..Facts::default()
        };
        let allowed = self.authorize(trail, "kms:Decapsulate", Target::Key(&named.key), facts)?;
        let usage = KeyUsage::EncapsulateDecapsulate;
        let key = named.key.usable_for(&allowed, usage, "Decapsulate")?;
        let secret = encapsulating(&key.key_pair()?)?
            .decapsulate(ciphertext)
            .ok_or(KmsError::InvalidCiphertext)?;
        check_dry_run(request.dry_run)?;
        let response = DecapsulateResponse {
            key_id: key.key().arn.clone(),
            shared_secret: Plaintext::from(secret),
            encapsulation_algorithm: algorithm,
        };
        Ok(Done::answer(&allowed, response))
    }
}

/// The kinds of keys for these usages; SM2, which agrees as well, cannot be made.
fn agreeing(key: &KeyPair) -> Result<&EcKey, KmsError> {
    match key {
        KeyPair::Ec(key) => Ok(key),
        _ => Err(KmsError::Internal("no key to agree with".to_owned())),
    }
}

fn encapsulating(key: &KeyPair) -> Result<&MlKemKey, KmsError> {
    match key {
        KeyPair::MlKem(key) => Ok(key),
        _ => Err(KmsError::Internal("no key to encapsulate with".to_owned())),
    }
}
