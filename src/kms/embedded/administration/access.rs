//! What is attached to whom, and what policies would say.

use std::{borrow::Cow, sync::Arc};

use super::users::OWN_POLICY;
use crate::{
    kms::{
        Caller, KmsError,
        administration::{
            Administrator, ExplainAccessRequest, ExplainAccessResponse, IdentityPolicy,
            ListIdentityPoliciesResponse, PutIdentityPolicyRequest,
        },
        api::{Empty, EncryptionAlgorithm},
        embedded::{Change, Done, Embedded, authorize::Facts, trail::Trail},
        identities::{arn, check_name},
        state::{State, Write},
        wire::AttachedResponse,
    },
    policy::{Document, DocumentKind},
};

fn listed(state: &State) -> ListIdentityPoliciesResponse {
    let all = state.all_identity_policies();
    let policies = all.map(|(principal, name, document)| IdentityPolicy {
        principal: principal.clone(),
        name: name.clone(),
        document: document.source().to_owned(),
    });
    let users = state.identities.users();
    let members = users.filter(|user| !user.principal.also.is_empty());
    let groups = members.map(|user| (user.arn().to_owned(), user.principal.also.clone()));
    ListIdentityPoliciesResponse {
        policies: policies.collect(),
        groups: groups.collect(),
    }
}

#[allow(
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "every operation's body has the shape that the frame calls"
)]
impl Embedded {
    /// What is attached to users and groups, for a mount's own decisions; without it if `since` is
    /// still the epoch.
    pub(in crate::kms) fn attached(&self, since: Option<u64>) -> AttachedResponse {
        let state = self.state.read();
        let changed = since != Some(state.epoch);
        AttachedResponse {
            epoch: state.epoch,
            listed: changed.then(|| listed(&state)),
        }
    }

    pub(super) fn put_identity_policy<'a>(
        &'a self,
        administrator: &Administrator,
        trail: &mut Trail<'a>,
        request: &'a PutIdentityPolicyRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        let PutIdentityPolicyRequest { kind, name, policy } = request;
        trail.parameter("principal", format!("{kind}/{name}"));
        trail.optional("policy", policy.as_deref());
        check_name("name", name)?;
        if !["user", "group", "role"].contains(&&**kind) {
            return Err(KmsError::Validation(format!(
                "a policy is attached to a user, a group or a role, not to a {kind}"
            )));
        }
        let principal = arn(&self.home.place.account, kind, name);
        let store = self.changing();
        let write = Self::own_policy(&principal, policy.as_deref())?;
        let had = self.state.read().identity_policy_names(&principal);
        if matches!(write, Write::ForgetIdentityPolicy(..))
            && !had.iter().any(|name| name == OWN_POLICY)
        {
            return Err(KmsError::NotFound(format!(
                "{principal} has no identity policy"
            )));
        }
        let change = Change::write(self, store, vec![write])?;
        Ok(Done::administered(administrator, Some(change), Empty {}))
    }

    pub(super) fn list_identity_policies<'a>(
        &'a self,
        administrator: &Administrator,
        _trail: &mut Trail<'a>,
        _request: &'a Empty,
    ) -> Result<Done<'a, ListIdentityPoliciesResponse>, KmsError> {
        let answer = listed(&self.state.read());
        Ok(Done::administered(administrator, None, answer))
    }

    pub(super) fn explain_access<'a>(
        &'a self,
        administrator: &Administrator,
        trail: &mut Trail<'a>,
        request: &'a ExplainAccessRequest,
    ) -> Result<Done<'a, ExplainAccessResponse>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        trail.parameter("principal", &*request.principal.arn);
        let key = self.find(trail.place(), &request.key_id)?.key;
        let policy = match &request.policy {
            Some(text) => self.parse_policy(text)?,
            None => Arc::clone(&key.policy),
        };
        let further = request.identity_policies.iter().map(|text| {
            Document::parse(DocumentKind::Identity, text)
                .map_err(|refused| KmsError::MalformedPolicy(refused.to_string()))
        });
        let further = further.collect::<Result<Vec<_>, _>>()?;
        let asker = &*request.principal.arn;
        let further: Vec<_> = further.iter().map(|document| (asker, document)).collect();

        let asking = Caller {
            uid: request.uid,
            via_kmsfs: request.via_kmsfs,
            ..Caller::new(Arc::new(request.principal.clone()))
        };
        let place = Cow::Owned(trail.place().clone());
        let asked = Trail::new("ExplainAccess", &asking, self.principal(&asking), place);
        let algorithm = EncryptionAlgorithm::SymmetricDefault.as_str();
        let values = [("kms:EncryptionAlgorithm", algorithm)];
        let facts = if request.encryption_context.is_empty() {
            Facts::default()
        } else {
            Facts {
                encryption_context: Some(&request.encryption_context),
                values: &values,
                ..Facts::default()
            }
        };
        let actions = request.actions.iter();
        let explanations =
            actions.map(|action| self.explain(&policy, &further, &asked, action, &key, facts));
        let answer = ExplainAccessResponse {
            key_arn: key.arn.clone(),
            key_state: key.state.to_string(),
            explanations: explanations.collect(),
        };
        Ok(Done::administered(administrator, None, answer))
    }
}
