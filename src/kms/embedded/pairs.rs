//! Data key pairs: for use outside, the private key sealed under a KMS key.

use zeroize::Zeroizing;

use super::{
    Done, Embedded,
    authorize::{Facts, Target},
    checks::{check_dry_run, check_recipient},
    data::record_context,
    encryption::{check_generates, seal},
    trail::Trail,
};
use crate::kms::{
    KmsError,
    api::{
        DataKeyPairSpec, EncryptionContext, GenerateDataKeyPairRequest,
        GenerateDataKeyPairResponse, GenerateDataKeyPairWithoutPlaintextRequest,
        GenerateDataKeyPairWithoutPlaintextResponse, KeyUsage, Plaintext, PublicKey,
    },
    keypair::KeyPair,
};

/// What both operations are asked for.
struct Asked<'a> {
    operation: &'static str,
    key_id: &'a str,
    spec: DataKeyPairSpec,
    context: &'a EncryptionContext,
    grant_tokens: &'a [String],
    dry_run: Option<bool>,
}

type Sealed = GenerateDataKeyPairWithoutPlaintextResponse;
type Pair = (Sealed, Zeroizing<Vec<u8>>);

impl Embedded {
    pub(super) fn generate_data_key_pair<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a GenerateDataKeyPairRequest,
    ) -> Result<Done<'a, GenerateDataKeyPairResponse>, KmsError> {
        check_recipient(request.recipient.as_ref())?;
        let asked = Asked {
            operation: "GenerateDataKeyPair",
            key_id: &request.key_id,
            spec: request.key_pair_spec,
            context: &request.encryption_context,
            grant_tokens: &request.grant_tokens,
            dry_run: request.dry_run,
        };
        let done = self.make_data_key_pair(trail, &asked)?;
        Ok(done.map(|(sealed, private)| GenerateDataKeyPairResponse {
            private_key_ciphertext_blob: sealed.private_key_ciphertext_blob,
            private_key_plaintext: Plaintext::from(private),
            public_key: sealed.public_key,
            key_id: sealed.key_id,
            key_pair_spec: sealed.key_pair_spec,
            ciphertext_for_recipient: None,
            key_material_id: sealed.key_material_id,
        }))
    }

    pub(super) fn generate_data_key_pair_without_plaintext<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a GenerateDataKeyPairWithoutPlaintextRequest,
    ) -> Result<Done<'a, Sealed>, KmsError> {
        let asked = Asked {
            operation: "GenerateDataKeyPairWithoutPlaintext",
            key_id: &request.key_id,
            spec: request.key_pair_spec,
            context: &request.encryption_context,
            grant_tokens: &request.grant_tokens,
            dry_run: request.dry_run,
        };
        let done = self.make_data_key_pair(trail, &asked)?;
        Ok(done.map(|(sealed, _)| sealed))
    }

    fn make_data_key_pair<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        asked: &Asked<'a>,
    ) -> Result<Done<'a, Pair>, KmsError> {
        trail.parameter("keyId", asked.key_id);
        trail.parameter("keyPairSpec", asked.spec.as_str());
        record_context(trail, "encryptionContext", asked.context)?;
        self.check_grant_tokens(trail, asked.grant_tokens)?;
        let named = self.find(trail.place(), asked.key_id)?;
        let facts = Facts {
            encryption_context: Some(asked.context),
            request_alias: named.alias.as_ref(),
            values: &[("kms:DataKeyPairSpec", asked.spec.as_str())],
            ..Facts::default()
        };
        let action = format!("kms:{}", asked.operation);
        let allowed = self.authorize(trail, &action, Target::Key(&named.key), facts)?;
        let usage = KeyUsage::EncryptDecrypt;
        let key = named.key.usable_for(&allowed, usage, asked.operation)?;
        check_generates(&named.key)?;
        let Some(kind) = asked.spec.key_pair() else {
            return Err(KmsError::Unsupported(format!(
                "KeyPairSpec {} is not supported in this region",
                asked.spec
            )));
        };
        check_dry_run(asked.dry_run)?;
        let pair = KeyPair::generate(kind)?;
        let private = pair.to_pkcs8()?;
        let sealed = Sealed {
            private_key_ciphertext_blob: seal(key, asked.context, &private)?,
            public_key: PublicKey(pair.public_key()?),
            key_id: named.key.arn.clone(),
            key_pair_spec: asked.spec,
            key_material_id: key.current().id().to_string(),
        };
        Ok(Done::answer(&allowed, (sealed, private)))
    }
}
