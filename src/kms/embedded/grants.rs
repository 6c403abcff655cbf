//! Making, listing and ending grants.

use std::{ops::Bound, sync::Arc};

use super::{
    Change, Done, Embedded,
    authorize::{Facts, Target, truth},
    checks::check_dry_run,
    granting, page,
    trail::Trail,
};
use crate::{
    audit::Value,
    kms::{
        KmsError,
        api::{
            CreateGrantRequest, CreateGrantResponse, Empty, EncryptionContext, GrantConstraints,
            GrantListEntry, GrantOperation, KeyUsage, ListGrantsRequest, ListGrantsResponse,
            ListRetirableGrantsRequest, RetireGrantRequest, RevokeGrantRequest,
        },
        key::Key,
        name::{KeyId, Place},
        state::{Grant, GrantId, Write},
    },
};

/// Grants per key (<https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html>).
const MAX_PER_KEY: usize = 50_000;

impl Embedded {
    pub(super) fn create_grant<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a CreateGrantRequest,
    ) -> Result<Done<'a, CreateGrantResponse>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        trail.optional("granteePrincipal", request.grantee_principal.as_deref());
        trail.optional("retiringPrincipal", request.retiring_principal.as_deref());
        trail.parameter("operations", operations_value(&request.operations));
        trail.optional(
            "constraints",
            request.constraints.as_ref().map(constraints_value),
        );
        trail.optional("name", request.name.as_deref());
        self.check_grant_tokens(trail, &request.grant_tokens)?;
        let grantee = check_request(request)?;
        let store = self.changing();
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let constraints = request.constraints.as_ref();
        let mut values: Vec<(&str, &str)> = request
            .operations
            .iter()
            .map(|operation| ("kms:GrantOperations", operation.as_str()))
            .collect();
        values.push(("kms:GranteePrincipal", grantee));
        values.push(("kms:GrantIsForAWSResource", truth(trail.caller().via_kmsfs)));
        if let Some(retiring) = &request.retiring_principal {
            values.push(("kms:RetiringPrincipal", retiring));
        }
        if let Some((kind, _)) = constraints.and_then(constraint) {
            values.push(("kms:GrantConstraintType", kind));
        }
        let facts = Facts {
            encryption_context: constraints.and_then(constraint).map(|(_, context)| context),
            new_grant: Some(request),
            values: &values,
            ..Facts::default()
        };
        let allowed = self.authorize(trail, "kms:CreateGrant", Target::Key(&key), facts)?;
        key.check_state(trail.demand())?;
        check_operations(&key, &request.operations, constraints)?;
        check_dry_run(request.dry_run)?;

        let grant = Grant {
            id: GrantId::generate(),
            region: key.region.clone(),
            key: key.id,
            name: request.name.clone(),
            grantee: grantee.to_owned(),
            retiring: request.retiring_principal.clone(),
            issuing_account: trail.caller().principal.account.clone(),
            operations: request.operations.clone(),
            constraints: request.constraints.clone(),
            created: self.now(),
        };
        let known = self.same_grant(&grant);
        let id = known.as_ref().unwrap_or(&grant.id).clone();
        let grant_token = self.make_token(&key.region, key.id, &id);
        trail.response("grantId", id.0.clone());
        trail.response("keyId", key.arn.clone());
        let response = CreateGrantResponse {
            grant_token,
            grant_id: id.0,
        };
        if known.is_some() {
            return Ok(Done::answer(&allowed, response));
        }
        if self.grants_on(&key) >= MAX_PER_KEY {
            return Err(KmsError::LimitExceeded(format!(
                "{} has {MAX_PER_KEY} grants, as many as a key may have.",
                key.arn
            )));
        }
        let change = Change::write(self, store, vec![Write::Grant(Arc::new(grant))])?;
        Ok(Done::change(&allowed, change, response))
    }

    /// The grant that was made by an equal request of the same name before.
    fn same_grant(&self, new: &Grant) -> Option<GrantId> {
        new.name.as_ref()?;
        let state = self.state.read();
        let mut grants = state.region(&new.region)?.grants_of(new.key);
        let same = grants.find(|grant| {
            let as_new = Grant {
                id: new.id.clone(),
                created: new.created,
                ..Grant::clone(grant)
            };
            as_new == *new
        });
        same.map(|grant| grant.id.clone())
    }

    fn grants_on(&self, key: &Key) -> usize {
        let state = self.state.read();
        let regional = state.region(&key.region);
        regional.map_or(0, |regional| regional.grants_of(key.id).count())
    }

    pub(super) fn list_grants<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a ListGrantsRequest,
    ) -> Result<Done<'a, ListGrantsResponse>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        trail.optional("grantId", request.grant_id.as_deref());
        trail.optional("granteePrincipal", request.grantee_principal.as_deref());
        let limit = page::limit(request.limit, 50, 100)?;
        let after = page::start(request.marker.as_deref(), |id| Some(GrantId(id.to_owned())))?;
        if request.grantee_principal.is_some() && request.grantee_service_principal.is_some() {
            return Err(only_one("GranteePrincipal", "GranteeServicePrincipal"));
        }
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let target = Target::Key(&key);
        let allowed = self.authorize(trail, "kms:ListGrants", target, Facts::default())?;
        let state = self.state.read();
        let all = state.region(&key.region).into_iter();
        let grants = all
            .flat_map(|regional| regional.grants_of(key.id))
            .filter(|grant| after.as_ref().is_none_or(|after| grant.id > *after))
            .filter(|grant| request.grant_id.as_ref().is_none_or(|id| grant.id.0 == *id))
            .filter(|grant| {
                let wanted = request.grantee_principal.as_ref();
                wanted.is_none_or(|wanted| grant.grantee == *wanted)
            })
            .filter(|_| request.grantee_service_principal.is_none());
        let page = page::cut(grants, limit, |grant| grant.id.0.clone());
        Ok(Done::answer(&allowed, listed(trail.place(), page)))
    }

    pub(super) fn list_retirable_grants<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a ListRetirableGrantsRequest,
    ) -> Result<Done<'a, ListGrantsResponse>, KmsError> {
        trail.optional("retiringPrincipal", request.retiring_principal.as_deref());
        let limit = page::limit(request.limit, 50, 100)?;
        let after = page::start(request.marker.as_deref(), |name| {
            let (key, grant) = name.split_once('/')?;
            Some((key.parse::<KeyId>().ok()?, GrantId(grant.to_owned())))
        })?;
        let retiring = match (
            &request.retiring_principal,
            &request.retiring_service_principal,
        ) {
            (Some(retiring), None) => check_principal("retiringPrincipal", retiring)?,
            (None, Some(_)) => "",
            _ => return Err(only_one("RetiringPrincipal", "RetiringServicePrincipal")),
        };
        let action = "kms:ListRetirableGrants";
        let allowed = self.authorize(trail, action, Target::Account, Facts::default())?;
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.state.read();
        let grants = state
            .region(&trail.place().region)
            .into_iter()
            .flat_map(|regional| {
                let range = (from, Bound::Unbounded);
                regional.grants.range::<(KeyId, GrantId), _>(range)
            })
            .map(|(_, grant)| grant)
            .filter(|grant| grant.retiring.as_deref() == Some(retiring));
        let page = page::cut(grants, limit, |grant| {
            format!("{}/{}", grant.key, grant.id.0)
        });
        Ok(Done::answer(&allowed, listed(trail.place(), page)))
    }

    pub(super) fn revoke_grant<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a RevokeGrantRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        trail.parameter("grantId", &*request.grant_id);
        let store = self.changing();
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let values = [("kms:GrantIsForAWSResource", truth(trail.caller().via_kmsfs))];
        let facts = Facts {
            values: &values,
            ..Facts::default()
        };
        let allowed = self.authorize(trail, "kms:RevokeGrant", Target::Key(&key), facts)?;
        let grant = self.find_grant(&key, &GrantId(request.grant_id.clone()))?;
        check_dry_run(request.dry_run)?;
        let forget = Write::ForgetGrant(key.region.clone(), key.id, grant.id.clone());
        let change = Change::write(self, store, vec![forget])?;
        Ok(Done::change(&allowed, change, Empty {}))
    }

    pub(super) fn retire_grant<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a RetireGrantRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.optional("keyId", request.key_id.as_deref());
        trail.optional("grantId", request.grant_id.as_deref());
        let store = self.changing();
        let place = trail.place();
        let (key, id) = match (&request.grant_token, &request.key_id, &request.grant_id) {
            (Some(token), None, None) => {
                let (key, id) = self.read_token(&place.region, token)?;
                (self.find_by_id(place, &key.to_string())?, id)
            }
            (None, Some(key), Some(id)) => (self.find_by_id(place, key)?, GrantId(id.clone())),
            _ => {
                return Err(KmsError::Validation(
                    "Please specify either a grant token, or both a key ARN and a grant ID."
                        .to_owned(),
                ));
            }
        };
        trail.key(&key.arn);
        let grant = self.find_grant(&key, &id)?;
        let caller = trail.principal();
        let by_grant = grant
            .retiring
            .as_ref()
            .is_some_and(|retiring| granting::names(retiring, caller))
            || (grant.operations.contains(&GrantOperation::RetireGrant)
                && granting::names(&grant.grantee, caller));
        let by_grant: &[&str] = if by_grant { &[&*id.0] } else { &[] };
        let (action, target) = ("kms:RetireGrant", Target::Key(&key));
        let decided = self.decide(
            &key.policy,
            trail,
            action,
            target,
            Facts::default(),
            by_grant,
        );
        let allowed = Self::decided(trail, action, target, decided)?;
        check_dry_run(request.dry_run)?;
        let forget = Write::ForgetGrant(key.region.clone(), key.id, id);
        let change = Change::write(self, store, vec![forget])?;
        Ok(Done::change(&allowed, change, Empty {}))
    }

    fn find_grant(&self, key: &Key, id: &GrantId) -> Result<Arc<Grant>, KmsError> {
        let state = self.state.read();
        let regional = state.region(&key.region);
        let grant = regional.and_then(|regional| regional.grants.get(&(key.id, id.clone())));
        grant
            .cloned()
            .ok_or_else(|| KmsError::NotFound(format!("Grant ID {} not found", id.0)))
    }
}

