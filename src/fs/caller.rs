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
