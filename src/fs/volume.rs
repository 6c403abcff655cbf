//! Making a volume, taking it into use, and leaving it cleanly.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::fs::RenameFlags;

use crate::audit::{self, AuditError};
use crate::crypto::derive::VolumeKeys;
use crate::format::{
    CONTROL_DIRECTORY, DIRECTORY_RECORD, DIRECTORY_RECORD_MAX, DirectoryRecord, RawVolumeConfig,
    VolumeConfig, VolumeConfigError, VolumeId, volume_key_context,
};
use crate::keyring::Keyring;
use crate::kms::{self, AttachedNow, CiphertextBlob, DecryptRequest, KeyService, KmsError};
use crate::policy::Principal;
use crate::sys;

use super::boundary::Boundaries;
use super::guard::Guard;
use super::handle::Handles;
use super::inode::InodeTable;
use super::journal::{self, Journal, Session};
use super::mark::Mark;
use super::node::read_small;
use super::revocation::Reviews;
use super::settle::Settling;
use super::unsynced::Unsynced;
use super::{FileSystem, FsError, Options, TreePolicy};

pub(super) const CONFIG: &str = "volume.json";
pub(super) const LOCK: &str = "lock";
pub(super) const UNCLEAN: &str = "unclean";
pub(super) const LINKS: &str = "links";
/// Far more than a `volume.json` has.
const CONFIG_MAX: usize = 64 * 1024;

/// Why a volume cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The directory cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no volume here.
    #[error("{0} is not a kmsfs volume (it has no .kmsfs/volume.json); make one with `kmsfs init`")]
    NotAVolume(PathBuf),
    /// There is a volume here already.
    #[error("{0} is a kmsfs volume already")]
    Exists(PathBuf),
    /// A volume is made of an empty directory only.
    #[error("{0} is not empty: a volume is made in an empty or new directory")]
    NotEmpty(PathBuf),
    /// `volume.json` cannot be used.
    #[error("{path}: {source}")]
    Config {
        /// The `volume.json`.
        path: PathBuf,
        /// What is wrong with it.
        source: VolumeConfigError,
    },
    /// The root directory's record is not the volume's.
    #[error(
        "{0}: the root directory's record is missing or was altered; restore .kmsfs.dir from a backup"
    )]
    RootRecord(PathBuf),
    /// It is being checked.
    #[error("{0} is being checked by `kmsfs fsck`; wait until that has ended")]
    Checked(PathBuf),
    /// Another process has it.
    #[error("{path} is mounted already{by}; unmount it first")]
    Busy {
        /// The backing directory.
        path: PathBuf,
        /// Where, as far as its holder says: ` at /mnt`.
        by: String,
    },
    /// The key service did not give the volume key.
    #[error("the volume key of {path} cannot be had: {source}")]
    Key {
        /// The backing directory.
        path: PathBuf,
        /// The key service's reason.
        source: KmsError,
    },
    /// The audit log cannot be used.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Something below failed.
    #[error("{path}: {source}")]
    Fs {
        /// The backing directory.
        path: PathBuf,
        /// What failed.
        source: FsError,
    },
}

/// Who a user and group id are, for policies.
pub type Principals = dyn Fn(u32, u32) -> io::Result<Arc<Principal>> + Send + Sync;

/// What a volume needs from its home.
pub struct Services {
    /// The key service.
    pub keys: Arc<dyn KeyService>,
    /// Who a user and group id are.
    pub principals: Arc<Principals>,
    /// The identity policies that count beside the tree policy.
    pub identities: Arc<AttachedNow>,
    /// Where the audit logs are.
    pub audit: PathBuf,
    /// When audit records are made durable.
    pub durability: audit::Durability,
    /// Signs audit logs.
    pub anchor: Arc<dyn audit::Anchor>,
    /// The volume's policy document.
    pub policy: PathBuf,
    /// Account of the home, 12 digits.
    pub account: String,
    /// Region of the home.
    pub region: String,
    /// Who mounts: the volume key is asked for in this name.
    pub mounter: kms::Caller,
}

