//! What an operation did, gathered for its audit record.

use std::{borrow::Cow, sync::Arc};

use parking_lot::Mutex;

use crate::{
    audit::{Event, Identity, IdentityKind, Origin, Process, Refusal, Value, truncated},
    kms::{
        Caller, KmsError,
        api::Timestamp,
        key::{Key, LastUse},
        key_state::Demand,
        name::Place,
        service::changes_something,
    },
    policy::{Allowed, Denied, DenyReason, Principal},
};

/// Bytes of one value in a record. The log takes no record beyond 1 MiB, and a caller whose requests
/// could not be recorded would be refused without a trace.
const MAX_RECORDED: usize = 8 * 1024;

enum Decision {
    Allowed(Vec<String>),
    Denied(Refusal, Vec<String>),
}

/// The record of one call, in the making. Names are those of `CloudTrail`
/// (<https://docs.aws.amazon.com/kms/latest/developerguide/logging-using-cloudtrail.html>).
pub(super) struct Trail<'a> {
    operation: &'static str,
    caller: &'a Caller,
    principal: Arc<Principal>,
    place: Cow<'a, Place>,
    /// Whether the key service did it on its own.
    of_service: bool,
    keys: Vec<String>,
    /// Where the last use of those keys is noted.
    last_uses: Vec<Arc<Mutex<Option<LastUse>>>>,
    parameters: Vec<(&'static str, Value<'a>)>,
    responses: Vec<(&'static str, Value<'a>)>,
    additional: Vec<(&'static str, Value<'a>)>,
    decision: Option<Decision>,
}

impl<'a> Trail<'a> {
    /// `principal` is the caller's, with all groups.
    pub(super) fn new(
        operation: &'static str,
        caller: &'a Caller,
        principal: Arc<Principal>,
        place: Cow<'a, Place>,
    ) -> Self {
        Self {
            operation,
            caller,
            principal,
            place,
            of_service: false,
            keys: Vec::new(),
            last_uses: Vec::new(),
            parameters: Vec::new(),
            responses: Vec::new(),
            additional: Vec::new(),
            decision: None,
        }
    }

    /// The record of what the key service did on its own.
    pub(super) fn of_service(self) -> Self {
        Self {
            of_service: true,
            ..self
        }
    }

    /// A key that the call uses, if it succeeds.
    pub(super) fn using(&mut self, key: &Key) {
        self.key(&key.arn);
        self.last_uses.push(Arc::clone(&key.last_use));
    }

    /// Notes the use of the keys, which the record `event_id` tells of.
    pub(super) fn note_uses(&self, now: Timestamp, event_id: &str) {
        let Ok(operation) = self.operation.parse() else {
            return;
        };
        for last in &self.last_uses {
            *last.lock() = Some(LastUse {
                operation,
                at: now,
                event_id: event_id.to_owned(),
                request_id: self.caller.request_id.clone(),
                unsaved: true,
            });
        }
    }

