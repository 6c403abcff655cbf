//! Policy before an operation and the record after it: no operation of DESIGN's table gets by.

mod attempt;
mod facts;
mod target;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::audit::{Event, Identity, Log, Origin, Recorded, Unsynced};
use crate::keyring::KeyringError;
use crate::kms::{AttachedNow, KmsError};
use crate::policy::{Allowed, Denied, DenyReason, Document, Principal, Request, decide};

use super::caller::{Caller, Who};
use super::executables::Executables;
use super::inode::Inode;
use super::volume::Principals;
use super::{FsError, PolicyError, TreePolicy};

pub(super) use attempt::Attempt;
pub use facts::policy_path;
pub(super) use target::{Action, Target};

use facts::Facts;

pub(super) struct Guard {
    log: Log,
    origin: Origin,
    volume_arn: String,
    policy: TreePolicy,
    principals: Arc<Principals>,
    identities: Arc<AttachedNow>,
    /// The [`AttachedNow::changes`] under which open files were decided.
    seen_changes: AtomicU64,
    executables: Executables,
}

impl Guard {
    pub(super) fn new(
        log: Log,
        origin: Origin,
        volume_arn: String,
        policy: TreePolicy,
        principals: Arc<Principals>,
        identities: Arc<AttachedNow>,
    ) -> Self {
        Self {
            log,
            origin,
            volume_arn,
            policy,
            principals,
            seen_changes: AtomicU64::new(identities.changes()),
            identities,
            executables: Executables::new(),
        }
    }

    /// Who `caller` is. One who cannot be told is refused: no policy can be asked about them.
    pub(super) fn identify(&self, caller: Caller) -> Result<Who, FsError> {
        let principal =
            (self.principals)(caller.uid, caller.gid).map_err(|reason| FsError::UnknownCaller {
                uid: caller.uid,
                reason,
            })?;
        let shared_event = uuid::Uuid::new_v4().to_string();
        Ok(Who {
            caller,
            principal,
            shared_event,
        })
    }

