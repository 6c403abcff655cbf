//! Taking open files away from those who may no longer have them.
//!
//! Reading and writing an open file asks nobody, so when a right may have gone, each open handle is
//! decided anew: by the tree policy, or by the key service in a dry run. A handle that is refused is
//! revoked, in this order: its new requests are refused ([`Standing::revoke`]), those under way have
//! ended ([`Standing::drain`]), the kernel forgets the file's pages (`mount`, for which no lock is held:
//! it has changed pages written first, and those are taken), and with the last handle of a file its data
//! key is wiped. A revoked handle stays so: whoever is given the right back opens the file anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use crate::audit::Unsynced;
use crate::format::FileId;
use crate::keyring::{KeyRight, KeyringError};

use super::caller::Who;
use super::file::FileHandle;
use super::guard::{Action, Cause, Target};
use super::inode::Inode;
use super::{FileSystem, FsError, HandleId, Ino, OpenFlags};

/// By what right a file is open: what is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// Its creator may use the handle that created it.
    Created,
    /// It was opened for this; `append_only`: to append and no more.
    Opened { flags: OpenFlags, append_only: bool },
}

impl Right {
    /// What the tree policy has to allow still.
    fn actions(self) -> Vec<Action> {
        let (flags, append_only) = match self {
            Self::Created => return vec![Action::Create],
            Self::Opened { flags, append_only } => (flags, append_only),
        };
        // It was emptied then, and is not again.
        let mut flags = flags - OpenFlags::TRUNCATE;
        if !append_only {
            flags -= OpenFlags::APPEND;
        }
        let actions: Vec<_> = flags.actions().collect();
        if actions.is_empty() {
            vec![Action::Read]
        } else {
            actions
        }
    }

    pub(super) fn is_append_only(self) -> bool {
        matches!(
            self,
            Self::Opened {
                append_only: true,
                ..
            }
        )
    }

    fn of_key(self) -> KeyRight {
        match self {
            Self::Created => KeyRight::Generate,
            Self::Opened { .. } => KeyRight::Decrypt,
        }
    }
}

/// Whether a handle may be used. What it is changes under the lock of [`Inode::open`].
pub(super) struct Standing {
    state: AtomicU8,
    /// Held for reading by whoever uses the handle.
    uses: RwLock<()>,
}

const GOOD: u8 = 0;
const REVOKED: u8 = 1;
const CLOSED: u8 = 2;

impl Standing {
    pub(super) fn new() -> Self {
        Self {
            state: AtomicU8::new(GOOD),
            uses: RwLock::new(()),
        }
    }

    /// Holds off the revoking of a handle that may be used; `None` for one that may not.
    pub(super) fn hold(&self) -> Option<RwLockReadGuard<'_, ()>> {
        if self.is_revoked() {
            return None;
        }
        let held = self.uses.read();
        // Whoever revokes says so first and waits then.
        (!self.is_revoked()).then_some(held)
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.state.load(Ordering::Acquire) == REVOKED
    }

    /// From here on no use begins. Tells whether this was what did it.
    fn revoke(&self) -> bool {
        self.change(GOOD, REVOKED)
    }

    /// Waits for uses that began before.
    fn drain(&self) {
        drop(self.uses.write());
    }

    /// Tells whether it had been revoked.
    fn close(&self) -> bool {
        !self.change(GOOD, CLOSED) && self.change(REVOKED, CLOSED)
    }

    fn change(&self, from: u8, to: u8) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        let changed = self.state.compare_exchange(from, to, success, failure);
        changed.is_ok()
    }
}

/// How far the mount has followed the changes of policies and keys.
pub(super) struct Reviews {
    /// How many reviews were begun: who opens a file meanwhile finds another number.
    begun: AtomicU64,
    /// The key service's epoch up to which every open file was reviewed.
    enforced: AtomicU64,
    /// The change of identity policies up to which [`FileSystem::follow_keys`] decided by them.
    identities: AtomicU64,
    /// Since when the key service could not be followed.
    astray: Mutex<Option<Instant>>,
    /// How many open handles are revoked.
    revoked: AtomicUsize,
}

impl Reviews {
    /// `identities` is the change of identity policies that is in force.
    pub(super) fn new(identities: u64) -> Self {
        Self {
            begun: AtomicU64::new(0),
            enforced: AtomicU64::new(0),
            identities: AtomicU64::new(identities),
            astray: Mutex::new(None),
            revoked: AtomicUsize::new(0),
        }
    }

