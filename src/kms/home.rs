//! A home: the directory that holds a key service, its policies and its audit logs.
//!
//! ```text
//! HOME/             mode 0700
//!   home.json       format version, account, Region, signing public key, sealed root key
//!   kms.sqlite      keys, aliases, key policies
//!   lock            held by the process that owns the key service
//!   kms.sock        where that process serves the others
//!   audit/          kms.jsonl, volume-<id>.jsonl and their heads
//!   policies/       <volume id>.json: tree policies
//! ```

mod account;

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, Weak},
};

use parking_lot::Mutex;

use super::{
    Administration, AttachedNow, HomeError, KeyService, ServiceStatus,
    home_file::HomeFile,
    lock::LockFile,
    name::{NoRegion, Place},
    owner::{self, Owner},
    principals::Principals,
    seal::{PassphraseCost, Unlock},
};
use crate::{
    audit::{Anchor, Anchored},
    crypto::SecretKey,
    policy::Principal,
};

/// What a new home is given.
#[derive(Debug, Clone)]
pub struct HomeSettings {
    /// The account id in its ARNs: 12 digits.
    pub account: String,
    /// The Region in its ARNs.
    pub region: String,
    /// The cost of guessing its passphrase.
    pub passphrase_cost: PassphraseCost,
}

impl Default for HomeSettings {
    fn default() -> Self {
        Self {
            account: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            passphrase_cost: PassphraseCost::default(),
        }
    }
}

impl HomeSettings {
    fn place(&self) -> Result<Place, HomeError> {
        let (account, region) = (&self.account, &self.region);
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return Err(HomeError::Settings(format!(
                "the account id {account:?} is not 12 digits"
            )));
        }
        let region = region
            .parse()
            .map_err(|error: NoRegion| HomeError::Settings(error.to_string()))?;
        Ok(Place {
            account: account.clone(),
            region,
        })
    }
}

/// What every part of an open home shares.
pub(super) struct Inner {
    pub(super) path: PathBuf,
    pub(super) place: Place,
    pub(super) owner_uid: u32,
    pub(super) principals: Principals,
    pub(super) json: HomeFile,
    /// Empty while the home is sealed.
    pub(super) root: OnceLock<Arc<SecretKey>>,
    pub(super) admin: Arc<Principal>,
}

impl Inner {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What is known of a service while the home is sealed.
    pub(super) fn sealed_status(&self) -> ServiceStatus {
        ServiceStatus {
            pid: std::process::id(),
            sealed: true,
            account: self.place.account.clone(),
            region: self.place.region.to_string(),
            keys: BTreeMap::new(),
            users: 0,
            audit_position: 0,
        }
    }
}

/// An open home.
pub struct Home {
    pub(super) inner: Arc<Inner>,
    service: Mutex<Weak<Owner>>,
}

