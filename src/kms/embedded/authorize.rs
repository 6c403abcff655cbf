//! Asking policy: what a request is about, and who is refused in which words.

use std::{borrow::Cow, sync::Arc};

pub(super) use super::conditions::{Facts, NewKey, truth};
use super::{Embedded, conditions::Conditions, trail::Trail};
use crate::{
    kms::{
        KmsError,
        key::Key,
        name::{AliasName, Place},
    },
    policy::{self, Allowed, Denied, DenyReason, Document, Explanation, Principal, Request},
};

/// What an operation is to be done to.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// Nothing in particular: identity policies alone decide.
    Account,
    /// A key: its policy and its grants decide.
    Key(&'a Key),
    /// An alias: identity policies alone decide.
    Alias(&'a AliasName),
}

impl Embedded {
    /// Has policy decide whether the caller may do `action` (`kms:…`) to `target`.
    pub(super) fn authorize(
        &self,
        trail: &mut Trail<'_>,
        action: &str,
        target: Target<'_>,
        facts: Facts<'_>,
    ) -> Result<Allowed, KmsError> {
        let mut decided = match target {
            Target::Key(key) => {
                trail.using(key);
                self.decide(&key.policy, trail, action, target, facts, &[])
            }
            Target::Account | Target::Alias(_) => {
                self.decide(&self.account, trail, action, target, facts, &[])
            }
        };
        // Grants cannot overrule a Deny, and are looked for only where they matter.
        if let (Target::Key(key), Err(denied)) = (target, &decided)
            && denied.reason == DenyReason::NoAllow
        {
            let grants = self.grants_allowing(trail, action, key, facts);
            if !grants.is_empty() {
                let grants: Vec<&str> = grants.iter().map(|grant| &*grant.id.0).collect();
                decided = self.decide(&key.policy, trail, action, target, facts, &grants);
            }
        }
        let allowed = Self::decided(trail, action, target, decided)?;
        if let Target::Key(key) = target {
            self.keep_managed_key(key)?;
        }
        Ok(allowed)
    }

    /// Takes a decision down for the record.
    pub(super) fn decided(
        trail: &mut Trail<'_>,
        action: &str,
        target: Target<'_>,
        decided: Result<Allowed, Denied>,
    ) -> Result<Allowed, KmsError> {
        match decided {
            Ok(allowed) => {
                trail.allowed(&allowed);
                Ok(allowed)
            }
            Err(denied) => {
                let error = access_denied(&denied, trail, action, target);
                trail.denied(denied);
                Err(error)
            }
        }
    }

    /// The decision alone, by `document` in the place of the target's own policy, and by `grants`
    /// that allow just this request.
    pub(super) fn decide(
        &self,
        document: &Document,
        trail: &Trail<'_>,
        action: &str,
        target: Target<'_>,
        facts: Facts<'_>,
        grants: &[&str],
    ) -> Result<Allowed, Denied> {
        let attached = self.identity_policies(trail.principal());
        let identity: Vec<&Document> = attached.iter().map(|(_, document)| &**document).collect();
        self.ask(trail, action, target, facts, |request| {
            policy::decide(document, &identity, grants, request)
        })
    }

    /// What [`authorize`](Self::authorize) would say if `document` were the policy of `key` and
    /// `further` attached to whoever asks, and why. Nothing is recorded, and nothing used.
    pub(super) fn explain(
        &self,
        document: &Document,
        further: &[(&str, &Document)],
        trail: &Trail<'_>,
        action: &str,
        key: &Key,
        facts: Facts<'_>,
    ) -> Explanation {
        let grants = self.grants_allowing(trail, action, key, facts);
        let grants: Vec<&str> = grants.iter().map(|grant| &*grant.id.0).collect();
        let attached = self.identity_policies(trail.principal());
        let attached = attached.iter().map(|(arn, document)| (&**arn, &**document));
        let identity: Vec<_> = attached.chain(further.iter().copied()).collect();
        self.ask(trail, action, Target::Key(key), facts, |request| {
            policy::explain(document, &identity, &grants, request)
        })
    }

    /// Whether `document` lets the caller do it, or the caller's account by an identity policy: what
    /// the account's administrators can still arrange.
    pub(super) fn could_do(
        &self,
        document: &Document,
        trail: &Trail<'_>,
        action: &str,
        target: Target<'_>,
        facts: Facts<'_>,
    ) -> bool {
        let everything = [&*self.administrator];
        self.ask(trail, action, target, facts, |request| {
            policy::decide(document, &everything, &[], request).is_ok()
        })
    }

    /// Has `decide` see the request as policies do.
    fn ask<R>(
        &self,
        trail: &Trail<'_>,
        action: &str,
        target: Target<'_>,
        facts: Facts<'_>,
        decide: impl FnOnce(&Request<'_>) -> R,
    ) -> R {
        let (caller, place) = (trail.caller(), trail.place());
        let resource = resource(place, target);
        let context = Conditions {
            service: self,
            caller,
            place,
            target,
            facts,
        };
        let principal = trail.principal();
        let request = Request {
            principal,
            action,
            resource: &resource,
            context: &context,
        };
        decide(&request)
    }

    /// What is attached to the caller, and to the caller's groups and roles, each with the ARN that it
    /// is attached to.
    fn identity_policies(&self, principal: &Principal) -> Vec<(String, Arc<Document>)> {
        let state = self.state.read();
        let names = std::iter::once(&principal.arn).chain(&principal.also);
        let attached = names.flat_map(|arn| {
            let policies = state.identity_policies(arn);
            policies.map(|document| (arn.clone(), Arc::clone(document)))
        });
        let administers = principal.arn == self.home.admin.arn;
        let built_in =
            administers.then(|| (principal.arn.clone(), Arc::clone(&self.administrator)));
        attached.chain(built_in).collect()
    }
}

fn resource<'a>(place: &Place, target: Target<'a>) -> Cow<'a, str> {
    match target {
        Target::Account => "*".into(),
        Target::Key(key) => (&*key.arn).into(),
        Target::Alias(alias) => place.alias_arn(alias).into(),
    }
}

/// AWS's words (<https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>).
fn access_denied(denied: &Denied, trail: &Trail<'_>, action: &str, target: Target<'_>) -> KmsError {
    let by_resource_policy = match denied.reason {
        DenyReason::ExplicitDeny => denied
            .statements
            .iter()
            .any(|statement| !statement.starts_with("identity:")),
        DenyReason::NoAllow => matches!(target, Target::Key(_)),
    };
    let kind = if by_resource_policy {
        "resource-based"
    } else {
        "identity-based"
    };
    let because = match denied.reason {
        DenyReason::ExplicitDeny => format!("with an explicit deny in a {kind} policy"),
        DenyReason::NoAllow => format!("because no {kind} policy allows the {action} action"),
    };
    KmsError::AccessDenied(format!(
        "User: {} is not authorized to perform: {action} on resource: {} {because}",
        trail.principal().arn,
        resource(trail.place(), target),
    ))
}
