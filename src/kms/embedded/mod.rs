//! The key service itself: state, store and log in this process.
//!
//! Every operation runs inside one frame, [`Embedded::run`]: its body finds the key, has policy
//! decide, and prepares the answer; then the frame records what happened, and only with the record
//! written is a change committed and the answer given. A body cannot skip the record; without
//! policy's proof it can neither answer ([`Done`]) nor get at key material
//! ([`Key::usable`](super::key::Key::usable)).

mod administration;
mod agreements;
mod aliases;
mod authorize;
mod checks;
mod conditions;
mod data;
mod deletion;
mod encryption;
mod granting;
mod grants;
mod import;
mod keys;
mod macs;
mod managed;
mod page;
mod pairs;
mod policies;
mod regions;
mod rotations;
mod schedule;
mod signatures;
mod tags;
#[cfg(test)]
mod tests;
mod trail;
mod unsupported;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::task::block_in_place;

pub(super) use self::schedule::Scheduler;
use self::trail::Trail;
use super::{
    Caller, HomeError, KeyService, KmsError, Region,
    administration::Administrator,
    api::{self, KeyState, Timestamp},
    home::{AUDIT, Inner, STORE},
    identities::{AccessKey, User},
    key::Key,
    leases::Leases,
    name::{AliasName, KeyName, Place},
    principals::in_groups,
    service::{may_revoke, with_operations},
    signer::Signer,
    state::{Policies, State, Write},
    store::{Sqlite, Store, StoreError},
};
use crate::{
    audit::{self, Anchored, Durability, Log},
    crypto::SecretKey,
    policy::{Allowed, Document, DocumentKind, Principal, canned},
};

/// The name of the key service's own log.
const LOG: &str = "kms";
/// The longest name of another log, in bytes.
const MAX_LOG_NAME: usize = 128;
/// The longest name of a mount, in bytes: a UUID.
const MAX_MOUNT_NAME: usize = 36;
/// Waiting heads of volumes' logs get a checkpoint of their own after this long, when the key
/// service itself has nothing to log.
const ANCHOR_EVERY: Duration = Duration::from_secs(10);

/// The owner of a home's keys.
pub(super) struct Embedded {
    home: Arc<Inner>,
    root: Arc<SecretKey>,
    /// The built-in identity policy of the home's administrator.
    administrator: Arc<Document>,
    /// Decides what concerns no key: delegates all to identity policies.
    account: Document,
    origin: audit::Origin,
    state: RwLock<State>,
    /// Held by whoever changes something, from reading the state to having changed it.
    store: Mutex<Box<dyn Store>>,
    /// Parsed once each.
    policies: Mutex<Policies>,
    /// Who does what nobody asked for.
    own: Caller,
    /// The managed keys that were named and nobody was yet allowed to use; the store has not seen them.
    unmade: Mutex<BTreeMap<Region, Arc<Key>>>,
    /// The Regions that are served, if not all are.
    served: OnceLock<Vec<Region>>,
    /// Milliseconds added to the time: tests let it pass.
    ahead: AtomicI64,
    signer: Arc<Signer>,
    log: Log,
    last_anchored: Mutex<Instant>,
    leases: Leases,
}

