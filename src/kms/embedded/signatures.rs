//! Signing, verifying, and public keys.

use super::{
    Done, Embedded,
    authorize::{Facts, Target},
    checks::{MAX_BLOB, MAX_MESSAGE, check_dry_run, check_length},
    trail::Trail,
};
use crate::kms::{
    KmsError,
    api::{
        CiphertextBlob, GetPublicKeyRequest, GetPublicKeyResponse, KeyUsage, MessageType,
        PublicKey, SignRequest, SignResponse, SigningAlgorithm, VerifyRequest, VerifyResponse,
    },
    signing::Signable,
};

impl Embedded {
    pub(super) fn sign<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a SignRequest,
    ) -> Result<Done<'a, SignResponse>, KmsError> {
        let (algorithm, message) = (request.signing_algorithm, request.message.expose());
        let message_type = request.message_type.unwrap_or(MessageType::Raw);
        parameters(trail, &request.key_id, algorithm, message_type);
        check_length("message", message.len(), MAX_MESSAGE)?;
        self.check_grant_tokens(trail, &request.grant_tokens)?;
        let named = self.find(trail.place(), &request.key_id)?;
        let facts = Facts {
            request_alias: named.alias.as_ref(),
            values: &values(algorithm, message_type),
            ..Facts::default()
        };
        let allowed = self.authorize(trail, "kms:Sign", Target::Key(&named.key), facts)?;
        let key = named
            .key
            .usable_for(&allowed, KeyUsage::SignVerify, "Sign")?;
        let message = Signable::check(named.key.spec, algorithm, message_type, message)?;
        check_dry_run(request.dry_run)?;
        let signature = message.sign(&key.key_pair()?)?;
        let response = SignResponse {
            key_id: key.key().arn.clone(),
            signature: CiphertextBlob(signature),
            signing_algorithm: algorithm,
        };
        Ok(Done::answer(&allowed, response))
    }

    pub(super) fn verify<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a VerifyRequest,
    ) -> Result<Done<'a, VerifyResponse>, KmsError> {
        let (algorithm, message) = (request.signing_algorithm, request.message.expose());
        let message_type = request.message_type.unwrap_or(MessageType::Raw);
        parameters(trail, &request.key_id, algorithm, message_type);
        check_length("message", message.len(), MAX_MESSAGE)?;
        check_length("signature", request.signature.0.len(), MAX_BLOB)?;
        self.check_grant_tokens(trail, &request.grant_tokens)?;
        let named = self.find(trail.place(), &request.key_id)?;
        let facts = Facts {
            request_alias: named.alias.as_ref(),
            values: &values(algorithm, message_type),
            ..Facts::default()
        };
        let allowed = self.authorize(trail, "kms:Verify", Target::Key(&named.key), facts)?;
        let key = named
            .key
            .usable_for(&allowed, KeyUsage::SignVerify, "Verify")?;
        let message = Signable::check(named.key.spec, algorithm, message_type, message)?;
        message
            .verify(&key.key_pair()?, &request.signature.0)
            .map_err(|_| KmsError::InvalidSignature(String::new()))?;
        check_dry_run(request.dry_run)?;
        let response = VerifyResponse {
            key_id: key.key().arn.clone(),
            signature_valid: true,
            signing_algorithm: algorithm,
        };
        Ok(Done::answer(&allowed, response))
    }

    pub(super) fn get_public_key<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a GetPublicKeyRequest,
    ) -> Result<Done<'a, GetPublicKeyResponse>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        self.check_grant_tokens(trail, &request.grant_tokens)?;
        let named = self.find(trail.place(), &request.key_id)?;
        let facts = Facts {
            request_alias: named.alias.as_ref(),
            ..Facts::default()
        };
        let target = Target::Key(&named.key);
        let allowed = self.authorize(trail, "kms:GetPublicKey", target, facts)?;
        // A disabled key gives its public key: who has it needs the key service no more.
        let key = named.key.usable_as(&allowed, trail.demand())?;
        let (spec, usage) = (named.key.spec, named.key.usage);
        if !spec.is_asymmetric() {
            return Err(KmsError::Unsupported(String::new()));
        }
        let response = GetPublicKeyResponse {
            key_id: named.key.arn.clone(),
            public_key: PublicKey(key.key_pair()?.public_key()?),
            customer_master_key_spec: spec,
            key_spec: spec,
            key_usage: usage,
            encryption_algorithms: spec.encryption_algorithms(usage).to_vec(),
            signing_algorithms: spec.signing_algorithms(usage).to_vec(),
            key_agreement_algorithms: usage.key_agreement_algorithms().to_vec(),
            encapsulation_algorithms: usage.encapsulation_algorithms().to_vec(),
        };
        Ok(Done::answer(&allowed, response))
    }
}

fn parameters<'a>(
    trail: &mut Trail<'a>,
    key_id: &'a str,
    algorithm: SigningAlgorithm,
    message_type: MessageType,
) {
    trail.parameter("keyId", key_id);
    trail.parameter("signingAlgorithm", algorithm.as_str());
    trail.parameter("messageType", message_type.as_str());
}

/// What conditions may ask of the request.
fn values(
    algorithm: SigningAlgorithm,
    message_type: MessageType,
) -> [(&'static str, &'static str); 2] {
    [
        ("kms:SigningAlgorithm", algorithm.as_str()),
        ("kms:MessageType", message_type.as_str()),
    ]
}
