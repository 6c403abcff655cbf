//! What the tests work in.

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::audit::Durability;
use crate::format::{HEADER_LEN, Header, RawHeader, VolumeId};
use crate::fs::{
    Attr, Caller, Check, CheckOptions, FileSystem, FsError, Ino, NewVolume, Options, Services,
    Volume, VolumeError, volume_arn,
};
use crate::keyring::KeyringError;
use crate::kms::{self, CreateKeyRequest, Home, HomeSettings, KeyService, Unlock};
use crate::policy::canned;

/// Root: the tests create nothing for others.
pub(super) const CALLER: Caller = Caller {
    uid: 0,
    gid: 0,
    pid: 0,
};

/// A home with a key, in a directory that goes with it.
pub(super) struct World {
    directory: TempDir,
    home: Arc<Home>,
    service: Arc<dyn KeyService>,
    key: String,
}

/// A volume of a [`World`].
pub(super) struct TestVolume<'w> {
    world: &'w World,
    id: VolumeId,
    pub(super) backing: PathBuf,
}

impl World {
    pub(super) fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("kmsfs-fs-")
            .tempdir_in(fast_directory())
            .unwrap();
        let key_file = directory.path().join("key");
        fs::write(&key_file, [7; 32]).unwrap();
        let path = directory.path().join("home");
        let unlock = Unlock::KeyFile(key_file);
        let home = Home::create(&path, &unlock, &HomeSettings::default()).unwrap();
        let service = home.service().unwrap();
        let mut world = Self {
            directory,
            home: Arc::new(home),
            service,
            key: String::new(),
        };
        world.key = world.new_key();
        world
    }

    /// Makes a KMS key; its ARN.
    pub(super) fn new_key(&self) -> String {
        let policy = canned::kmsfs_key_policy(self.home.account(), self.home.region());
        let request = CreateKeyRequest {
            policy: Some(policy),
            ..Default::default()
        };
        let admin = kms::Caller::new(self.home.admin());
        let key = self.service.create_key(&admin, &request).unwrap();
        key.key_metadata.arn
    }

    /// Whoever mounts.
    fn mounter(&self) -> kms::Caller {
        kms::Caller {
            via_kmsfs: true,
            ..kms::Caller::new(self.home.admin())
        }
    }

    /// A new volume; `name` is its backing directory's.
    pub(super) fn volume(&self, name: &str) -> TestVolume<'_> {
        let backing = self.directory.path().join(name);
        let (account, region) = (self.home.account(), self.home.region());
        let new = NewVolume {
            backing: &backing,
            key_arn: &self.key,
        };
        let made = new.create(&*self.service, &self.mounter(), |volume| {
            let arn = volume_arn(region, account, volume);
            let policy = self.home.policy_path(&volume.to_string());
            fs::create_dir_all(policy.parent().unwrap())?;
            fs::write(policy, canned::everyone_tree_policy(&arn, account))
        });
        TestVolume {
            world: self,
            id: made.unwrap(),
            backing,
        }
    }
}

