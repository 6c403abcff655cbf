//! Who asks.

use std::sync::Arc;

use crate::kms;
use crate::policy::Principal;
use crate::sys;

/// The process behind a request, as the kernel names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Filesystem user id.
    pub uid: u32,
    /// Filesystem group id.
    pub gid: u32,
    /// The thread's id. `/proc/<id>` has its process, as long as the request is unanswered.
    pub pid: u32,
}

impl Caller {
    /// All groups of the calling process; the request names only the first.
    pub(super) fn groups(self) -> Option<Vec<u32>> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let groups = status
            .lines()
            .find_map(|line| line.strip_prefix("Groups:"))?
            .split_whitespace()
            .filter_map(|gid| gid.parse().ok());
        Some(groups.chain([self.gid]).collect())
    }

    /// Whether this caller keeps the set-group-id bit of a file of group `gid` that it changes, as
    /// `CAP_FSETID` and membership let it (`in_group_or_capable` of the kernel).
    pub(super) fn may_keep_set_group_id(self, gid: u32) -> bool {
        self.uid == 0
            || self.gid == gid
            || self.groups().is_some_and(|groups| groups.contains(&gid))
    }
}

/// A caller with the name by which policies know it.
pub(super) struct Who {
    pub(super) caller: Caller,
    pub(super) principal: Arc<Principal>,
    /// Joins what this operation records here with what it makes the key service record.
    pub(super) shared_event: String,
}

impl Who {
    /// Whom what this caller creates belongs to.
    pub(super) fn identity(&self) -> sys::Identity {
        sys::Identity {
            uid: self.caller.uid,
            gid: self.caller.gid,
        }
    }

    /// The caller as the key service sees it: this mount asks on its behalf.
    pub(super) fn for_key_service(&self) -> kms::Caller {
        kms::Caller {
            uid: Some(self.caller.uid),
            via_kmsfs: true,
            shared_event_id: Some(self.shared_event.clone()),
            pid: Some(self.caller.pid),
            ..kms::Caller::new(self.principal.clone())
        }
    }
}