fn listed(place: &Place, page: page::Page<&Arc<Grant>>) -> ListGrantsResponse {
    let entry = |grant: &Arc<Grant>| GrantListEntry {
        key_id: place.key_arn(grant.key),
        grant_id: grant.id.0.clone(),
        name: grant.name.clone(),
        creation_date: grant.created,
        grantee_principal: Some(grant.grantee.clone()),
        retiring_principal: grant.retiring.clone(),
        issuing_account: format!("arn:aws:iam::{}:root", grant.issuing_account),
        operations: grant.operations.clone(),
        constraints: grant.constraints.clone(),
        grantee_service_principal: None,
        retiring_service_principal: None,
    };
    ListGrantsResponse {
        grants: page.items.into_iter().map(entry).collect(),
        truncated: page.next.is_some(),
        next_marker: page.next,
    }
}

/// What can be said without the key; answers with the grantee.
fn check_request(request: &CreateGrantRequest) -> Result<&str, KmsError> {
    if request.grantee_service_principal.is_some() || request.retiring_service_principal.is_some() {
        return Err(KmsError::Unsupported(
            "Grants to service principals are not supported: no service calls kmsfs.".to_owned(),
        ));
    }
    let Some(grantee) = &request.grantee_principal else {
        return Err(KmsError::constraint(
            "Value null at 'granteePrincipal' failed to satisfy constraint: Member must not be null",
        ));
    };
    check_principal("granteePrincipal", grantee)?;
    if let Some(retiring) = &request.retiring_principal {
        check_principal("retiringPrincipal", retiring)?;
    }
    if request.operations.is_empty() {
        return Err(KmsError::Validation(
            "The operations of a grant must not be empty.".to_owned(),
        ));
    }
    if let Some(name) = &request.name {
        let characters = |b: u8| b.is_ascii_alphanumeric() || b":/_-".contains(&b);
        let bound = match name.len() {
            0 => Some("have length greater than or equal to 1"),
            257.. => Some("have length less than or equal to 256"),
            _ if !name.bytes().all(characters) => {
                Some("satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$")
            }
            _ => None,
        };
        if let Some(bound) = bound {
            return Err(KmsError::constraint(&format!(
                "Value '{name}' at 'name' failed to satisfy constraint: Member must {bound}"
            )));
        }
    }
    if let Some(constraints) = &request.constraints {
        if constraints.source_arn.is_some() {
            return Err(KmsError::Unsupported(
                "The grant constraint SourceArn is not supported: no service calls kmsfs."
                    .to_owned(),
            ));
        }
        let both = constraints.encryption_context_equals.is_some()
            && constraints.encryption_context_subset.is_some();
        if both {
            return Err(only_one(
                "EncryptionContextEquals",
                "EncryptionContextSubset",
            ));
        }
    }
    Ok(grantee)
}