impl Embedded {
    /// Opens the store and the log. The caller holds the home's lock.
    pub(super) fn open(home: &Arc<Inner>) -> Result<Self, HomeError> {
        let root = home
            .root
            .get()
            .ok_or_else(|| HomeError::Sealed(home.path.clone()))?;
        let path = home.file(STORE);
        let store = Sqlite::open(&path, &home.place)?;
        let mut policies = Policies::default();
        let state = store.load(&path, root, &home.place, &mut policies)?;
        let signer = Arc::new(Signer::new(root));
        let anchor = Arc::clone(&signer) as Arc<dyn audit::Anchor>;
        let log = Log::open(&home.file(AUDIT), LOG, Durability::Balanced, anchor)?;
        let built_in = |kind, text: &str| {
            Document::parse(kind, text).expect("kmsfs' own policies are well-formed")
        };
        Ok(Self {
            administrator: Arc::new(built_in(
                DocumentKind::Identity,
                &canned::administrator_identity_policy(),
            )),
            account: built_in(
                DocumentKind::Key,
                &canned::default_key_policy(&home.place.account),
            ),
            origin: audit::Origin {
                source: audit::Source::Kms,
                region: home.place.region.to_string(),
                account: home.place.account.clone(),
            },
            home: Arc::clone(home),
            root: Arc::clone(root),
            state: RwLock::new(state),
            store: Mutex::new(Box::new(store)),
            policies: Mutex::new(policies),
            own: Caller::new(Arc::new(Principal {
                arn: format!("arn:aws:iam::{}:root", home.place.account),
                account: home.place.account.clone(),
                also: Vec::new(),
            })),
            unmade: Mutex::default(),
            served: OnceLock::new(),
            ahead: AtomicI64::new(0),
            signer,
            log,
            last_anchored: Mutex::new(Instant::now()),
            leases: Leases::default(),
        })
    }

    /// Runs the operation `name`: record first, then change, then answer.
    fn run<'a, Q, R>(
        &'a self,
        name: &'static str,
        caller: &'a Caller,
        request: &'a Q,
        body: impl FnOnce(&'a Self, &mut Trail<'a>, &'a Q) -> Result<Done<'a, R>, KmsError>,
    ) -> Result<R, KmsError> {
        let mut trail = Trail::new(name, caller, self.principal(caller), self.place(caller));
        let done = match body(self, &mut trail, request) {
            Ok(done) => done,
            Err(error) => {
                self.record(&trail, Some(&error))?;
                return Err(error);
            }
        };
        // Dropping `done` without its commit, as on failure here, undoes the change.
        let event_id = self.record(&trail, None)?;
        if let Some(change) = done.change {
            let epoch = change.commit().or_else(|error| {
                // The log already says that it happened, so it has to say that it did not.
                self.record(&trail, Some(&error))?;
                Err(error)
            })?;
            if may_revoke(name) {
                self.leases.wait_for(epoch);
            }
        }
        trail.note_uses(self.now(), &event_id);
        Ok(done.response)
    }

    /// An active access key and its user, by the key's id.
    pub(super) fn signer(&self, id: &str) -> Option<(Arc<AccessKey>, Arc<User>)> {
        let state = self.state.read();
        let (key, user) = state.identities.signer(id)?;
        Some((Arc::clone(key), Arc::clone(user)))
    }

    /// Whether processes of this user id may speak for others.
    pub(super) fn is_mount_user(&self, uid: u32) -> bool {
        self.state.read().identities.is_mount_user(uid)
    }

    /// Counts what there is.
    pub(super) fn census(&self) -> Census {
        let mut keys = BTreeMap::new();
        for key in self.state.read().keys() {
            *keys.entry(key.state).or_default() += 1;
        }
        Census {
            keys,
            audit_position: self.log.head().seq,
        }
    }

    /// Answers with the record's id.
    fn record(&self, trail: &Trail<'_>, error: Option<&KmsError>) -> Result<String, KmsError> {
        let elsewhere;
        let origin = if trail.place() == &self.home.place {
            &self.origin
        } else {
            elsewhere = audit::Origin {
                region: trail.place().region.to_string(),
                ..self.origin.clone()
            };
            &elsewhere
        };
        let event = trail.event(origin, error);
        let recorded = if error.is_some() {
            // A refusal waits for the disk, and the thread may be one that serves requests.
            block_in_place(|| self.log.record(event))
        } else {
            self.log.record(event)
        };
        recorded.map(|record| record.event_id).map_err(|failure| {
            tracing::error!(%failure, "the key service refuses: its audit log cannot be written");
            KmsError::Internal(failure.to_string())
        })
    }