/// A volume whose configuration was read.
#[derive(Debug)]
pub struct Volume {
    pub(super) backing: PathBuf,
    pub(super) root: OwnedFd,
    pub(super) control: OwnedFd,
    pub(super) config: RawVolumeConfig,
}

impl Volume {
    /// Reads the configuration of the volume at `backing`.
    ///
    /// # Errors
    /// [`VolumeError`] when there is no volume, or its configuration cannot be used.
    pub fn read(backing: &Path) -> Result<Self, VolumeError> {
        let io = |source| VolumeError::Io {
            path: backing.to_owned(),
            source,
        };
        let absent = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                VolumeError::NotAVolume(backing.to_owned())
            }
            _ => io(error),
        };
        let root = sys::open_directory_path(backing).map_err(absent)?;
        let control_path = backing.join(CONTROL_DIRECTORY);
        let control = sys::open_directory_path(&control_path).map_err(absent)?;
        let text = read_small(&control, CONFIG, CONFIG_MAX).map_err(absent)?;
        let config = RawVolumeConfig::parse(&text).map_err(|source| VolumeError::Config {
            path: control_path.join(CONFIG),
            source,
        })?;
        Ok(Self {
            backing: backing.to_owned(),
            root,
            control,
            config,
        })
    }

    /// What the configuration says; not authentic.
    pub fn unverified(&self) -> &VolumeConfig {
        self.config.unverified()
    }
}

/// A volume that this process alone uses, or that nobody uses while it is checked.
#[derive(Debug)]
pub struct LockedVolume {
    pub(super) backing: PathBuf,
    pub(super) root: OwnedFd,
    pub(super) control: OwnedFd,
    /// None only while it is checked.
    pub(super) links: Option<OwnedFd>,
    /// Held for as long as the volume is; none for one that was never mounted, while it is checked.
    pub(super) lock: Option<File>,
}

impl LockedVolume {
    /// The backing directory.
    pub fn backing(&self) -> &Path {
        &self.backing
    }

