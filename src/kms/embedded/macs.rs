//! Message authentication codes.

use super::{
    Done, Embedded,
    authorize::{Facts, Target},
    checks::{MAX_BLOB, MAX_MESSAGE, check_dry_run, check_length},
    trail::Trail,
};
use crate::kms::{
    KmsError,
    api::{
        CiphertextBlob, GenerateMacRequest, GenerateMacResponse, KeyUsage, MacAlgorithm,
        VerifyMacRequest, VerifyMacResponse,
    },
    key::Key,
    mac,
};

impl Embedded {
    pub(super) fn generate_mac<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a GenerateMacRequest,
    ) -> Result<Done<'a, GenerateMacResponse>, KmsError> {
        let (algorithm, message) = (request.mac_algorithm, request.message.expose());
        trail.parameter("keyId", &*request.key_id);
        trail.parameter("macAlgorithm", algorithm.as_str());
        check_length("message", message.len(), MAX_MESSAGE)?;
        self.check_grant_tokens(trail, &request.grant_tokens)?;
        let named = self.find(trail.place(), &request.key_id)?;
        let facts = Facts {
            request_alias: named.alias.as_ref(),
            values: &[("kms:MacAlgorithm", algorithm.as_str())],
            ..Facts::default()
        };
        let allowed = self.authorize(trail, "kms:GenerateMac", Target::Key(&named.key), facts)?;
        let usage = KeyUsage::GenerateVerifyMac;
        let key = named.key.usable_for(&allowed, usage, "GenerateMac")?;
        check_algorithm(&named.key, algorithm)?;
        check_dry_run(request.dry_run)?;
        let code = mac::sign(algorithm, key.secret()?.expose(), message);
        let response = GenerateMacResponse {
            mac: CiphertextBlob(code),
            mac_algorithm: algorithm,
            key_id: named.key.arn.clone(),
        };
        Ok(Done::answer(&allowed, response))
    }

    pub(super) fn verify_mac<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a VerifyMacRequest,
    ) -> Result<Done<'a, VerifyMacResponse>, KmsError> {
        let (algorithm, message) = (request.mac_algorithm, request.message.expose());
        trail.parameter("keyId", &*request.key_id);
        trail.parameter("macAlgorithm", algorithm.as_str());
        check_length("message", message.len(), MAX_MESSAGE)?;
        check_length("mac", request.mac.0.len(), MAX_BLOB)?;
        self.check_grant_tokens(trail, &request.grant_tokens)?;
        let named = self.find(trail.place(), &request.key_id)?;
        let facts = Facts {
            request_alias: named.alias.as_ref(),
            values: &[("kms:MacAlgorithm", algorithm.as_str())],
            ..Facts::default()
        };
        let allowed = self.authorize(trail, "kms:VerifyMac", Target::Key(&named.key), facts)?;
        let usage = KeyUsage::GenerateVerifyMac;
        let key = named.key.usable_for(&allowed, usage, "VerifyMac")?;
        check_algorithm(&named.key, algorithm)?;
        mac::verify(algorithm, key.secret()?.expose(), message, &request.mac.0)
            .map_err(|_| KmsError::InvalidMac(String::new()))?;
        check_dry_run(request.dry_run)?;
        let response = VerifyMacResponse {
            key_id: named.key.arn.clone(),
            mac_valid: true,
            mac_algorithm: algorithm,
        };
        Ok(Done::answer(&allowed, response))
    }
}

fn check_algorithm(key: &Key, algorithm: MacAlgorithm) -> Result<(), KmsError> {
    if key.spec.mac_algorithms().contains(&algorithm) {
        Ok(())
    } else {
        Err(KmsError::incompatible(algorithm, key.spec))
    }
}