    /// Begins an operation that changes something. Until the guard is gone nothing else does.
    pub(super) fn changing(&self) -> MutexGuard<'_, Box<dyn Store>> {
        self.store.lock()
    }

    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp {
            millis: Timestamp::now().millis + self.ahead.load(Ordering::Relaxed),
        }
    }

    /// Has keys made in these Regions only, from now on.
    pub(super) fn serve_only(&self, regions: &[Region]) {
        let _ = self.served.set(regions.to_vec());
    }

    /// Whether keys may be made in `region`.
    fn check_served(&self, region: &Region) -> Result<(), KmsError> {
        match self.served.get() {
            Some(served) if !served.contains(region) => Err(KmsError::Unsupported(format!(
                "The Region {region} is not served."
            ))),
            _ => Ok(()),
        }
    }

    /// The caller, in the groups as well that this service has put the user of that name into:
    /// however he comes, their Deny holds.
    fn principal(&self, caller: &Caller) -> Arc<Principal> {
        let principal = &caller.principal;
        let state = self.state.read();
        let user = state.identities.user(&principal.arn);
        in_groups(principal, user.iter().flat_map(|user| &user.principal.also))
    }

    /// Where the caller asks: the account in the Region of the request.
    fn place(&self, caller: &Caller) -> Cow<'_, Place> {
        match &caller.region {
            Some(region) if *region != self.home.place.region => {
                Cow::Owned(self.home.place.at(region))
            }
            _ => Cow::Borrowed(&self.home.place),
        }
    }

    /// The key that `text` names in any of the four forms.
    fn find(&self, place: &Place, text: &str) -> Result<Named, KmsError> {
        let name = place.parse_key_name(text)?;
        let state = self.state.read();
        let regional = state.region(&place.region);
        let (id, alias) = match name {
            KeyName::Id(id) => (id, None),
            KeyName::Alias(alias) => {
                let target = regional.and_then(|regional| regional.aliases.get(&alias));
                let Some(target) = target else {
                    drop(state);
                    let managed = self.managed_key(place, &alias)?;
                    let key = managed.ok_or_else(|| no_such_alias(place, &alias))?;
                    let alias = Some(alias);
                    return Ok(Named { key, alias });
                };
                (target.key, Some(alias))
            }
        };
        let key = regional.and_then(|regional| regional.keys.get(&id));
        let key = key.cloned().ok_or_else(|| {
            let arn = place.key_arn(id);
            KmsError::NotFound(format!("Key '{arn}' does not exist"))
        })?;
        let key = key.as_of(self.now());
        Ok(Named { key, alias })
    }

    /// The key that `text` names by key id or key ARN; most administrative operations take no alias.
    fn find_by_id(&self, place: &Place, text: &str) -> Result<Arc<Key>, KmsError> {
        match place.parse_key_name(text)? {
            KeyName::Id(_) => self.find(place, text).map(|named| named.key),
            KeyName::Alias(_) => Err(KmsError::InvalidArn(
                "Key Aliases are not supported for this operation.".to_owned(),
            )),
        }
    }
}

fn no_such_alias(place: &Place, name: &AliasName) -> KmsError {
    let arn = place.alias_arn(name);
    KmsError::NotFound(format!("Alias {arn} is not found."))
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.save_uses();
        // The volumes' last heads belong into our log before it closes; each checkpoint takes at
        // least one.
        for _ in 0..self.signer.waiting() {
            if let Err(error) = self.log.checkpoint() {
                tracing::error!(%error, "a volume's audit log is not anchored in the key service's");
            }
        }
    }
}

/// What there is, in numbers.
pub(super) struct Census {
    pub(super) keys: BTreeMap<KeyState, u64>,
    /// The number of the audit log's last record.
    pub(super) audit_position: u64,
}

/// A key, and the alias if the request named it by one.
struct Named {
    key: Arc<Key>,
    alias: Option<AliasName>,
}

/// What an operation's body hands to the frame. It takes policy's proof, so no body answers unasked.
struct Done<'a, R> {
    response: R,
    change: Option<Change<'a>>,
}