    /// The directory of long symbolic links' targets; where it is missing, one that has none.
    pub(super) fn links(&self) -> BorrowedFd<'_> {
        self.links.as_ref().unwrap_or(&self.control).as_fd()
    }

    /// Makes durable that a session uses the volume; the one that did not end cleanly before it, if
    /// any, is what the mark said.
    fn mark_unclean(&self, mark: &Mark) -> io::Result<()> {
        let temporary = format!("{UNCLEAN}.new");
        match sys::unlink(&self.control, &temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        write_new(&self.control, &temporary, mark.to_string().as_bytes())?;
        let control = self.control.as_fd();
        sys::rename(control, &temporary, control, UNCLEAN, RenameFlags::empty())?;
        sys::sync_directory(&self.control)
    }

    fn mark_clean(&self) -> io::Result<()> {
        sys::sync_filesystem(&self.root)?;
        sys::unlink(&self.control, UNCLEAN)?;
        sys::sync_directory(&self.control)
    }

    /// Takes the volume into use.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn open(
        self,
        config: RawVolumeConfig,
        services: Services,
        options: Options,
    ) -> Result<FileSystem, VolumeError> {
        let path = self.backing.clone();
        let io = |source| VolumeError::Io {
            path: path.clone(),
            source,
        };
        let (config, keys) = self.authenticate(config, &services)?;
        read_small(&self.root, DIRECTORY_RECORD, DIRECTORY_RECORD_MAX + 1)
            .ok()
            .and_then(|record| DirectoryRecord::open(&keys.directories, None, &record).ok())
            .ok_or_else(|| VolumeError::RootRecord(path.clone()))?;

        let guard = guard(&config, &services)?;
        // The mark comes last: what fails until here leaves a clean volume clean.
        let left = Mark::read(&self.control).map_err(io)?;
        let session = Session::generate();
        let mut suspect = None;
        let fs = |source| VolumeError::Fs {
            path: path.clone(),
            source,
        };
        let mut redone = 0;
        let journal = if options.read_only {
            Journal::volatile()
        } else {
            if let Some(left) = &left {
                redone = left
                    .mark
                    .session
                    .map_or(Ok(0), |session| journal::replay(&session, &self.root))
                    .map_err(fs)?;
            }
            let boot = sys::boot();
            let suspect_since = left.as_ref().and_then(|left| left.suspect_since(&boot));
            let mark = Mark {
                session: Some(session),
                boot,
                suspect_since,
            };
            self.mark_unclean(&mark).map_err(io)?;
            let now = Mark::read(&self.control).map_err(io)?.map(|left| left.made);
            suspect = suspect_since.zip(now).map(|(since, now)| since..now);
            Journal::create(&session)
        };
        let journal = Arc::new(journal.map_err(io)?);
        let unclean = left.is_some();
        let root = self.root.try_clone().map_err(io)?;
        let identities = guard.identity_changes();
        let filesystem = FileSystem {
            inodes: InodeTable::new(root, options.descriptors).map_err(io)?,
            files: Handles::new(),
            directories: Handles::new(),
            keyring: Keyring::new(services.keys, config.volume),
            guard,
            unsynced: Unsynced::default(),
            boundaries: Boundaries::new(&config),
            settling: Settling::new(unclean && !options.read_only, suspect, services.mounter),
            volume: self,
            journal,
            config,
            keys,
            options,
            cut_off: AtomicBool::new(false),
            reviews: Reviews::new(identities),
        };
        filesystem.record_mount(unclean, redone).map_err(fs)?;
        filesystem.guard.confirm_policy();
        Ok(filesystem)
    }

    /// The volume's configuration and keys.
    pub(super) fn authenticate(
        &self,
        config: RawVolumeConfig,
        services: &Services,
    ) -> Result<(VolumeConfig, VolumeKeys), VolumeError> {
        let keys = self.volume_keys(&config, services)?;
        let config = config
            .authenticate(&keys.config)
            .map_err(|source| VolumeError::Config {
                path: control_path(&self.backing, CONFIG),
                source,
            })?;
        Ok((config, keys))
    }

    fn volume_keys(
        &self,
        config: &RawVolumeConfig,
        services: &Services,
    ) -> Result<VolumeKeys, VolumeError> {
        let unverified = config.unverified();
        let request = DecryptRequest {
            ciphertext_blob: CiphertextBlob(unverified.wrapped_volume_key.clone()),
            encryption_context: volume_key_context(&unverified.volume),
            key_id: Some(unverified.key_arn.clone()),
            ..Default::default()
        };
        let refused = |source| match source {
            // A field of the configuration is not what the key was wrapped for.
            KmsError::InvalidCiphertext | KmsError::IncorrectKey(_) | KmsError::InvalidArn(_) => {
                VolumeError::Config {
                    path: control_path(&self.backing, CONFIG),
                    source: VolumeConfigError::Forged,
                }
            }
            source => VolumeError::Key {
                path: self.backing.clone(),
                source,
            },
        };
        let answer = services
            .keys
            .decrypt(
                &services.mounter.in_region_of(&unverified.key_arn),
                &request,
            )
            .map_err(refused)?;
        let key = answer
            .plaintext
            .into_key()
            .ok_or_else(|| refused(KmsError::Internal("the volume key has not 32 bytes".into())))?;
        Ok(VolumeKeys::new(&key))
    }
}

/// The name of a volume's audit log.
pub(super) fn log_name(volume: &VolumeId) -> String {
    format!("volume-{volume}")
}

