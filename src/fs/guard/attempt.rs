//! One operation's way past policy and into the log.

use crate::audit::{Event, Identity, Process, Recorded, Refusal, Unsynced};
use crate::format::FileId;
use crate::fs::FsError;
use crate::fs::caller::Who;
use crate::keyring::KeyringError;
use crate::policy::{Allowed, DenyReason};

use super::{Action, Cause, Guard, Refused, Target, once_recorded};

/// One operation: what is asked of policy, and what is recorded of it.
pub(in crate::fs) struct Attempt<'a> {
    pub(super) guard: &'a Guard,
    pub(super) name: &'static str,
    pub(super) who: &'a Who,
    pub(super) target: &'a Target,
}

impl<'a> Attempt<'a> {
    /// Whether `action` is allowed. A denial is recorded here.
    pub(in crate::fs) fn check(&self, action: Action) -> Result<Allowed, FsError> {
        self.check_on(action, self.target)
    }

    /// Whether `action` would be allowed. Nothing is asked for, so nothing is recorded.
    pub(in crate::fs) fn would_allow(&self, action: Action) -> bool {
        self.review(action).is_ok()
    }

    /// The same, with why not.
    pub(in crate::fs) fn review(&self, action: Action) -> Result<(), Refused> {
        self.guard.decide(self.who, action, self.target).map(drop)
    }

    /// Records that the open file this is about is taken away.
    pub(in crate::fs) fn revoke(&self, cause: &Cause, file: FileId) -> Result<Unsynced, FsError> {
        let event = self.event().file_id(file.to_string()).administration();
        let event = match cause {
            Cause::Policy(refused) => with_refusal(event, refused),
            Cause::Key(reason) => event
                .denied(Refusal::NoAllow, &[][..])
                .error("AccessDenied", reason.to_string()),
        };
        Ok(self.guard.log.write(event)?)
    }

    /// Records that a revoked handle was used.
    pub(in crate::fs) fn refuse_revoked(&self) -> FsError {
        let event = self
            .event()
            .denied(Refusal::NoAllow, &[][..])
            .error("AccessDenied", FsError::Revoked.to_string());
        match self.guard.log.write(event) {
            Ok(record) => once_recorded(FsError::Revoked, record),
            Err(error) => error.into(),
        }
    }

    /// The same for another target than the operation's own.
    pub(in crate::fs) fn check_on(
        &self,
        action: Action,
        target: &Target,
    ) -> Result<Allowed, FsError> {
        let refused = match self.guard.decide(self.who, action, target) {
            Ok(allowed) => return Ok(allowed),
            Err(refused) => refused,
        };
        let event = self.event().parameter("action", action.name());
        let record = self.guard.log.write(with_refusal(event, &refused))?;
        Err(once_recorded(FsError::Denied, record))
    }

    /// Records that it is done, with what `with` adds. The caller's reply waits for this.
    pub(in crate::fs) fn record(
        &self,
        allowed: &'a Allowed,
        with: impl FnOnce(Event<'a>) -> Event<'a>,
    ) -> Result<Recorded, FsError> {
        Ok(self
            .guard
            .log
            .record(with(self.event()).allowed(allowed.statements()))?)
    }

    /// Records the use of a right that was decided earlier, when the handle was opened.
    pub(in crate::fs) fn record_use(
        &self,
        with: impl FnOnce(Event<'a>) -> Event<'a>,
    ) -> Result<Recorded, FsError> {
        Ok(self.guard.log.record(with(self.event()))?)
    }

    /// Passes `result` on, and records what deserves it: a refusal of the key service, an integrity
    /// failure.
    pub(in crate::fs) fn finish<T>(&self, result: Result<T, FsError>) -> Result<T, FsError> {
        let Err(error) = &result else { return result };
        let event = match error {
            FsError::Key(KeyringError::Refused(refusal)) => self
                .event()
                .denied(Refusal::NoAllow, &[][..])
                .error(refusal.code(), refusal.message().to_owned()),
            FsError::Key(KeyringError::Unavailable(cause)) => {
                self.event().error(cause.code(), cause.message().to_owned())
            }
            FsError::Integrity(_) | FsError::Key(_) => {
                let path = String::from_utf8_lossy(&self.target.path);
                tracing::error!(%path, %error, "integrity failure");
                self.event_named("IntegrityFailure")
                    .parameter("operation", self.name)
                    .error("IntegrityFailure", error.to_string())
                    .administration()
            }
            _ => return result,
        };
        let record = self.guard.log.write(event)?;
        result.map_err(|error| once_recorded(error, record))
    }

    /// Records that it is about to be done, with what `with` adds, and does it. What then fails is
    /// recorded too: no change is on record alone that did not happen.
    pub(in crate::fs) fn perform<T>(
        &self,
        allowed: &'a Allowed,
        with: impl FnOnce(Event<'a>) -> Event<'a>,
        change: impl FnOnce() -> Result<T, FsError>,
    ) -> Result<T, FsError> {
        self.record(allowed, with)?;
        self.happened(change())
    }

    /// Passes `result` on. What was recorded as about to happen, and then did not, is recorded too.
    pub(in crate::fs) fn happened<T>(&self, result: Result<T, FsError>) -> Result<T, FsError> {
        match &result {
            Err(FsError::Integrity(_) | FsError::Key(_)) => self.finish(result),
            Err(error) => {
                let event = self.event().error("Failed", error.to_string());
                self.guard.log.record(event)?;
                result
            }
            Ok(_) => result,
        }
    }

    fn event(&self) -> Event<'a> {
        self.event_named(self.name)
    }

    fn event_named(&self, name: &'static str) -> Event<'a> {
        let who = self.who;
        let identity =
            Identity::user(&*who.principal.arn).ids(Some(who.caller.uid), Some(who.caller.gid));
        Event::new(&self.guard.origin, name, identity)
            .process(Process {
                pid: who.caller.pid,
                exe: None,
            })
            .resource(&*self.guard.volume_arn, "AWS::KMSFS::Volume")
            .path(&self.target.path)
            .shared_id(&*who.shared_event)
    }
}

fn with_refusal<'a>(event: Event<'a>, refused: &'a Refused) -> Event<'a> {
    match refused {
        Refused::NoPolicy => event
            .denied(Refusal::NoAllow, &[][..])
            .error("AccessDenied", "no valid tree policy is in force"),
        Refused::Policy(denied) => {
            let reason = match denied.reason {
                DenyReason::ExplicitDeny => Refusal::ExplicitDeny,
                DenyReason::NoAllow => Refusal::NoAllow,
            };
            event
                .denied(reason, &denied.statements[..])
                .error("AccessDenied", denied.to_string())
        }
    }
}