    /// To be asked before anybody else is about an open: [`FileSystem::admit`] takes it.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// For how long the key service could not be followed, if it cannot be.
    pub(super) fn astray_for(&self) -> Option<Duration> {
        self.astray.lock().map(|since| since.elapsed())
    }

    fn note_astray(&self, since: Instant) {
        self.astray.lock().get_or_insert(since);
    }
}

/// What a review came to. The kernel has to forget the pages of [`Reviewed::inodes`], and then it is
/// for [`FileSystem::finish_review`].
#[must_use]
pub struct Reviewed {
    files: Vec<Arc<Inode>>,
    /// What every open file was decided under.
    under: Option<Under>,
}

#[derive(Clone, Copy)]
enum Under {
    TreePolicy,
    /// Of the key service.
    Epoch(u64),
}

impl Reviewed {
    /// The files of revoked handles.
    pub fn inodes(&self) -> impl Iterator<Item = Ino> {
        self.files.iter().map(|inode| inode.ino)
    }

    /// How often those that nobody may use any more were written to: what a program wrote into the
    /// kernel's cache just before arrives now.
    pub fn writes(&self) -> u64 {
        let unused = self.files.iter().filter_map(|inode| {
            let open = inode.open.lock();
            let content = open.content.as_ref()?;
            (open.revoked == open.handles).then(|| content.writes())
        });
        unused.sum()
    }

    /// The paths of those that others go on using. Until the kernel asks for their attributes it lets
    /// a revoked handle read what those others bring into its cache.
    pub fn shared_paths(&self) -> Vec<Vec<u8>> {
        let shared = self.files.iter().filter(|inode| inode.is_shared());
        shared.filter_map(|inode| inode.path()).collect()
    }
}

impl Inode {
    /// Whether it has revoked handles beside others.
    fn is_shared(&self) -> bool {
        let open = self.open.lock();
        (1..open.handles).contains(&open.revoked)
    }

    /// Whether it has revoked handles.
    pub(super) fn has_revoked(&self) -> bool {
        self.open.lock().revoked > 0
    }
}

/// What one plane says of an open file.
enum Verdict {
    Stands,
    Gone(Cause),
    /// Nobody could be asked.
    Undecided(KeyringError),
}

impl FileSystem {
    /// Takes changed tree and identity policies into force and decides all open files anew under them.
    pub fn review_policy(&self) -> Option<Reviewed> {
        if !self.guard.reload_policies() {
            return None;
        }
        let (files, _) = self.review(|handle| self.by_policy(handle));
        let under = Some(Under::TreePolicy);
        Some(Reviewed { files, under })
    }

    /// Asks the key service for changes and tells it how far this mount has followed them. If there are
    /// any, wipes the keys of files that nobody has open, and has all open files decided anew. May take
    /// as long as the key service does.
    pub fn follow_keys(&self) -> Option<Reviewed> {
        let asked = Instant::now();
        let enforced = self.reviews.enforced.load(Ordering::Acquire);
        let epoch = match self.keyring.follow(Some(enforced)) {
            Ok(epoch) if epoch == enforced => {
                *self.reviews.astray.lock() = None;
                return None;
            }
            Ok(epoch) => epoch,
            Err(error) => {
                tracing::debug!(%error, "the key service cannot be followed");
                self.reviews.note_astray(asked);
                return None;
            }
        };
        // The change may be one of the home's identity policies. Any other says nothing of who may use
        // files, and policy may know less of who opened them than it did then.
        let identities = match self.guard.refresh_identities() {
            Ok(identities) => identities,
            Err(error) => {
                tracing::debug!(%error, "the home cannot be followed");
                self.reviews.note_astray(asked);
                return None;
            }
        };
        let by_policy = self.reviews.identities.load(Ordering::Acquire) != identities;
        self.keyring.clear();
        let mut answers = HashMap::new();
        let (files, all_decided) = self.review(|handle| {
            if by_policy && let gone @ Verdict::Gone(_) = self.by_policy(handle) {
                return gone;
            }
            self.by_key(handle, &mut answers)
        });
        self.reviews.identities.store(identities, Ordering::Release);
        if !all_decided {
            self.reviews.note_astray(asked);
        }
        let under = all_decided.then_some(Under::Epoch(epoch));
        Some(Reviewed { files, under })
    }