/// Policy and audit of the volume.
pub(super) fn guard(config: &VolumeConfig, services: &Services) -> Result<Guard, VolumeError> {
    let log = audit::Log::open(
        &services.audit,
        &log_name(&config.volume),
        services.durability,
        services.anchor.clone(),
    )?;
    let origin = audit::Origin {
        source: audit::Source::Kmsfs,
        region: services.region.clone(),
        account: services.account.clone(),
    };
    let volume_arn = volume_arn(&services.region, &services.account, &config.volume);
    let policy = TreePolicy::load(services.policy.clone());
    let principals = services.principals.clone();
    let identities = services.identities.clone();
    Ok(Guard::new(
        log, origin, volume_arn, policy, principals, identities,
    ))
}

/// Whether the volume at `backing` carries the mark of use: while it is mounted, and after an end
/// that was not clean.
///
/// # Errors
/// [`VolumeError`] when there is no volume.
pub fn is_unclean(backing: &Path) -> Result<bool, VolumeError> {
    Mark::read(&Volume::read(backing)?.control)
        .map(|mark| mark.is_some())
        .map_err(|source| VolumeError::Io {
            path: backing.to_owned(),
            source,
        })
}

pub(super) fn control_path(backing: &Path, name: &str) -> PathBuf {
    backing.join(CONTROL_DIRECTORY).join(name)
}

/// The ARN that policies know a volume by.
pub fn volume_arn(region: &str, account: &str, volume: &VolumeId) -> String {
    format!("arn:aws:kmsfs:{region}:{account}:volume/{volume}")
}

impl FileSystem {
    fn record_mount(&self, unclean: bool, redone: usize) -> Result<(), FsError> {
        let backing = self.volume.backing.to_string_lossy().into_owned();
        self.guard.record_mount(|event| {
            event
                .parameter("backing", backing)
                .parameter("readOnly", self.options.read_only)
                .parameter("unclean", unclean)
                .parameter("changesRedone", redone as u64)
                .parameter(
                    "coverage",
                    if self.options.strict_audit {
                        "strict"
                    } else {
                        "standard"
                    },
                )
        })?;
        Ok(())
    }

    /// Leaves the volume: closes what is open, makes everything durable, and says that this was so.
    ///
    /// # Errors
    /// The first failure; the rest is done all the same, and the next mount settles what is open.
    pub fn unmount(self) -> Result<(), FsError> {
        let mut failures = Vec::new();
        failures.extend(
            self.files
                .ids()
                .into_iter()
                .filter_map(|handle| self.close(handle).err()),
        );
        // A volume with files still to be settled, or one not made durable, stays marked.
        let mut clean = failures.is_empty() && !self.settling.is_lenient();
        if self.options.read_only {
            clean &= Mark::read(&self.volume.control).is_ok_and(|mark| mark.is_none());
        } else {
            let left = if clean {
                self.volume.mark_clean()
            } else {
                sys::sync_filesystem(&self.volume.root)
            };
            clean &= left.is_ok();
            failures.extend(left.err().map(FsError::from));
        }
        let recorded = self
            .guard
            .record_service("Unmount", |event| event.parameter("clean", clean));
        failures.extend(recorded.err());
        failures.extend(self.guard.checkpoint().err());
        for error in &failures {
            tracing::error!(%error, "while unmounting");
        }
        failures.into_iter().next().map_or(Ok(()), Err)
    }
}

/// How many descriptors of inodes are kept when `limit` files may be open: half, since handles and
/// requests need theirs.
pub fn descriptor_share(limit: u64) -> NonZeroUsize {
    let share = usize::try_from(limit / 2)
        .unwrap_or(usize::MAX)
        .clamp(64, 8192);
    NonZeroUsize::new(share).expect("at least 64")
}

/// Writes a new file, durable when this returns; its name is not yet.
pub(super) fn write_new(directory: &OwnedFd, name: &str, contents: &[u8]) -> io::Result<()> {
    let file = sys::create_file(directory, name, 0o600)?;
    sys::write_at(&file, contents, 0)?;
    sys::sync_data(&file)
}