impl Home {
    /// Makes a home at `path`, which must be absent or an empty directory.
    ///
    /// # Errors
    /// [`HomeError::Exists`] and the like; nothing is left behind that a second attempt trips over.
    pub fn create(
        path: &Path,
        unlock: &Unlock,
        settings: &HomeSettings,
    ) -> Result<Self, HomeError> {
        let place = settings.place()?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(HomeError::io("create", parent))?;
        }
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(HomeError::io("create", path))?,
        }
        check_private(path)?;
        check_unused(path)?;
        // Two commands may create the same home at once: the second finds it made.
        let _lock = loop {
            match LockFile::open(path)?.try_lock() {
                Ok(lock) => break lock,
                Err(Some(error)) => return Err(error),
                Err(None) if path.join(HOME_JSON).exists() => {
                    return Err(HomeError::Exists(path.to_owned()));
                }
                Err(None) => std::thread::sleep(std::time::Duration::from_millis(10)),
            }
        };
        check_unused(path)?;
        let (file, root) = HomeFile::create(&place, unlock, settings.passphrase_cost)?;
        for directory in [AUDIT, POLICIES] {
            match DirBuilder::new().mode(0o700).create(path.join(directory)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made.map_err(HomeError::io("create", &path.join(directory)))?,
            }
        }
        // Last: with this file it is a home.
        file.write(&path.join(HOME_JSON))?;
        Self::assemble(path, file, Some(root))
    }

    /// Opens the home at `path`. With `unlock` its root key is unsealed at once, so that a wrong
    /// passphrase is found here; without, its key service can only be reached in another process.
    ///
    /// # Errors
    /// [`HomeError::Missing`], [`HomeError::NotPrivate`], [`HomeError::NewerFormat`],
    /// [`HomeError::WrongPassphrase`] and the like.
    pub fn open(path: &Path, unlock: Option<&Unlock>) -> Result<Self, HomeError> {
        let json = path.join(HOME_JSON);
        if !path.is_dir() || (check_private(path).is_ok() && !json.exists()) {
            return Err(HomeError::Missing(path.to_owned()));
        }
        check_private(path)?;
        let file = HomeFile::read(&json)?;
        let root = unlock.map(|unlock| file.unseal(unlock, path)).transpose()?;
        Self::assemble(path, file, root)
    }

    /// Opens the home at `path`, or makes one with the default settings.
    ///
    /// # Errors
    /// As [`Home::open`] and [`Home::create`].
    pub fn open_or_create(path: &Path, unlock: &Unlock) -> Result<Self, HomeError> {
        match Self::open(path, Some(unlock)) {
            Err(HomeError::Missing(_)) => {}
            opened => return opened,
        }
        match Self::create(path, unlock, &HomeSettings::default()) {
            Err(HomeError::Exists(_)) => Self::open(path, Some(unlock)),
            created => created,
        }
    }

    fn assemble(path: &Path, file: HomeFile, root: Option<SecretKey>) -> Result<Self, HomeError> {
        let path = path.canonicalize().map_err(HomeError::io("find", path))?;
        let metadata = fs::metadata(&path).map_err(HomeError::io("examine", &path))?;
        let place = file.place();
        let principals = Principals::new(&place.account);
        let admin = principals
            .get(metadata.uid(), metadata.gid())
            .map_err(HomeError::io("look up the owner of", &path))?;
        let owner_uid = metadata.uid();
        let root = root.map_or_else(OnceLock::new, |root| OnceLock::from(Arc::new(root)));
        let inner = Arc::new(Inner {
            path,
            place,
            owner_uid,
            principals,
            json: file,
            root,
            admin,
        });
        Ok(Self {
            inner,
            service: Mutex::default(),
        })
    }

    /// The home's key service: in this process if no other owns the home, else in the one that does,
    /// through `HOME/kms.sock`. When that process ends and the root key is unsealed here, this
    /// process takes over and goes on. As long as the answer lives, others are served.
    ///
    /// It starts threads: a process that daemonises calls it afterwards.
    ///
    /// # Errors
    /// [`HomeError::Sealed`] when nobody serves the home and it was opened without its passphrase;
    /// errors of the store and the audit log.
    pub fn service(&self) -> Result<Arc<dyn KeyService>, HomeError> {
        self.owner().map(|owner| owner as _)
    }

    /// The administration of the home's key service, wherever it runs, as [`Home::service`].
    ///
    /// # Errors
    /// As [`Home::service`].
    pub fn administration(&self) -> Result<Arc<dyn Administration>, HomeError> {
        self.owner().map(|owner| owner as _)
    }

    /// Gives the root key, which this process has, to the sealed server that holds the home.
    ///
    /// # Errors
    /// [`HomeError::Sealed`] without the root key, [`HomeError::Unseal`] when the server is not there
    /// or refuses.
    pub fn unseal_server(&self) -> Result<(), HomeError> {
        let sealed = || HomeError::Sealed(self.inner.path.clone());
        let root = self.inner.root.get().ok_or_else(sealed)?;
        owner::unseal_server(&self.inner, root)
    }

    fn owner(&self) -> Result<Arc<Owner>, HomeError> {
        let mut service = self.service.lock();
        if let Some(running) = service.upgrade() {
            return Ok(running);
        }
        let started = Owner::start(Arc::clone(&self.inner))?;
        *service = Arc::downgrade(&started);
        Ok(started)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The account id in the home's ARNs.
    pub fn account(&self) -> &str {
        &self.inner.place.account
    }

    /// The Region in the home's ARNs.
    pub fn region(&self) -> &str {
        self.inner.place.region.as_str()
    }

    /// The administrator: the user who owns the directory. His built-in identity policy allows
    /// `kms:*` and nothing on the file plane.
    pub fn admin(&self) -> Arc<Principal> {
        Arc::clone(&self.inner.admin)
    }

    /// Who the user `uid` with the primary group `gid` is in policies: `user/<name>`, and each of
    /// his groups as `role/<group>` and `group/<group>`. Remembered for a minute.
    ///
    /// # Errors
    /// When the system's user database cannot be asked.
    pub fn principal(&self, uid: u32, gid: u32) -> io::Result<Arc<Principal>> {
        self.inner.principals.get(uid, gid)
    }

    /// What is attached to the home's users and groups, kept up to date by a thread.
    ///
    /// # Errors
    /// As [`Home::service`], and when the service cannot be asked.
    pub fn attached(&self) -> Result<AttachedNow, HomeError> {
        AttachedNow::follow(self.owner()?).map_err(|reason| HomeError::Attached {
            path: self.inner.path.clone(),
            reason,
        })
    }

    /// Where audit logs are.
    pub fn audit_dir(&self) -> PathBuf {
        self.inner.file(AUDIT)
    }

    /// The Ed25519 public key that verifies the audit logs.
    pub fn signing_public_key(&self) -> [u8; 32] {
        self.inner.json.signing_public_key()
    }

    /// What vouches for the audit log of a volume: the home's key service, wherever it runs.
    ///
    /// # Errors
    /// As [`Home::service`].
    pub fn anchor(&self) -> Result<Arc<dyn Anchor>, HomeError> {
        let public_key = self.signing_public_key();
        Ok(Arc::new(HomeAnchor {
            service: self.service()?,
            public_key,
        }))
    }

    /// The volumes that have a tree policy here, by id, and where each policy is.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn policies(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.inner.file(POLICIES))? {
            let path = entry?.path();
            let volume = path
                .file_stem()
                .filter(|_| path.extension() == Some("json".as_ref()));
            if let Some(volume) = volume.and_then(|name| name.to_str()) {
                found.push((volume.to_owned(), path.clone()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Where the tree policy of a volume is.
    pub fn policy_path(&self, volume_id: &str) -> PathBuf {
        self.inner.file(POLICIES).join(format!("{volume_id}.json"))
    }
}

struct HomeAnchor {
    service: Arc<dyn KeyService>,
    public_key: [u8; 32],
}

impl Anchor for HomeAnchor {
    fn anchor(&self, log: &str, seq: u64, hash: &[u8; 32]) -> Result<Anchored, String> {
        self.service
            .audit_anchor(log, seq, hash)
            .map_err(|error| error.to_string())
    }

    fn public_key(&self) -> [u8; 32] {
        self.public_key
    }
}

pub(super) const HOME_JSON: &str = "home.json";
pub(super) const AUDIT: &str = "audit";
pub(super) const POLICIES: &str = "policies";
const LOCK: &str = "lock";
/// The key store's file.
pub(super) const STORE: &str = "kms.sqlite";

fn check_private(path: &Path) -> Result<(), HomeError> {
    let metadata = fs::metadata(path).map_err(HomeError::io("examine", path))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(HomeError::NotPrivate {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// A directory may become a home if it holds nothing but what an interrupted creation leaves.
fn check_unused(path: &Path) -> Result<(), HomeError> {
    for entry in fs::read_dir(path).map_err(HomeError::io("list", path))? {
        let name = entry.map_err(HomeError::io("list", path))?.file_name();
        match name.to_str() {
            Some(HOME_JSON) => return Err(HomeError::Exists(path.to_owned())),
            Some(LOCK | AUDIT | POLICIES | "home.json.tmp") => {}
            _ => return Err(HomeError::NotEmpty(path.to_owned())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
