//! What grants allow, and the tokens that name them.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Embedded, conditions::Facts, trail::Trail};
use crate::{
    crypto::{SecretKey, random},
    kms::{
        KmsError, Region,
        api::{EncryptionContext, GrantConstraints, GrantOperation},
        key::Key,
        name::KeyId,
        state::{Grant, GrantId},
    },
    policy::{Document, DocumentKind, Principal, canned},
};

/// The most that a request may present.
const MAX_TOKENS: usize = 10;

impl Embedded {
    /// The grants on `key` that let the caller do `action` with these facts.
    pub(super) fn grants_allowing(
        &self,
        trail: &Trail<'_>,
        action: &str,
        key: &Key,
        facts: Facts<'_>,
    ) -> Vec<Arc<Grant>> {
        let operation = action.trim_start_matches("kms:").parse();
        let Ok(operation) = operation else {
            return Vec::new();
        };
        let principal = trail.principal();
        let state = self.state.read();
        let regional = state.region(&key.region);
        let grants = regional
            .into_iter()
            .flat_map(|regional| regional.grants_of(key.id));
        let matching = grants.filter(|grant| {
            grant.operations.contains(&operation) && allows(grant, operation, facts)
        });
        let named = matching.filter(|grant| {
            names(&grant.grantee, principal) || is_root_of(&grant.grantee, &principal.account)
        });
        let named: Vec<_> = named.cloned().collect();
        drop(state);
        // A grant to an account delegates to it, as a key policy does.
        named
            .into_iter()
            .filter(|grant| {
                names(&grant.grantee, principal) || self.account_allows(trail, action, key, facts)
            })
            .collect()
    }

    /// Whether identity policies alone would let the caller do it.
    fn account_allows(&self, trail: &Trail<'_>, action: &str, key: &Key, facts: Facts<'_>) -> bool {
        let policy = canned::default_key_policy(&trail.caller().principal.account);
        let policy = Document::parse(DocumentKind::Key, &policy)
            .expect("kmsfs' own policies are well-formed");
        let target = super::authorize::Target::Key(key);
        self.decide(&policy, trail, action, target, facts, &[])
            .is_ok()
    }

    /// Refuses tokens that this service did not make. What they are for takes effect at once here,
    /// so they open nothing that the grant itself does not.
    pub(super) fn check_grant_tokens(
        &self,
        trail: &Trail<'_>,
        tokens: &[String],
    ) -> Result<(), KmsError> {
        if tokens.len() > MAX_TOKENS {
            return Err(KmsError::constraint(
                "Value at 'grantTokens' failed to satisfy constraint: Member must have length less \
                 than or equal to 10",
            ));
        }
        for token in tokens {
            read_token(&self.root, &trail.place().region, token)?;
        }
        Ok(())
    }

    /// Makes a token for a grant. No two are the same.
    pub(super) fn make_token(&self, region: &Region, key: KeyId, grant: &GrantId) -> String {
        make_token(&self.root, region, key, grant)
    }

    /// The key and grant of a token.
    pub(super) fn read_token(
        &self,
        region: &Region,
        token: &str,
    ) -> Result<(KeyId, GrantId), KmsError> {
        read_token(&self.root, region, token)
    }
}

/// Whether a grant's principal `arn` is this caller: a user, one of the caller's roles, or an
/// account's root user himself.
pub(super) fn names(arn: &str, principal: &Principal) -> bool {
    arn == principal.arn || principal.also.iter().any(|also| also == arn)
}

fn is_root_of(arn: &str, account: &str) -> bool {
    arn == account || arn == format!("arn:aws:iam::{account}:root")
}