/// Whether `text` is the ARN of an account, user, role or session.
fn check_principal<'t>(member: &str, text: &'t str) -> Result<&'t str, KmsError> {
    let characters = |c: char| c.is_alphanumeric() || "_+=,.@:/-".contains(c);
    let bound = match text.chars().count() {
        0 => Some("have length greater than or equal to 1"),
        257.. => Some("have length less than or equal to 256"),
        _ if !text.chars().all(characters) => {
            Some(r"satisfy regular expression pattern: ^[\w+=,.@:/-]+$")
        }
        _ => None,
    };
    if let Some(bound) = bound {
        return Err(KmsError::constraint(&format!(
            "Value '{text}' at '{member}' failed to satisfy constraint: Member must {bound}"
        )));
    }
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let valid = match parts[..] {
        [
            "arn",
            partition,
            service @ ("iam" | "sts"),
            "",
            account,
            resource,
        ] => {
            let kinds: &[&str] = match service {
                "iam" => &["user/", "role/", "root"],
                _ => &["assumed-role/", "federated-user/"],
            };
            partition.starts_with("aws")
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && kinds.iter().any(|kind| resource.starts_with(kind))
        }
        _ => false,
    };
    if valid {
        Ok(text)
    } else {
        Err(KmsError::InvalidArn(format!(
            "ARN does not refer to a valid principal: {text}"
        )))
    }
}

