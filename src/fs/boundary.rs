//! Boundary directories: what is made in one, and below it, has another KMS key or label.
//!
//! Which names in a directory are boundaries is said by that directory's record, so it is known before
//! the boundary directory itself is looked at. Whatever directory is found there must have a record for
//! this very place, and whatever is made in it gets the key and label of the place.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::RenameFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::format::{
    Boundary, BoundaryPlace, DIRECTORY_RECORD, DIRECTORY_RECORD_MAX, DirectoryId, DirectoryRecord,
    Header, KEY_ARN_MAX, LABEL_MAX, VolumeConfig,
};
use crate::keyring::KeyringError;
use crate::sys;

use super::caller::Caller;
use super::directory::with_owner_access;
use super::guard::{Action, Target};
use super::inode::Inode;
use super::node::{Parent, is_empty_directory};
use super::place::Place;
use super::volume::{CONFIG, write_new};
use super::{Damage, FileSystem, FsError, Ino};

/// The attribute by which a directory's boundary is set, and its key and label are told, as JSON:
/// [`BoundaryRequest`], [`BoundaryTold`]. It is in no listing of attributes.
pub const BOUNDARY_ATTRIBUTE: &str = "system.kmsfs.boundary";

/// A directory's record on its way into its place, in the control directory.
pub(super) const NEW_RECORD: &str = "record.new";

/// What a directory is to have of its own. With neither it is no boundary any more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BoundaryRequest {
    /// KMS key: its id, ARN or alias, as the volume's key service knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Label, 1 to 255 bytes without control characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl BoundaryRequest {
    fn is_valid(&self) -> bool {
        let label = self.label.as_deref();
        self.key.as_deref() != Some("")
            && label.is_none_or(|label| {
                (1..=LABEL_MAX).contains(&label.len()) && !label.contains(char::is_control)
            })
    }
}

/// What new files in a directory get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BoundaryTold {
    /// ARN of the KMS key.
    pub key_arn: String,
    /// The label.
    pub label: Option<String>,
    /// The directory is a boundary itself, and has not only inherited this.
    pub boundary: bool,
}

/// What governs new files: the key and label of the nearest boundary above, or of the volume.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Zone {
    /// Where that boundary is: its parent and its name; `None` outside of all.
    at: Option<(DirectoryId, Vec<u8>)>,
    pub(super) key_arn: String,
    pub(super) label: Option<String>,
}

impl Zone {
    fn of_volume(config: &VolumeConfig) -> Self {
        Self {
            at: None,
            key_arn: config.key_arn.clone(),
            label: None,
        }
    }

    /// The zone of the boundary directory `name` of the directory `parent`, which is of this zone.
    fn inside(&self, parent: DirectoryId, name: &[u8], boundary: &Boundary) -> Self {
        let Boundary { key_arn, label } = boundary;
        Self {
            at: Some((parent, name.to_vec())),
            key_arn: key_arn.as_ref().unwrap_or(&self.key_arn).clone(),
            label: label.as_ref().or(self.label.as_ref()).cloned(),
        }
    }

    /// Whether both are inside the same boundary.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

/// A directory's record, and what governs what is made in it.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) id: DirectoryId,
    /// The boundary directories in it.
    boundaries: BTreeMap<Vec<u8>, Boundary>,
    pub(super) zone: Arc<Zone>,
}

impl Directory {
    pub(super) fn new(record: DirectoryRecord, zone: Arc<Zone>) -> Self {
        Self {
            id: record.id,
            boundaries: record.boundaries,
            zone,
        }
    }

    /// Whether the directory `name` in here is a boundary.
    fn is_boundary(&self, name: &[u8]) -> bool {
        self.boundaries.contains_key(name)
    }

    /// What governs the directory `name` in here.
    pub(super) fn zone_of(&self, name: &[u8]) -> Arc<Zone> {
        match self.boundaries.get(name) {
            Some(boundary) => Arc::new(self.zone.inside(self.id, name, boundary)),
            None => self.zone.clone(),
        }
    }
}

/// Where a directory is: every one but the root is somewhere.
#[derive(Debug)]
pub(super) struct Above {
    pub(super) parent: Arc<Directory>,
    pub(super) name: Vec<u8>,
}

impl Above {
    /// What the record of a directory there is bound to, if it is a boundary.
    pub(super) fn boundary(&self) -> Option<BoundaryPlace<'_>> {
        let is_one = self.parent.is_boundary(&self.name);
        is_one.then(|| self.place())
    }

    pub(super) fn place(&self) -> BoundaryPlace<'_> {
        BoundaryPlace {
            parent: &self.parent.id,
            name: &self.name,
        }
    }
}

/// Held by whoever sets a boundary: whether the volume's configuration says that there are any.
pub(super) struct Boundaries(Mutex<bool>);