impl TestVolume<'_> {
    pub(super) fn mount(&self) -> FileSystem {
        self.mount_at(&self.backing)
    }

    /// Mounts `backing`, a copy of this volume in some state.
    pub(super) fn mount_at(&self, backing: &Path) -> FileSystem {
        self.try_mount_at(backing).unwrap()
    }

    /// Mounts, or says why not.
    pub(super) fn try_mount(&self) -> Result<FileSystem, VolumeError> {
        self.try_mount_at(&self.backing)
    }

    /// Prepares a check.
    pub(super) fn check(&self, threads: NonZeroUsize) -> Check {
        let volume = Volume::read(&self.backing).unwrap();
        let (locked, config) = volume.lock_to_check(|_| false).unwrap();
        let options = CheckOptions {
            threads,
            blocks: true,
            descriptors: NonZeroUsize::new(2).unwrap(),
        };
        let services = self.services(&config.unverified().volume.to_string());
        locked.open_to_check(config, services, options).unwrap()
    }

    fn services(&self, volume: &str) -> Services {
        let home = &self.world.home;
        let principals = home.clone();
        Services {
            identities: Arc::new(self.world.home.attached().unwrap()),
            keys: self.world.service.clone(),
            principals: Arc::new(move |uid, gid| principals.principal(uid, gid)),
            audit: home.audit_dir(),
            durability: Durability::Balanced,
            anchor: home.anchor().unwrap(),
            policy: home.policy_path(volume),
            account: home.account().to_owned(),
            region: home.region().to_owned(),
            mounter: self.world.mounter(),
        }
    }

    pub(super) fn try_mount_at(&self, backing: &Path) -> Result<FileSystem, VolumeError> {
        let volume = Volume::read(backing)?;
        let (locked, config) = volume.lock(Path::new("/nowhere"), |_| false)?;
        let services = self.services(&config.unverified().volume.to_string());
        let options = Options {
            read_only: false,
            strict_audit: false,
            // So few that most uses open the node anew.
            descriptors: NonZeroUsize::new(2).unwrap(),
            offline_grace: Duration::ZERO,
            access_times: true,
        };
        locked.open(config, services, options)
    }

    /// The backing entry of this inode number.
    pub(super) fn backing_of(&self, number: u64) -> PathBuf {
        let mut pending = vec![self.backing.clone()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let stat = path.symlink_metadata().unwrap();
                if stat.ino() == number {
                    return path;
                }
                if stat.is_dir() {
                    pending.push(path);
                }
            }
        }
        panic!("{number} has no backing entry")
    }

    /// Denies `action` to everyone from the next tick on.
    pub(super) fn deny(&self, action: &str) {
        self.deny_if(action, &json!({}));
    }

    /// The same under a condition.
    pub(super) fn deny_if(&self, action: &str, condition: &Value) {
        let policy = self.world.home.policy_path(&self.id.to_string());
        let document = fs::read_to_string(&policy).unwrap();
        let mut document: Value = serde_json::from_str(&document).unwrap();
        document["Statement"].as_array_mut().unwrap().push(json!({
            "Effect": "Deny", "Principal": "*", "Action": action, "Resource": "*",
            "Condition": condition
        }));
        // As `policy put`: a new file takes the place of the old one.
        let new = policy.with_extension("new");
        fs::write(&new, document.to_string()).unwrap();
        fs::rename(new, policy).unwrap();
    }

    /// Whether the volume has the mark of an end that was not clean.
    pub(super) fn is_unclean(&self) -> bool {
        self.backing.join(".kmsfs/unclean").exists()
    }

    /// The records of this volume's log with this name.
    pub(super) fn records(&self, event: &str) -> Vec<Value> {
        let log = format!("volume-{}.jsonl", self.id);
        let text = fs::read_to_string(self.world.home.audit_dir().join(log)).unwrap();
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|record| record["eventName"] == event)
            .collect()
    }

    /// How many name files there are, and how many targets of long links.
    pub(super) fn sidecars(&self) -> (usize, usize) {
        let mut names = 0;
        let mut directories = vec![self.backing.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().as_encoded_bytes();
                if path.symlink_metadata().unwrap().is_dir() {
                    if name != b".kmsfs" {
                        directories.push(path);
                    }
                } else if name.starts_with(b".kmsfs.long.") && name.ends_with(b".name") {
                    names += 1;
                }
            }
        }
        let targets = fs::read_dir(self.backing.join(".kmsfs/links")).unwrap();
        (names, targets.count())
    }

    /// Takes the backing directory away.
    pub(super) fn remove(self) {
        fs::remove_dir_all(self.backing).unwrap();
    }
}

/// What the newest copy of a backing file's header says.
pub(super) fn header_of(path: &Path) -> Header {
    let bytes = fs::read(path).unwrap();
    let raw = RawHeader::parse(&bytes[..HEADER_LEN]).unwrap();
    raw.newest().1.unverified().clone()
}

/// In memory where that has `user.*` attributes (Linux 6.6), since every test syncs a lot.
fn fast_directory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let usable = tempfile::NamedTempFile::new_in(&memory).is_ok_and(|file| {
        rustix::fs::fsetxattr(&file, "user.kmsfs", b"1", XattrFlags::empty()).is_ok()
    });
    if usable {
        memory
    } else {
        PathBuf::from("/var/tmp")
    }
}

/// The errno that a program is told, as far as these tests meet it.
pub(super) fn errno(error: &FsError) -> Errno {
    match error {
        FsError::OnceRecorded { error, .. } => errno(error),
        FsError::Backing(error) => Errno::from_io_error(error).unwrap_or(Errno::IO),
        FsError::Errno(errno) => *errno,
        FsError::Denied | FsError::Revoked | FsError::Key(KeyringError::Refused(_)) => {
            Errno::ACCESS
        }
        FsError::TooLarge(_) => Errno::FBIG,
        FsError::Name(_) => Errno::NAMETOOLONG,
        FsError::Xattr(_) => Errno::RANGE,
        FsError::Key(_)
        | FsError::CutOff
        | FsError::UnknownCaller { .. }
        | FsError::Unrecorded(_)
        | FsError::Integrity(_) => Errno::IO,
    }
}

/// Walks `path` from the root, as the kernel does; each step is a lookup.
pub(super) fn resolve(fs: &FileSystem, path: &[&[u8]]) -> Result<Attr, FsError> {
    let mut attr = fs.get_attr(Ino::ROOT)?;
    for name in path {
        attr = fs.lookup(attr.ino, name)?;
    }
    Ok(attr)
}