impl<'a, R> Done<'a, R> {
    /// An answer that changes nothing.
    fn answer(_allowed: &Allowed, response: R) -> Self {
        Self {
            response,
            change: None,
        }
    }

    /// A change, and the answer once it is made.
    fn change(_allowed: &Allowed, change: Change<'a>, response: R) -> Self {
        Self {
            response,
            change: Some(change),
        }
    }

    /// What an administrator of the home asked for.
    fn administered(
        _administrator: &Administrator,
        change: Option<Change<'a>>,
        response: R,
    ) -> Self {
        Self { response, change }
    }

    fn map<S>(self, map: impl FnOnce(R) -> S) -> Done<'a, S> {
        Done {
            response: map(self.response),
            change: self.change,
        }
    }
}

/// A change that is written but not committed. Dropped without [`Change::commit`], it is undone.
struct Change<'a> {
    service: &'a Embedded,
    store: MutexGuard<'a, Box<dyn Store>>,
    writes: Vec<Write>,
}

impl<'a> Change<'a> {
    /// Has the store write the change; once committed, it is made in memory.
    fn write(
        service: &'a Embedded,
        store: MutexGuard<'a, Box<dyn Store>>,
        writes: Vec<Write>,
    ) -> Result<Self, KmsError> {
        let mut change = Self {
            service,
            store,
            writes,
        };
        let written = change.store.begin(&change.writes);
        written
            .map_err(|error| store_failed(&error))
            .map(|()| change)
    }

    /// Answers with the new epoch.
    fn commit(mut self) -> Result<u64, KmsError> {
        let epoch = self.store.commit().map_err(|error| store_failed(&error))?;
        let mut state = self.service.state.write();
        state.epoch = epoch;
        for write in self.writes.drain(..) {
            state.apply(write);
        }
        Ok(epoch)
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.store.roll_back();
    }
}

fn store_failed(error: &StoreError) -> KmsError {
    tracing::error!(%error, "the key store failed");
    KmsError::Internal(error.to_string())
}

macro_rules! run_operations {
    (
        {}
        $(
            $(#[$about:meta])*
            $method:ident = $operation:ident($request:ty) -> $response:ty;
        )+
    ) => {
        impl KeyService for Embedded {
            $(
                fn $method(&self, caller: &Caller, request: &$request)
                    -> Result<$response, KmsError>
                {
                    self.run(stringify!($operation), caller, request, Self::$method)
                }
            )+

            fn epoch(&self) -> Result<u64, KmsError> {
                Ok(self.state.read().epoch)
            }

            fn follow(&self, mount: &str, enforced: Option<u64>) -> Result<u64, KmsError> {
                if mount.len() > MAX_MOUNT_NAME {
                    return Err(KmsError::Validation(format!("{mount:?} names no mount")));
                }
                let epoch = self.state.read().epoch;
                self.leases.note(mount, enforced, epoch);
                Ok(epoch)
            }

            fn audit_anchor(&self, log: &str, seq: u64, hash: &[u8; 32])
                -> Result<Anchored, KmsError>
            {
                if log == LOG {
                    let refused = "the key service alone vouches for its own log";
                    return Err(KmsError::AccessDenied(refused.to_owned()));
                }
                // Signed messages are told apart by lines (`audit::signed_message`).
                let length = 1..=MAX_LOG_NAME;
                if !length.contains(&log.len()) || !log.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
                    return Err(KmsError::Validation(format!("{log:?} names no audit log")));
                }
                let signature = self.signer.sign(log, seq, hash);
                self.signer.remember(log, seq, hash);
                let mut last = self.last_anchored.lock();
                if last.elapsed() >= ANCHOR_EVERY {
                    *last = Instant::now();
                    drop(last);
                    let anchored = self.log.checkpoint();
                    anchored.map_err(|failure| KmsError::Internal(failure.to_string()))?;
                }
                Ok(Anchored { signature, other: Some(self.log.durable_head()) })
            }
        }
    };
}
with_operations!(run_operations);