    pub(super) fn caller(&self) -> &'a Caller {
        self.caller
    }

    /// Whom policies judge: the caller, in all groups.
    pub(super) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What the operation asks of a key's state.
    pub(super) fn demand(&self) -> Demand {
        Demand::of(self.operation)
    }

    /// The account, in the Region that is asked.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Has `ask` see the account in another Region, where part of what is asked for happens.
    pub(super) fn elsewhere<R>(&mut self, place: &Place, ask: impl FnOnce(&mut Self) -> R) -> R {
        let here = std::mem::replace(&mut self.place, Cow::Owned(place.clone()));
        let answer = ask(self);
        self.place = here;
        answer
    }

    /// A key that the call is about.
    pub(super) fn key(&mut self, arn: &str) {
        if !self.keys.iter().any(|known| known == arn) {
            self.keys.push(arn.to_owned());
        }
    }

    /// A parameter of the request, as `CloudTrail` has it: never a plaintext, never a ciphertext.
    pub(super) fn parameter(&mut self, name: &'static str, value: impl Into<Value<'a>>) {
        let value = value.into().truncated(MAX_RECORDED);
        self.parameters.push((name, value));
    }

    /// As [`Self::parameter`], for one that may be absent.
    pub(super) fn optional<V: Into<Value<'a>>>(&mut self, name: &'static str, value: Option<V>) {
        if let Some(value) = value {
            self.parameter(name, value);
        }
    }

    /// An element of the response.
    pub(super) fn response(&mut self, name: &'static str, value: impl Into<Value<'a>>) {
        self.responses.push((name, value.into()));
    }

    /// What is neither in the request nor in the response, as `CloudTrail` has it.
    pub(super) fn additional(&mut self, name: &'static str, value: impl Into<Value<'a>>) {
        self.additional.push((name, value.into()));
    }

    pub(super) fn allowed(&mut self, allowed: &Allowed) {
        let mut statements = allowed.statements().to_vec();
        if let Some(Decision::Allowed(earlier)) = &mut self.decision {
            earlier.append(&mut statements);
        } else {
            self.decision = Some(Decision::Allowed(statements));
        }
    }

    pub(super) fn denied(&mut self, denied: Denied) {
        let refusal = match denied.reason {
            DenyReason::ExplicitDeny => Refusal::ExplicitDeny,
            DenyReason::NoAllow => Refusal::NoAllow,
        };
        self.decision = Some(Decision::Denied(refusal, denied.statements));
    }

    /// Who passed the request on, or the service itself.
    fn invoker(&self) -> Option<String> {
        if self.of_service {
            Some("AWS Internal".to_owned())
        } else {
            let through = self.caller.via_kmsfs;
            through.then(|| self.place.via_service())
        }
    }

    /// The record, for a call that succeeded or ended with `error`.
    pub(super) fn event<'e>(
        &'e self,
        origin: &'e Origin,
        error: Option<&'e KmsError>,
    ) -> Event<'e> {
        let caller = self.caller;
        let mut identity = if self.of_service {
            Identity::of(IdentityKind::AwsService)
        } else {
            Identity::user(&*caller.principal.arn).ids(caller.uid, None)
        };
        identity.invoked_by = self.invoker().map(Cow::from);
        identity.access_key_id = caller.access_key_id.as_deref().map(Cow::from);
        identity.forwarded_by = caller
            .forwarded_by
            .as_ref()
            .map(|mount| (&*mount.arn).into());
        let mut event = Event::new(origin, self.operation, identity);
        if let Some(address) = caller.source_ip {
            event = event.from_address(address.to_string());
        } else if let Some(service) = self.invoker() {
            event = event.from_address(service);
        }
        if let Some(agent) = &caller.user_agent {
            event = event.user_agent(&**agent);
        }
        if let Some(id) = &caller.request_id {
            event = event.request_id(&**id);
        }
        if let Some(pid) = caller.pid {
            event = event.process(Process { pid, exe: None });
        }
        for arn in &self.keys {
            event = event.key(&**arn);
        }
        for (name, value) in &self.parameters {
            event = event.parameter(name, value.clone());
        }
        match &self.decision {
            Some(Decision::Allowed(statements)) => event = event.allowed(&**statements),
            Some(Decision::Denied(reason, statements)) => {
                event = event.denied(*reason, &**statements);
            }
            None => {}
        }
        if let Some(id) = &caller.shared_event_id {
            event = event.shared_id(&**id);
        }
        if let Some(error) = error {
            event = event.error(
                error.code(),
                truncated(error.message().into(), MAX_RECORDED),
            );
        } else {
            for (name, value) in &self.responses {
                event = event.response(name, value.clone());
            }
            for (name, value) in &self.additional {
                event = event.additional(name, value.clone());
            }
        }
        if self.of_service || changes_something(self.operation) {
            event.administration()
        } else {
            event.read_only()
        }
    }
}