/// Whether the constraints of `grant` let this request through
/// (<https://docs.aws.amazon.com/kms/latest/APIReference/API_GrantConstraints.html>).
fn allows(grant: &Grant, operation: GrantOperation, facts: Facts<'_>) -> bool {
    if operation == GrantOperation::CreateGrant {
        return facts
            .new_grant
            .is_some_and(|child| narrows(grant, &child.operations, child.constraints.as_ref()));
    }
    let Some(constraints) = &grant.constraints else {
        return true;
    };
    // Constraints do not concern what takes no encryption context.
    if matches!(
        operation,
        GrantOperation::DescribeKey | GrantOperation::RetireGrant
    ) {
        return true;
    }
    let none = EncryptionContext::new();
    let context = facts.encryption_context.unwrap_or(&none);
    let equals = constraints.encryption_context_equals.as_ref();
    let subset = constraints.encryption_context_subset.as_ref();
    equals.is_none_or(|wanted| context == wanted)
        && subset.is_none_or(|wanted| contains(context, wanted))
}

/// Whether a grant for these operations under these constraints gives no more than `parent` does.
fn narrows(
    parent: &Grant,
    operations: &[GrantOperation],
    constraints: Option<&GrantConstraints>,
) -> bool {
    let operations = operations
        .iter()
        .all(|operation| parent.operations.contains(operation));
    let Some(bounds) = &parent.constraints else {
        return operations;
    };
    let own =
        |pick: fn(&GrantConstraints) -> Option<&EncryptionContext>| constraints.and_then(pick);
    let equals = own(|own| own.encryption_context_equals.as_ref());
    let subset = own(|own| own.encryption_context_subset.as_ref());
    let as_equal = bounds
        .encryption_context_equals
        .as_ref()
        .is_none_or(|wanted| equals == Some(wanted));
    let as_subset = bounds
        .encryption_context_subset
        .as_ref()
        .is_none_or(|wanted| {
            [equals, subset]
                .into_iter()
                .flatten()
                .any(|own| contains(own, wanted))
        });
    operations && as_equal && as_subset
}

fn contains(context: &EncryptionContext, pairs: &EncryptionContext) -> bool {
    pairs
        .iter()
        .all(|(name, value)| context.get(name) == Some(value))
}

/// ```text
/// version 1 ‖ multi-Region (1) ‖ key id (16) ‖ grant id (32) ‖ random (16) ‖ HMAC-SHA256 (32)
/// ```
/// The Region is authenticated with it.
const TOKEN_VERSION: u8 = 1;
const BODY: usize = 1 + 1 + KeyId::LEN + 32 + 16;

fn make_token(root: &SecretKey, region: &Region, key: KeyId, grant: &GrantId) -> String {
    let mut token = vec![TOKEN_VERSION, u8::from(key.is_multi_region())];
    token.extend_from_slice(key.as_bytes());
    token.extend_from_slice(&grant.bytes().expect("ids of grants are made here"));
    let mut nonce = [0; 16];
    random::fill(&mut nonce);
    token.extend_from_slice(&nonce);
    let tag = token_mac(root, region, &token).finalize().into_bytes();
    token.extend_from_slice(&tag);
    URL_SAFE_NO_PAD.encode(token)
}

fn read_token(root: &SecretKey, region: &Region, text: &str) -> Result<(KeyId, GrantId), KmsError> {
    let read = || {
        let token = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (body, tag) = token.split_at_checked(BODY)?;
        token_mac(root, region, body).verify_slice(tag).ok()?;
        let (&[version, multi_region], rest) = body.split_first_chunk::<2>()?;
        let (key, rest) = rest.split_first_chunk::<{ KeyId::LEN }>()?;
        let (grant, _) = rest.split_first_chunk::<32>()?;
        (version == TOKEN_VERSION).then(|| {
            let key = KeyId::from_bytes(multi_region == 1, *key);
            (key, GrantId::from_bytes(grant))
        })
    };
    read().ok_or_else(|| KmsError::InvalidGrantToken("Invalid grant token".to_owned()))
}

fn token_mac(root: &SecretKey, region: &Region, body: &[u8]) -> Hmac<Sha256> {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, root.expose())
        .expand(b"kmsfs v1 grant token", &mut key[..])
        .expect("32 bytes are within what SHA-256 expands to");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key[..]).expect("any length is a key");
    mac.update(body);
    mac.update(region.as_str().as_bytes());
    mac
}
