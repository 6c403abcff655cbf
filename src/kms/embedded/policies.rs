//! Key policies.

use std::sync::Arc;

use super::{
    Change, Done, Embedded,
    authorize::{Facts, Target, truth},
    page,
    trail::Trail,
};
use crate::{
    kms::{
        KmsError,
        api::{
            Empty, GetKeyPolicyRequest, GetKeyPolicyResponse, ListKeyPoliciesRequest,
            ListKeyPoliciesResponse, PutKeyPolicyRequest,
        },
        key::Key,
        state::Write,
    },
    policy::{Document, DocumentKind},
};

/// The only name a key policy can have.
const NAME: &str = "default";
/// Bytes (<https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html>).
const MAX_POLICY: usize = 32 * 1024;

impl Embedded {
    pub(super) fn put_key_policy<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a PutKeyPolicyRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        let bypass = request.bypass_policy_lockout_safety_check.unwrap_or(false);
        trail.parameter("keyId", &*request.key_id);
        check_size(Some(&request.policy))?;
        trail.parameter("policyName", request.policy_name.as_deref().unwrap_or(NAME));
        trail.parameter("bypassPolicyLockoutSafetyCheck", bypass);
        trail.parameter("policy", &*request.policy);
        let store = self.changing();
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let values = [("kms:BypassPolicyLockoutSafetyCheck", truth(bypass))];
        let facts = Facts {
            values: &values,
            ..Facts::default()
        };
        let allowed = self.authorize(trail, "kms:PutKeyPolicy", Target::Key(&key), facts)?;
        check_name(request.policy_name.as_deref())?;
        let policy = self.parse_policy(&request.policy)?;
        self.check_lockout(trail, &key, &policy, bypass)?;
        let changed = Key {
            policy,
            ..(*key).clone()
        };
        let change = Change::write(self, store, vec![Write::Key(Arc::new(changed))])?;
        Ok(Done::change(&allowed, change, Empty {}))
    }

    pub(super) fn get_key_policy<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a GetKeyPolicyRequest,
    ) -> Result<Done<'a, GetKeyPolicyResponse>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        trail.parameter("policyName", request.policy_name.as_deref().unwrap_or(NAME));
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let allowed = self.authorize(
            trail,
            "kms:GetKeyPolicy",
            Target::Key(&key),
            Facts::default(),
        )?;
        check_name(request.policy_name.as_deref())?;
        let policy = key.policy.source().to_owned();
        Ok(Done::answer(
            &allowed,
            GetKeyPolicyResponse {
                policy,
                policy_name: NAME.to_owned(),
            },
        ))
    }

    pub(super) fn list_key_policies<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a ListKeyPoliciesRequest,
    ) -> Result<Done<'a, ListKeyPoliciesResponse>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        page::limit(request.limit, 100, 1000)?;
        let none = page::start(request.marker.as_deref(), |_| None::<()>)?;
        debug_assert!(none.is_none(), "one name is never truncated");
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let target = Target::Key(&key);
        let allowed = self.authorize(trail, "kms:ListKeyPolicies", target, Facts::default())?;
        let response = ListKeyPoliciesResponse {
            policy_names: vec![NAME.to_owned()],
            next_marker: None,
            truncated: false,
        };
        Ok(Done::answer(&allowed, response))
    }

    /// A key policy that a client sent, understood in full or refused with every reason.
    pub(super) fn parse_policy(&self, text: &str) -> Result<Arc<Document>, KmsError> {
        if text.is_empty() {
            return Err(KmsError::constraint(
                "Value '' at 'policy' failed to satisfy constraint: Member must have length \
                 greater than or equal to 1",
            ));
        }
        check_size(Some(text))?;
        let parsed = self
            .policies
            .lock()
            .parse(DocumentKind::Key, text.to_owned());
        parsed.map_err(|refused| KmsError::MalformedPolicy(refused.to_string()))
    }

    /// Refuses a policy under which its author could not put the next one, nor be allowed to by the
    /// account, unless told to let him.
    pub(super) fn check_lockout(
        &self,
        trail: &Trail<'_>,
        key: &Key,
        policy: &Document,
        bypass: bool,
    ) -> Result<(), KmsError> {
        if bypass {
            return Ok(());
        }
        let values = [("kms:BypassPolicyLockoutSafetyCheck", truth(bypass))];
        let facts = Facts {
            values: &values,
            ..Facts::default()
        };
        let next = "kms:PutKeyPolicy";
        if self.could_do(policy, trail, next, Target::Key(key), facts) {
            return Ok(());
        }
        Err(KmsError::MalformedPolicy(
            "The new key policy will not allow you to update the key policy in the future."
                .to_owned(),
        ))
    }
}

/// Whether a policy, if there is one, has a size that a key's may have.
pub(super) fn check_size(policy: Option<&str>) -> Result<(), KmsError> {
    match policy.map(str::len) {
        Some(length) if length > MAX_POLICY => Err(KmsError::LimitExceeded(format!(
            "The policy has {length} bytes; at most {MAX_POLICY} are allowed."
        ))),
        _ => Ok(()),
    }
}

fn check_name(name: Option<&str>) -> Result<(), KmsError> {
    match name {
        None | Some(NAME) => Ok(()),
        Some(_) => Err(KmsError::NotFound("No such policy exists".to_owned())),
    }
}
