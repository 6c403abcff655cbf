//! A sealed backup of a home: what it is, its store and its tree policies.
//!
//! ```text
//! "kmsfs backup 1\n"
//! length of the header (4, big-endian) ‖ header: JSON with home.json and the time
//! envelope under the root key, bound to all that is before it:
//!     length of the store (8, big-endian) ‖ the store, an SQLite file ‖ JSON of the policies
//! ```
//!
//! It opens with the passphrase or key file of the home it was made of. Audit logs are not in it:
//! they are verified where they are, and a copy of them is an ordinary copy.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    Home, HomeError, Unlock,
    api::Timestamp,
    envelope::{self, Purpose},
    home::{AUDIT, HOME_JSON, POLICIES, STORE},
    home_file::HomeFile,
    state::Policies,
    store::Sqlite,
};
use crate::crypto::SecretKey;

const MAGIC: &[u8] = b"kmsfs backup 1\n";
/// The longest header that is read.
const MAX_HEADER: usize = 64 << 10;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    home: HomeFile,
    created: Timestamp,
}

/// A home's state at one moment, verified.
pub struct Backup {
    header: Header,
    root: SecretKey,
    store: Zeroizing<Vec<u8>>,
    /// By file name.
    policies: BTreeMap<String, String>,
}

impl Backup {
    /// The state of `home`, which may be in use.
    ///
    /// # Errors
    /// [`HomeError::Sealed`] if it was opened without its secret; errors of reading it.
    pub fn of(home: &Home) -> Result<Self, HomeError> {
        let inner = &home.inner;
        let root = inner.root.get();
        let root = root.ok_or_else(|| HomeError::Sealed(inner.path.clone()))?;
        let mut policies = BTreeMap::new();
        let directory = inner.file(POLICIES);
        for entry in fs::read_dir(&directory).map_err(HomeError::io("list", &directory))? {
            let entry = entry.map_err(HomeError::io("list", &directory))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().extension().is_some_and(|it| it == "json") {
                let text = fs::read_to_string(entry.path());
                policies.insert(name, text.map_err(HomeError::io("read", &entry.path()))?);
            }
        }
        Ok(Self {
            store: snapshot(&inner.path, &inner.file(STORE))?,
            header: Header {
                home: inner.json.clone(),
                created: Timestamp::now(),
            },
            root: copy(root),
            policies,
        })
    }

    /// Writes it to a new file, whole or not at all, and on disk when this returns.
    ///
    /// # Errors
    /// [`HomeError::Io`], also if `path` exists.
    pub fn write(&self, path: &Path) -> Result<(), HomeError> {
        let header = serde_json::to_vec(&self.header).expect("plain text and numbers");
        let policies = serde_json::to_vec(&self.policies).expect("plain text");
        let length = u32::try_from(header.len()).expect("a header is short");
        let mut file = [MAGIC, &length.to_be_bytes(), &header].concat();
        let mut payload = Zeroizing::new((self.store.len() as u64).to_be_bytes().to_vec());
        payload.extend_from_slice(&self.store);
        payload.extend_from_slice(&policies);
        let bound = file.clone();
        envelope::seal(&self.root, Purpose::BACKUP, &bound, &payload, &mut file);
        let write = || -> io::Result<()> {
            if path.exists() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(".new");
            let temporary = path.with_file_name(name);
            new_file(&temporary, &file)?;
            fs::rename(&temporary, path)?;
            sync_parent(path)
        };
        write().map_err(HomeError::io("write", path))
    }

    /// Reads and verifies the file at `path`.
    ///
    /// # Errors
    /// [`HomeError::Backup`] if it is cut, changed or of another format; [`HomeError::WrongPassphrase`]
    /// and the like.
    pub fn read(path: &Path, unlock: &Unlock) -> Result<Self, HomeError> {
        let file = fs::read(path).map_err(HomeError::io("read", path))?;
        let broken = |reason: &str| HomeError::Backup {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let cut = || broken("it is cut");
        let rest = file
            .strip_prefix(MAGIC)
            .ok_or_else(|| broken("it does not begin as one of this version does"))?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = u32::from_be_bytes(*length) as usize;
        if length > MAX_HEADER {
            return Err(broken("its header is too long"));
        }
        let (header, sealed) = rest.split_at_checked(length).ok_or_else(cut)?;
        let bound = &file[..file.len() - sealed.len()];
        let header: Header = serde_json::from_slice(header)
            .map_err(|error| broken(&format!("its header is malformed: {error}")))?;
        header.home.check(path)?;
        let root = header.home.unseal(unlock, path)?;
        let payload = envelope::open(&root, Purpose::BACKUP, bound, sealed)
            .map_err(|_| broken("it was changed or cut"))?;
        let (length, rest) = payload.split_first_chunk::<8>().ok_or_else(cut)?;
        let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| cut())?;
        let (store, policies) = rest.split_at_checked(length).ok_or_else(cut)?;
        let policies = serde_json::from_slice(policies)
            .map_err(|error| broken(&format!("its policies are malformed: {error}")))?;
        Ok(Self {
            store: Zeroizing::new(store.to_vec()),
            header,
            root,
            policies,
        })
    }