/// Whether the key can do what the grant allows, and takes the contexts that it asks for.
fn check_operations(
    key: &Key,
    operations: &[GrantOperation],
    constraints: Option<&GrantConstraints>,
) -> Result<(), KmsError> {
    let symmetric = key.spec.is_symmetric_encryption();
    if let Some(unfit) = operations.iter().find(|operation| !fits(key, **operation)) {
        return Err(KmsError::Validation(format!(
            "Grant operation {unfit} is not supported for a key with KeySpec {} and KeyUsage {}",
            key.spec, key.usage
        )));
    }
    if !symmetric && constraints.and_then(constraint).is_some() {
        return Err(KmsError::Validation(format!(
            "Encryption context constraints are not supported for a key with KeySpec {}",
            key.spec
        )));
    }
    Ok(())
}

/// Source: <https://docs.aws.amazon.com/kms/latest/developerguide/grants.html#terms-grant-operations>.
fn fits(key: &Key, operation: GrantOperation) -> bool {
    use GrantOperation as Operation;
    let symmetric = key.spec.is_symmetric_encryption();
    match operation {
        Operation::CreateGrant | Operation::DescribeKey | Operation::RetireGrant => true,
        Operation::Decrypt
        | Operation::Encrypt
        | Operation::ReEncryptFrom
        | Operation::ReEncryptTo => key.usage == KeyUsage::EncryptDecrypt,
        Operation::GenerateDataKey
        | Operation::GenerateDataKeyWithoutPlaintext
        | Operation::GenerateDataKeyPair
        | Operation::GenerateDataKeyPairWithoutPlaintext => symmetric,
        Operation::Sign | Operation::Verify => key.usage == KeyUsage::SignVerify,
        Operation::GenerateMac | Operation::VerifyMac => key.usage == KeyUsage::GenerateVerifyMac,
        Operation::GetPublicKey => !symmetric && !key.spec.is_hmac(),
        Operation::DeriveSharedSecret => key.usage == KeyUsage::KeyAgreement,
        Operation::Encapsulate | Operation::Decapsulate => {
            key.usage == KeyUsage::EncapsulateDecapsulate
        }
    }
}

/// The one constraint that a request may have, by its name in `kms:GrantConstraintType`.
fn constraint(constraints: &GrantConstraints) -> Option<(&'static str, &EncryptionContext)> {
    let equals = constraints.encryption_context_equals.as_ref();
    let subset = constraints.encryption_context_subset.as_ref();
    let equals = equals.map(|context| ("EncryptionContextEquals", context));
    equals.or(subset.map(|context| ("EncryptionContextSubset", context)))
}

fn only_one(one: &str, other: &str) -> KmsError {
    KmsError::Validation(format!(
        "You must specify either {one} or {other}, but not both."
    ))
}

fn operations_value(operations: &[GrantOperation]) -> Value<'static> {
    Value::List(operations.iter().map(|o| Value::from(o.as_str())).collect())
}

fn constraints_value(constraints: &GrantConstraints) -> Value<'_> {
    let pairs = [
        (
            "encryptionContextEquals",
            &constraints.encryption_context_equals,
        ),
        (
            "encryptionContextSubset",
            &constraints.encryption_context_subset,
        ),
    ];
    let present = pairs
        .into_iter()
        .filter_map(|(name, context)| Some((name, Value::from(context.as_ref()?))));
    Value::Object(present.collect())
}
