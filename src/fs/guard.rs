//! Policy before an operation and the record after it: no operation of DESIGN's table gets by.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::audit::{Event, Identity, Log, Origin, Process, Recorded, Refusal, Unsynced};
use crate::format::FileId;
use crate::keyring::KeyringError;
use crate::kms::{AttachedNow, KmsError};
use crate::policy::{Allowed, Context, Denied, DenyReason, Document, Principal, Request, decide};
use crate::sys;

use super::caller::{Caller, Who};
use super::executables::Executables;
use super::inode::Inode;
use super::volume::Principals;
use super::{FsError, PolicyError, TreePolicy};

/// What the file plane is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Read,
    Write,
    Append,
    Execute,
    Create,
    Delete,
    Overwrite,
    List,
    SetSecurity,
    SetAttr,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "kmsfs:Read",
            Self::Write => "kmsfs:Write",
            Self::Append => "kmsfs:Append",
            Self::Execute => "kmsfs:Execute",
            Self::Create => "kmsfs:Create",
            Self::Delete => "kmsfs:Delete",
            Self::Overwrite => "kmsfs:Overwrite",
            Self::List => "kmsfs:List",
            Self::SetSecurity => "kmsfs:SetSecurity",
            Self::SetAttr => "kmsfs:SetAttr",
        }
    }
}

/// What an operation is about: the plaintext path it came by, other names of the same inode, its label.
#[derive(Debug, Clone)]
pub(super) struct Target {
    path: Vec<u8>,
    others: Vec<Vec<u8>>,
    label: Option<String>,
}

impl Target {
    /// A path that need not exist, without a label.
    pub(super) fn path(path: Vec<u8>) -> Self {
        Self {
            path,
            others: Vec::new(),
            label: None,
        }
    }

    /// The same with this label.
    pub(super) fn labelled(self, label: Option<String>) -> Self {
        Self { label, ..self }
    }

    /// An inode, by all its known names. One without a name left has the empty path: only what is
    /// allowed on the whole volume is allowed on it.
    pub(super) fn of(inode: &Inode) -> Self {
        let mut paths = inode.paths();
        let path = if paths.is_empty() {
            Vec::new()
        } else {
            paths.swap_remove(0)
        };
        Self {
            path,
            others: paths,
            label: inode.label(),
        }
    }

    pub(super) fn into_path(self) -> Vec<u8> {
        self.path
    }

    /// What lies below this directory, as the pattern `<path>/*`: a statement about it matches the
    /// pattern as a text.
    pub(super) fn below(&self) -> Self {
        Self::path(super::inode::join(&self.path, b"*")).labelled(self.label.clone())
    }

    /// The same inode, reached by the name `path`.
    pub(super) fn used_as(self, path: Vec<u8>) -> Self {
        let others = [self.path]
            .into_iter()
            .chain(self.others)
            .filter(|other| *other != path);
        Self {
            others: others.collect(),
            path,
            label: self.label,
        }
    }
}

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

/// One operation: what is asked of policy, and what is recorded of it.
pub(super) struct Attempt<'a> {
    guard: &'a Guard,
    name: &'static str,
    who: &'a Who,
    target: &'a Target,
}

impl<'a> Attempt<'a> {
    /// Whether `action` is allowed. A denial is recorded here.
    pub(super) fn check(&self, action: Action) -> Result<Allowed, FsError> {
        self.check_on(action, self.target)
    }

    /// Whether `action` would be allowed. Nothing is asked for, so nothing is recorded.
    pub(super) fn would_allow(&self, action: Action) -> bool {
        self.review(action).is_ok()
    }

    /// The same, with why not.
    pub(super) fn review(&self, action: Action) -> Result<(), Refused> {
        self.guard.decide(self.who, action, self.target).map(drop)
    }