    /// The account of the home.
    pub fn account(&self) -> String {
        self.header.home.place().account
    }

    /// When it was made.
    pub fn created(&self) -> Timestamp {
        self.header.created
    }

    /// Loads the store and opens every key in it with the root key; answers with their number.
    ///
    /// # Errors
    /// [`HomeError::Corrupt`] for what cannot be loaded.
    pub fn keys(&self) -> Result<usize, HomeError> {
        let name = format!("kmsfs-check-{}", uuid::Uuid::new_v4());
        let scratch = Scratch::make(std::env::temp_dir().join(name))?;
        self.load_in(&scratch.0)
    }

    /// Makes the home at `path`, which must not exist.
    ///
    /// # Errors
    /// [`HomeError::Exists`] and [`HomeError::NotEmpty`]; [`HomeError::Corrupt`] if the store cannot
    /// be loaded. Nothing is left behind then.
    pub fn restore(&self, path: &Path) -> Result<(), HomeError> {
        if path.join(HOME_JSON).exists() {
            return Err(HomeError::Exists(path.to_owned()));
        }
        if path.exists() {
            return Err(HomeError::NotEmpty(path.to_owned()));
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(HomeError::io("create", parent))?;
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".restoring-{}", std::process::id()));
        let scratch = Scratch::make(path.with_file_name(name))?;
        let directory = &scratch.0;
        self.load_in(directory)?;
        let fill = || -> io::Result<()> {
            for part in [AUDIT, POLICIES] {
                DirBuilder::new().mode(0o700).create(directory.join(part))?;
            }
            for (name, text) in &self.policies {
                // A name in a backup that somebody else made could lead elsewhere.
                let file = Path::new(name).file_name().unwrap_or_default();
                new_file(&directory.join(POLICIES).join(file), text.as_bytes())?;
            }
            Ok(())
        };
        fill().map_err(HomeError::io("write", directory))?;
        self.header.home.write(&directory.join(HOME_JSON))?;
        let moved = fs::rename(directory, path).and_then(|()| sync_parent(path));
        moved.map_err(HomeError::io("create", path))
    }

    fn load_in(&self, directory: &Path) -> Result<usize, HomeError> {
        let file = directory.join(STORE);
        new_file(&file, &self.store).map_err(HomeError::io("write", &file))?;
        let place = self.header.home.place();
        let store = Sqlite::open(&file, &place)?;
        let state = store.load(&file, &self.root, &place, &mut Policies::default())?;
        Ok(state.keys().count())
    }
}

/// A copy of the store as it is at one moment, made within one read transaction.
fn snapshot(home: &Path, store: &Path) -> Result<Zeroizing<Vec<u8>>, HomeError> {
    let file = home.join(format!("backup-{}.tmp", uuid::Uuid::new_v4()));
    let text = file.to_string_lossy();
    let copied = Connection::open(store).and_then(|database| {
        database.busy_timeout(std::time::Duration::from_secs(5))?;
        database.execute("VACUUM INTO ?1", [&*text])
    });
    let read = copied
        .map_err(HomeError::store(store))
        .and_then(|_| fs::read(&file).map_err(HomeError::io("read", &file)));
    // It may not be there.
    drop(fs::remove_file(&file));
    read.map(Zeroizing::new)
}

/// A directory that goes away again, unless it has been renamed.
struct Scratch(PathBuf);

impl Scratch {
    fn make(path: PathBuf) -> Result<Self, HomeError> {
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(HomeError::io("create", &path))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn new_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn copy(root: &SecretKey) -> SecretKey {
    let mut bytes = Zeroizing::new(*root.expose());
    SecretKey::take_from(&mut bytes[..]).expect("as long as a key")
}

#[cfg(test)]
mod tests;