    /// Wipes the data keys of files whose handles are all revoked; the kernel has forgotten their pages.
    /// Tells whether this finished the change that the review was for.
    pub fn finish_review(&self, reviewed: &Reviewed) -> bool {
        for inode in &reviewed.files {
            self.wipe_if_unused(inode);
        }
        match reviewed.under {
            Some(Under::Epoch(epoch)) => self.reviews.enforced.store(epoch, Ordering::Release),
            Some(Under::TreePolicy) => self.guard.confirm_policy(),
            None => return false,
        }
        true
    }

    /// Tells the key service that this mount ends, so that no change waits for it.
    pub fn stop_following(&self) {
        if let Err(error) = self.keyring.follow(None) {
            tracing::debug!(%error, "the key service was not told that the mount ends");
        }
    }

    /// The files with revoked handles beside others. Those bring pages back into the kernel's cache,
    /// and what a revoked handle has mapped would show them.
    pub(super) fn shared_with_revoked(&self) -> Vec<Ino> {
        if self.reviews.revoked.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let handles = self.files.all().into_iter();
        let revoked = handles.filter(|handle| handle.standing.is_revoked());
        let shared = revoked.filter(|handle| handle.inode.is_shared());
        shared.map(|handle| handle.ino()).collect()
    }

    /// Whether the kernel has to ask before it lets somebody use its cache of `ino`.
    pub fn is_contested(&self, ino: Ino) -> bool {
        self.reviews.revoked.load(Ordering::Relaxed) > 0
            && self.inodes.get(ino).is_ok_and(|inode| inode.has_revoked())
    }

    /// Whether somebody else has a revoked handle of `inode`. What `who` reads must not come to be seen
    /// there, and the file may be mapped.
    pub(super) fn is_held_against(&self, who: &Who, inode: &Inode) -> bool {
        inode.has_revoked()
            && self.files.all().iter().any(|handle| {
                handle.ino() == inode.ino
                    && handle.standing.is_revoked()
                    && handle.who.principal.arn != who.principal.arn
            })
    }

    /// Refuses the use of a handle that is revoked, or of any while the mount is cut off.
    ///
    /// # Errors
    /// [`FsError::Revoked`], [`FsError::CutOff`].
    pub fn refuse_if_unusable(&self, handle: HandleId) -> Result<(), FsError> {
        self.refuse_if_cut_off()?;
        if self.files.get(handle)?.standing.is_revoked() {
            return Err(FsError::Revoked);
        }
        Ok(())
    }

    /// Takes in a handle that was decided since [`Reviews::begun`] said `begun`. If anything changed
    /// meanwhile it is decided again: a review knows of no file that is about to be open.
    pub(super) fn admit(&self, handle: FileHandle, begun: u64) -> HandleId {
        let (id, handle) = self.files.insert(handle);
        if self.reviews.begun() == begun {
            return id;
        }
        let verdicts = [
            self.by_policy(&handle),
            self.by_key(&handle, &mut HashMap::new()),
        ];
        let mut record = None;
        for verdict in verdicts {
            let cause = match verdict {
                Verdict::Stands => continue,
                Verdict::Gone(cause) => cause,
                // The review that this file missed may be the last.
                Verdict::Undecided(error) => Cause::Key(error),
            };
            if self.mark(&handle) {
                self.record_revoked(&handle, &cause, &mut record);
            }
        }
        id
    }