impl Boundaries {
    pub(super) fn new(config: &VolumeConfig) -> Self {
        Self(Mutex::new(config.boundaries))
    }
}

impl FileSystem {
    /// What governs new files in a directory whose place is `above`.
    pub(super) fn zone_at(&self, above: Option<&Above>) -> Arc<Zone> {
        match above {
            Some(Above { parent, name }) => parent.zone_of(name),
            None => Arc::new(Zone::of_volume(&self.config)),
        }
    }

    /// The key and label that new files in the directory `ino` get.
    ///
    /// # Errors
    /// `ENODATA` for what is no directory; an integrity failure.
    pub fn boundary(&self, ino: Ino) -> Result<BoundaryTold, FsError> {
        if !self.inodes.get(ino)?.is_directory() {
            return Err(Errno::NODATA.into());
        }
        let Parent {
            inode, directory, ..
        } = self.parent(ino)?;
        let boundary = inode
            .link()
            .and_then(|link| {
                let parent = link.parent.directory.lock();
                Some(parent.as_ref()?.is_boundary(&link.name))
            })
            .unwrap_or(false);
        Ok(BoundaryTold {
            key_arn: directory.zone.key_arn.clone(),
            label: directory.zone.label.clone(),
            boundary,
        })
    }

    /// Gives the empty directory `ino` a key and label of its own, or takes them away; durable when this
    /// returns. It waits for the key service and the disk.
    ///
    /// For root and whoever mounted. The tree policy is asked for `kmsfs:SetSecurity` on the directory,
    /// under its label of before and the new one, and the key service for a data key under the new key
    /// and label, in the caller's name.
    ///
    /// # Errors
    /// `EINVAL` for the root and what is no key or label, `ENOTEMPTY`, `EBUSY` when it has extended
    /// attributes, `ENOTDIR`, `EPERM`; policy; the key service; the backing filesystem.
    pub fn set_boundary(
        &self,
        caller: Caller,
        ino: Ino,
        request: &BoundaryRequest,
    ) -> Result<(), FsError> {
        self.refuse_if_read_only()?;
        let inode = self.inodes.get(ino)?;
        if !inode.is_directory() {
            return Err(Errno::NOTDIR.into());
        }
        let link = inode.link().ok_or(Errno::INVAL)?;
        if !request.is_valid() {
            return Err(Errno::INVAL.into());
        }
        let who = self.guard.identify(caller)?;
        let target = Target::of(&inode);
        let attempt = self.guard.attempt("SetBoundary", &who, &target);
        let allowed = attempt.check(Action::SetSecurity)?;
        if caller.uid != 0 && caller.uid != sys::own_identity().uid {
            return Err(Errno::PERM.into());
        }
        let mut boundary = Boundary {
            key_arn: request.key.clone(),
            label: request.label.clone(),
        };
        let parent = self.parent(link.parent.ino)?;
        let zone = parent
            .directory
            .zone
            .inside(parent.id(), &link.name, &boundary);
        let relabelled = target.clone().labelled(zone.label.clone());
        let _allowed = attempt.check_on(Action::SetSecurity, &relabelled)?;

        let descriptor = self.inodes.descriptor(&inode)?;
        if !is_empty_directory(&descriptor)? {
            return Err(Errno::NOTEMPTY.into());
        }
        // They are bound to its record, which is replaced.
        if self.has_sealed_xattrs(&inode)? {
            return Err(Errno::BUSY.into());
        }

        let key_service = who.for_key_service();
        let label = zone.label.as_deref();
        let generated = self
            .keyring
            .generate(&allowed, &key_service, &zone.key_arn, label)
            .map_err(|error| match error {
                // Nothing was read: what it does not know is the key that was asked for.
                KeyringError::NotThisFiles(reason) => KeyringError::Refused(reason),
                other => other,
            });
        let slot = attempt.finish(generated.map_err(FsError::from))?.slot;
        if slot.key_arn.len() > KEY_ARN_MAX {
            return Err(Errno::INVAL.into());
        }
        boundary.key_arn = boundary.key_arn.map(|_| slot.key_arn.clone());
        attempt.perform(
            &allowed,
            |mut event| {
                if boundary.key_arn.is_some() {
                    event = event.key(&*slot.key_arn);
                }
                if let Some(label) = &boundary.label {
                    event = event.parameter("label", label.clone());
                }
                let inherits = boundary.key_arn.is_none() && boundary.label.is_none();
                event.parameter("inherits", inherits).administration()
            },
            || self.put_boundary(&inode, &link.name, &parent.inode, &boundary),
        )
    }

