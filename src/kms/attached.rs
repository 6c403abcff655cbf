//! What a home has attached to its users and groups, for whoever decides outside the key service.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{
    KmsError, administration::ListIdentityPoliciesResponse, owner::Owner, principals::in_groups,
};
use crate::policy::{Document, DocumentKind, Principal, Refused};

/// The identity policies of a home, and the groups that its key service keeps.
#[derive(Debug, Default)]
pub struct Attached {
    policies: BTreeMap<String, Vec<Document>>,
    groups: BTreeMap<String, Vec<String>>,
}

impl Attached {
    /// Reads the documents.
    ///
    /// # Errors
    /// [`Refused`] for a document that this version does not understand.
    pub fn read(listed: ListIdentityPoliciesResponse) -> Result<Self, Refused> {
        let mut policies: BTreeMap<String, Vec<Document>> = BTreeMap::new();
        for policy in listed.policies {
            let document = Document::parse(DocumentKind::Identity, &policy.document)?;
            policies.entry(policy.principal).or_default().push(document);
        }
        Ok(Self {
            policies,
            groups: listed.groups,
        })
    }

    /// `principal`, in the groups as well that the key service has put the user of that name into.
    pub fn complete(&self, principal: &Arc<Principal>) -> Arc<Principal> {
        in_groups(
            principal,
            self.groups.get(&principal.arn).into_iter().flatten(),
        )
    }

    /// What is attached to `principal` and to the groups and roles that it has, each document with the
    /// ARN that it is attached to.
    pub fn policies<'a>(
        &'a self,
        principal: &'a Principal,
    ) -> impl Iterator<Item = (&'a str, &'a Document)> {
        let names = std::iter::once(&principal.arn).chain(&principal.also);
        names.flat_map(|arn| {
            let documents = self.policies.get(arn).into_iter().flatten();
            documents.map(|document| (arn.as_str(), document))
        })
    }

    /// The ARNs that have policies.
    pub fn principals(&self) -> impl Iterator<Item = &str> {
        self.policies.keys().map(String::as_str)
    }
}

/// How often it is looked whether something changed.
const EVERY: Duration = Duration::from_millis(500);

/// What a home has attached, as it is now: half a second old at most, while the home answers.
pub struct AttachedNow {
    shared: Arc<Shared>,
    follower: Thread,
}

struct Shared {
    current: ArcSwap<Attached>,
    /// How often it changed.
    changes: AtomicU64,
    source: Mutex<Source>,
}

/// Who is asked. Locked while asking, so that nobody else holds the home's service when a mount ends.
struct Source {
    /// Nobody any more once the mount ends.
    owner: Option<Arc<Owner>>,
    /// Of what is known.
    epoch: Option<u64>,
    /// What is known, as it was listed.
    listed: Option<ListIdentityPoliciesResponse>,
}

impl AttachedNow {
    /// Asks `owner`, and goes on asking in a thread.
    pub(super) fn follow(owner: Arc<Owner>) -> Result<Self, KmsError> {
        let shared = Arc::new(Shared {
            current: ArcSwap::default(),
            changes: AtomicU64::new(0),
            source: Mutex::new(Source {
                owner: Some(owner),
                epoch: None,
                listed: None,
            }),
        });
        shared.refresh()?;
        let weak = Arc::downgrade(&shared);
        // Never joined: it may be waiting for an answer.
        let follower = thread::Builder::new()
            .name("kms-attached".to_owned())
            .spawn(move || follow(&weak))
            .map_err(|error| KmsError::Internal(error.to_string()))?;
        let follower = follower.thread().clone();
        Ok(Self { shared, follower })
    }

    /// What is attached now.
    pub fn get(&self) -> Arc<Attached> {
        self.shared.current.load_full()
    }

    /// A number that is another one after a change.
    pub fn changes(&self) -> u64 {
        self.shared.changes.load(Ordering::Acquire)
    }

    /// Asks at once. May take as long as the home does.
    ///
    /// # Errors
    /// When the home does not answer: what was known holds on.
    pub fn refresh(&self) -> Result<(), KmsError> {
        self.shared.refresh()
    }
}

impl Drop for AttachedNow {
    fn drop(&mut self) {
        let owner = self.shared.source.lock().owner.take();
        drop(owner);
        self.follower.unpark();
    }
}

impl Shared {
    fn refresh(&self) -> Result<(), KmsError> {
        let mut source = self.source.lock();
        let Some(owner) = &source.owner else {
            return Ok(());
        };
        let answer = owner.attached(source.epoch)?;
        // The epoch tells of every change; open files are decided anew for those of policies alone.
        if let Some(listed) = answer.listed
            && source.listed.as_ref() != Some(&listed)
        {
            let attached = Attached::read(listed.clone());
            let attached =
                attached.map_err(|refused| KmsError::MalformedPolicy(refused.to_string()))?;
            self.current.store(Arc::new(attached));
            self.changes.fetch_add(1, Ordering::Release);
            source.listed = Some(listed);
        }
        source.epoch = Some(answer.epoch);
        Ok(())
    }
}

fn follow(shared: &Weak<Shared>) {
    loop {
        thread::park_timeout(EVERY);
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if shared.source.lock().owner.is_none() {
            return;
        }
        if let Err(error) = shared.refresh() {
            tracing::warn!(%error, "identity policies are not known anew");
        }
    }
}