    /// Records that the open file this is about is taken away.
    pub(super) fn revoke(&self, cause: &Cause, file: FileId) -> Result<Unsynced, FsError> {
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
    pub(super) fn refuse_revoked(&self) -> FsError {
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
    pub(super) fn check_on(&self, action: Action, target: &Target) -> Result<Allowed, FsError> {
        let refused = match self.guard.decide(self.who, action, target) {
            Ok(allowed) => return Ok(allowed),
            Err(refused) => refused,
        };
        let event = self.event().parameter("action", action.name());
        let record = self.guard.log.write(with_refusal(event, &refused))?;
        Err(once_recorded(FsError::Denied, record))
    }

    /// Records that it is done, with what `with` adds. The caller's reply waits for this.
    pub(super) fn record(
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
    pub(super) fn record_use(
        &self,
        with: impl FnOnce(Event<'a>) -> Event<'a>,
    ) -> Result<Recorded, FsError> {
        Ok(self.guard.log.record(with(self.event()))?)
    }

    /// Passes `result` on, and records what deserves it: a refusal of the key service, an integrity
    /// failure.
    pub(super) fn finish<T>(&self, result: Result<T, FsError>) -> Result<T, FsError> {
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
    pub(super) fn perform<T>(
        &self,
        allowed: &'a Allowed,
        with: impl FnOnce(Event<'a>) -> Event<'a>,
        change: impl FnOnce() -> Result<T, FsError>,
    ) -> Result<T, FsError> {
        self.record(allowed, with)?;
        self.happened(change())
    }

    /// Passes `result` on. What was recorded as about to happen, and then did not, is recorded too.
    pub(super) fn happened<T>(&self, result: Result<T, FsError>) -> Result<T, FsError> {
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

fn with_policy<'a>(event: Event<'a>, policy: &'a Result<Document, PolicyError>) -> Event<'a> {
    match policy {
        Ok(document) => event.parameter("policy", document.source()),
        Err(error) => event.error("InvalidPolicy", error.to_string()),
    }
}

fn service() -> Identity<'static> {
    Identity::of(crate::audit::IdentityKind::AwsService)
}

/// The condition keys of a file request. What needs `/proc` is read when a statement asks for it.
struct Facts<'a> {
    caller: Caller,
    path: &'a [u8],
    label: Option<&'a str>,
    executables: &'a Executables,
}

impl Context for Facts<'_> {
    fn get(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let one = |value: String| Some(vec![Cow::Owned(value)]);
        match key {
            "kmsfs:Uid" => one(self.caller.uid.to_string()),
            "kmsfs:Path" => one(policy_path(self.path)),
            "kmsfs:Label" => Some(vec![Cow::Borrowed(self.label?)]),
            "kmsfs:Gids" => self.groups(),
            "kmsfs:ExePath" => {
                let path = sys::executable(self.caller.pid)?.path()?;
                one(path.into_os_string().into_string().ok()?)
            }
            "kmsfs:ExeSha256" => one(self.executables.sha256(self.caller.pid)?),
            "kmsfs:LoginUid" => one(sys::login_uid(self.caller.pid)?.to_string()),
            "aws:CurrentTime" => one(jiff::Timestamp::now().to_string()),
            "aws:EpochTime" => one(jiff::Timestamp::now().as_second().to_string()),
            _ => None,
        }
    }
}

impl Facts<'_> {
    fn groups(&self) -> Option<Vec<Cow<'_, str>>> {
        let groups = self.caller.groups()?.into_iter();
        Some(groups.map(|gid| Cow::Owned(gid.to_string())).collect())
    }
}

/// A path as policies write it: bytes that are no text, control characters and `%` as `%XX`.
pub fn policy_path(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '%' {
                let mut bytes = [0; 4];
                escape(&mut text, character.encode_utf8(&mut bytes).as_bytes());
            } else {
                text.push(character);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(text, "%{byte:02X}").expect("a string takes any text");
    }
}

#[cfg(test)]
mod tests {
    use super::policy_path;

    #[test]
    fn no_two_paths_look_alike_to_a_policy() {
        assert_eq!(policy_path("hr/Gehälter".as_bytes()), "hr/Gehälter");
        assert_eq!(policy_path(b"a\nb"), "a%0Ab");
        assert_eq!(policy_path(b"a%0Ab"), "a%250Ab");
        assert_eq!(policy_path(b"\xff\xfe"), "%FF%FE");
    }
}