    /// An operation called `name` in its record.
    pub(super) fn attempt<'a>(
        &'a self,
        name: &'static str,
        who: &'a Who,
        target: &'a Target,
    ) -> Attempt<'a> {
        Attempt {
            guard: self,
            name,
            who,
            target,
        }
    }

    /// Asks for identity policies anew, and answers with a number that is another one after a change.
    /// May take as long as the home's key service does.
    pub(super) fn refresh_identities(&self) -> Result<u64, KmsError> {
        self.identities.refresh()?;
        Ok(self.identity_changes())
    }

    /// A number that is another one after a change of identity policies.
    pub(super) fn identity_changes(&self) -> u64 {
        self.identities.changes()
    }

    /// Takes a changed tree policy into force; tells whether it or identity policies changed.
    pub(super) fn reload_policies(&self) -> bool {
        let changes = self.identity_changes();
        let identities = self.seen_changes.swap(changes, Ordering::AcqRel) != changes;
        self.reload_tree_policy() || identities
    }

    fn reload_tree_policy(&self) -> bool {
        let recorded = self.policy.reload(|changed| {
            if let Err(error) = changed {
                tracing::error!(%error, "no tree policy is in force: everything is denied");
            }
            let event = Event::new(&self.origin, "PolicyChanged", service())
                .resource(&*self.volume_arn, "AWS::KMSFS::Volume")
                .administration();
            self.log.record(with_policy(event, changed)).map(|_| ())
        });
        recorded.unwrap_or_else(|error| {
            tracing::error!(%error, "a changed tree policy is not in force: it could not be recorded");
            false
        })
    }

    /// Says that the tree policy that was taken into force last governs open files, too.
    pub(super) fn confirm_policy(&self) {
        if let Err(error) = self.policy.confirm() {
            tracing::warn!(%error, "`policy put` is not told that the policy is in force");
        }
    }

    /// Records that the volume is in use from now on, and under which policy.
    pub(super) fn record_mount(
        &self,
        with: impl for<'e> FnOnce(Event<'e>) -> Event<'e>,
    ) -> Result<Recorded, FsError> {
        let policy = self.policy.current();
        let event = Event::new(&self.origin, "Mount", service())
            .resource(&*self.volume_arn, "AWS::KMSFS::Volume")
            .administration();
        Ok(self.log.record(with(with_policy(event, &policy)))?)
    }

    /// Records something that the mount does on its own account.
    pub(super) fn record_service(
        &self,
        name: &'static str,
        with: impl for<'e> FnOnce(Event<'e>) -> Event<'e>,
    ) -> Result<Recorded, FsError> {
        let event = Event::new(&self.origin, name, service())
            .resource(&*self.volume_arn, "AWS::KMSFS::Volume");
        Ok(self.log.record(with(event))?)
    }

    /// Passes `result` on, and records an integrity failure that came up at `inode` outside of an
    /// operation that asks policy.
    pub(super) fn noticed<T>(
        &self,
        operation: &'static str,
        inode: &Inode,
        result: Result<T, FsError>,
    ) -> Result<T, FsError> {
        if let Err(error @ FsError::Integrity(_)) = &result {
            let target = Target::of(inode);
            tracing::error!(path = %policy_path(&target.path), %error, "integrity failure");
            let event = Event::new(&self.origin, "IntegrityFailure", service())
                .resource(&*self.volume_arn, "AWS::KMSFS::Volume")
                .path(&target.path)
                .parameter("operation", operation)
                .error("IntegrityFailure", error.to_string())
                .administration();
            let record = self.log.write(event)?;
            return result.map_err(|error| once_recorded(error, record));
        }
        result
    }

    /// Waits for an error's record, if it has one. What could not be recorded is another error.
    pub(super) fn wait(&self, error: FsError) -> FsError {
        match error {
            FsError::OnceRecorded { error, record } => {
                self.log.wait(record).map_or_else(Into::into, |_| *error)
            }
            other => other,
        }
    }

    /// Waits until `record`, and every one before it, is on disk.
    pub(super) fn wait_for(&self, record: Unsynced) -> Result<(), FsError> {
        self.log.wait(record)?;
        Ok(())
    }

    /// Writes a last checkpoint.
    pub(super) fn checkpoint(&self) -> Result<(), FsError> {
        Ok(self.log.checkpoint()?)
    }

    fn decide(&self, who: &Who, action: Action, target: &Target) -> Result<Allowed, Refused> {
        let policy = self.policy.current();
        let Ok(document) = &*policy else {
            return Err(Refused::NoPolicy);
        };
        let attached = self.identities.get();
        let principal = &*attached.complete(&who.principal);
        let identity = attached.policies(principal);
        let policies = Policies {
            tree: document,
            identity: identity.map(|(_, document)| document).collect(),
            principal,
        };
        let (caller, label) = (who.caller, target.label.as_deref());
        let decide_path = |path| {
            let facts = Facts {
                caller,
                path,
                label,
                executables: &self.executables,
            };
            self.decide_path(&policies, action, &facts)
        };
        let allowed = decide_path(&target.path)?;
        for other in &target.others {
            match decide_path(other) {
                // A Deny at any name of a file counts; an Allow is asked for the name that was used.
                Err(Refused::Policy(denied)) if denied.reason == DenyReason::ExplicitDeny => {
                    return Err(Refused::Policy(denied));
                }
                _ => {}
            }
        }
        Ok(allowed)
    }

    fn decide_path(
        &self,
        policies: &Policies<'_>,
        action: Action,
        facts: &Facts<'_>,
    ) -> Result<Allowed, Refused> {
        let resource = format!("{}/{}", self.volume_arn, policy_path(facts.path));
        let request = Request {
            principal: policies.principal,
            action: action.name(),
            resource: &resource,
            context: facts,
        };
        decide(policies.tree, &policies.identity, &[], &request).map_err(Refused::Policy)
    }
}

/// What decides in the file plane, and about whom.
struct Policies<'a> {
    tree: &'a Document,
    identity: Vec<&'a Document>,
    principal: &'a Principal,
}

fn once_recorded(error: FsError, record: Unsynced) -> FsError {
    FsError::OnceRecorded {
        error: Box::new(error),
        record,
    }
}

/// Why the file plane refuses.
pub(super) enum Refused {
    NoPolicy,
    Policy(Denied),
}

/// Why an open file is taken away.
pub(super) enum Cause {
    Policy(Refused),
    Key(KeyringError),
}

fn with_policy<'a>(event: Event<'a>, policy: &'a Result<Document, PolicyError>) -> Event<'a> {
    match policy {
        Ok(document) => event.parameter("policy", document.source()),
        Err(error) => event.error("InvalidPolicy", error.to_string()),
    }
}

fn service() -> Identity<'static> {
    Identity::of(crate::audit::IdentityKind::AwsService)
}