    fn put_boundary(
        &self,
        inode: &Arc<Inode>,
        name: &[u8],
        parent: &Arc<Inode>,
        boundary: &Boundary,
    ) -> Result<(), FsError> {
        let mut announced = self.boundaries.0.lock();
        if !*announced {
            self.announce_boundaries()?;
            *announced = true;
        }
        let parent = self.parent(parent.ino)?;
        let descriptor = self.inodes.descriptor(inode)?;
        let mut record = DirectoryRecord {
            id: parent.id(),
            boundaries: parent.directory.boundaries.clone(),
        };
        if boundary.key_arn.is_none() && boundary.label.is_none() {
            record.boundaries.remove(name);
        } else {
            record.boundaries.insert(name.to_vec(), boundary.clone());
        }
        with_owner_access(&parent.descriptor, || {
            self.put_record(&parent, record, (inode, &descriptor, name))
        })
        .inspect_err(|_| {
            // Nothing refers to it, and the next one takes it away where this fails.
            let _ = remove_if_there(&self.volume.control, NEW_RECORD);
        })?;
        // The parent's record first: the directory's own follows from it, also after a power loss.
        self.sync_names(&parent.inode)?;
        with_owner_access(&descriptor, || self.directory(inode, &descriptor).map(drop))?;
        self.sync_names(inode)
    }

    /// Replaces the record of `parent`, which says something else of the directory `name` now. That one
    /// has to be empty: its own record is made to fit when it is used next.
    fn put_record(
        &self,
        parent: &Parent,
        record: DirectoryRecord,
        (inode, descriptor, name): (&Inode, &OwnedFd, &[u8]),
    ) -> Result<(), FsError> {
        let above = self.above(&parent.inode)?;
        let place = above.as_ref().and_then(Above::boundary);
        let sealed = record.seal(&self.keys.directories, place);
        if sealed.len() > DIRECTORY_RECORD_MAX {
            return Err(Errno::NOSPC.into());
        }
        let control = &self.volume.control;
        remove_if_there(control, NEW_RECORD)?;
        write_new(control, NEW_RECORD, &sealed)?;
        // Where names reach the disk in any order, a renaming needs the name that it takes away.
        sys::sync_directory(control)?;
        let changing = self.inodes.changing_names();
        let is_there = inode
            .link()
            .is_some_and(|link| link.parent.ino == parent.inode.ino && link.name == name);
        if !is_there {
            return Err(Errno::STALE.into());
        }
        if !is_empty_directory(descriptor)? {
            return Err(Errno::NOTEMPTY.into());
        }
        sys::rename(
            control.as_fd(),
            NEW_RECORD,
            parent.descriptor.as_fd(),
            DIRECTORY_RECORD,
            RenameFlags::empty(),
        )?;
        let zone = parent.directory.zone.clone();
        *parent.inode.directory.lock() = Some(Arc::new(Directory::new(record, zone)));
        *inode.directory.lock() = None;
        drop(changing);
        self.unsynced
            .add_name(&parent.inode, DIRECTORY_RECORD.to_owned());
        Ok(())
    }

    /// Has the volume's configuration say that there are boundary directories, durably: a kmsfs that
    /// knows none refuses the volume from then on.
    fn announce_boundaries(&self) -> Result<(), FsError> {
        let config = VolumeConfig {
            boundaries: true,
            ..self.config.clone()
        };
        let control = &self.volume.control;
        let temporary = format!("{CONFIG}.new");
        remove_if_there(control, &temporary)?;
        let text = config.encode(&self.keys.config);
        write_new(control, &temporary, text.as_bytes())?;
        let (from, to) = (control.as_fd(), control.as_fd());
        sys::rename(from, &temporary, to, CONFIG, RenameFlags::empty())?;
        Ok(sys::sync_directory(control)?)
    }
}

/// Refuses to move what crosses a boundary, or is one.
pub(super) fn refuse_boundary(
    one: &Place<'_>,
    other: &Place<'_>,
    is_directory: bool,
) -> Result<(), FsError> {
    let directory = |place: &Place<'_>| place.parent.directory.clone();
    let is_boundary = |place: &Place<'_>| directory(place).is_boundary(place.name);
    if !directory(one).zone.is(&directory(other).zone)
        || is_directory && (is_boundary(one) || is_boundary(other))
    {
        return Err(Errno::XDEV.into());
    }
    Ok(())
}

/// Refuses a file whose label is not the one of the directory that it is in: it was put there behind
/// the mount's back. `header` need not be authentic: under another label its key is none.
pub(super) fn refuse_other_label(inode: &Inode, header: &Header) -> Result<(), FsError> {
    let is_another = |zone: &Arc<Zone>| zone.label != header.label;
    match inode.zones().into_iter().find(is_another) {
        Some(zone) => Err(Damage::Label {
            header: header.label.clone(),
            directory: zone.label.clone(),
        }
        .into()),
        None => Ok(()),
    }
}

fn remove_if_there(directory: &OwnedFd, name: &str) -> Result<(), FsError> {
    match sys::unlink(directory, name) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