    /// A handle is closed.
    pub(super) fn stand_down(&self, handle: &FileHandle) {
        let mut open = handle.inode.open.lock();
        if handle.standing.close() {
            open.revoked -= 1;
            self.reviews.revoked.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Wipes the data key of an open file if none of its handles may be used.
    pub(super) fn wipe_if_unused(&self, inode: &Inode) {
        let open = inode.open.lock();
        let Some(content) = open
            .content
            .as_ref()
            .filter(|_| open.revoked == open.handles)
        else {
            return;
        };
        if let Err(error) = content.wipe(!self.options.read_only) {
            let file = content.header().file;
            tracing::error!(%file, %error, "a header could not be brought up to date");
            self.settling.need();
        }
    }

    /// Has `decide` look at every open handle and revokes those that are gone. Returns their files, and
    /// whether all were decided.
    fn review(&self, mut decide: impl FnMut(&FileHandle) -> Verdict) -> (Vec<Arc<Inode>>, bool) {
        self.reviews.begun.fetch_add(1, Ordering::SeqCst);
        let mut all_decided = true;
        let mut revoked = Vec::new();
        for handle in self.files.all() {
            match decide(&handle) {
                Verdict::Stands => {}
                Verdict::Undecided(error) => {
                    tracing::warn!(%error, "an open file could not be decided anew");
                    all_decided = false;
                }
                Verdict::Gone(cause) => {
                    if self.mark(&handle) {
                        revoked.push((handle, cause));
                    }
                }
            }
        }
        let mut last = None;
        for (handle, cause) in &revoked {
            handle.standing.drain();
            self.record_revoked(handle, cause, &mut last);
        }
        if let Some(record) = last
            && let Err(error) = self.guard.wait_for(record)
        {
            tracing::error!(%error, "the records of revoked files are not on disk");
        }
        let mut files: Vec<_> = revoked
            .into_iter()
            .map(|(handle, _)| handle.inode.clone())
            .collect();
        files.sort_unstable_by_key(|inode| inode.ino);
        files.dedup_by_key(|inode| inode.ino);
        (files, all_decided)
    }

    /// Refuses the handle from here on; tells whether it was not revoked or closed before.
    fn mark(&self, handle: &FileHandle) -> bool {
        let mut open = handle.inode.open.lock();
        let marked = handle.standing.revoke();
        if marked {
            open.revoked += 1;
            self.reviews.revoked.fetch_add(1, Ordering::Relaxed);
        }
        marked
    }

    /// `last` is the last record there is. One that cannot be made keeps no right alive.
    fn record_revoked(&self, handle: &FileHandle, cause: &Cause, last: &mut Option<Unsynced>) {
        let target = Target::of(&handle.inode);
        let attempt = self.guard.attempt("Revoked", &handle.who, &target);
        match attempt.revoke(cause, handle.content.header().file) {
            Ok(record) => *last = Some(record),
            Err(error) => tracing::error!(%error, "a revoked file could not be recorded"),
        }
    }

    fn by_policy(&self, handle: &FileHandle) -> Verdict {
        let target = Target::of(&handle.inode);
        let who = handle.who.after(handle.opened);
        let attempt = self.guard.attempt("Revoked", &who, &target);
        let mut actions = handle.right.actions().into_iter();
        let refused = actions.find_map(|action| attempt.review(action).err());
        refused.map_or(Verdict::Stands, |refused| {
            Verdict::Gone(Cause::Policy(refused))
        })
    }

    /// `answers` holds what was asked in this review already.
    fn by_key(
        &self,
        handle: &FileHandle,
        answers: &mut HashMap<(String, FileId, KeyRight), bool>,
    ) -> Verdict {
        let header = handle.content.header();
        let right = handle.right.of_key();
        let question = (handle.who.principal.arn.clone(), header.file, right);
        if answers.get(&question) == Some(&true) {
            return Verdict::Stands;
        }
        let caller = handle.who.for_key_service();
        match self.keyring.review(&caller, &header, right) {
            Ok(()) => {
                answers.insert(question, true);
                Verdict::Stands
            }
            Err(error @ KeyringError::Unavailable(_)) => Verdict::Undecided(error),
            Err(error) => Verdict::Gone(Cause::Key(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, OpenFlags, Right, Standing};

    #[test]
    fn a_handle_is_asked_again_for_what_it_can_still_do() {
        let opened = |flags, append_only| Right::Opened { flags, append_only }.actions();
        let (read, write) = (OpenFlags::READ, OpenFlags::WRITE);
        assert_eq!(opened(read | write, false), [Action::Read, Action::Write]);
        assert_eq!(opened(read | OpenFlags::TRUNCATE, false), [Action::Read]);
        assert_eq!(opened(write | OpenFlags::APPEND, true), [Action::Append]);
        // O_APPEND can be taken off: it was allowed to write.
        assert_eq!(opened(write | OpenFlags::APPEND, false), [Action::Write]);
        assert_eq!(opened(OpenFlags::empty(), false), [Action::Read]);
        assert_eq!(Right::Created.actions(), [Action::Create]);
    }

    #[test]
    fn revoking_refuses_what_begins_and_waits_for_what_has_begun() {
        let standing = Standing::new();
        let held = standing.hold().unwrap();
        assert!(standing.revoke() && !standing.revoke());
        assert!(standing.hold().is_none());
        std::thread::scope(|scope| {
            let draining = scope.spawn(|| standing.drain());
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(!draining.is_finished());
            drop(held);
        });
        assert!(standing.close() && !standing.close());
    }
}
