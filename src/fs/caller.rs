//! Who asks.

use std::sync::Arc;
use std::time::Duration;

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

    /// The same for a decision that comes later than `then`, as [`sys::uptime`] told it: without its
    /// process if that has ended, or its number is another's now.
    fn after(self, then: Duration) -> Self {
        let is_there = sys::began(self.pid).is_some_and(|began| began <= then);
        let pid = if is_there { self.pid } else { 0 };
        Self { pid, ..self }
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
    /// The same for a decision that comes later than `then`.
    pub(super) fn after(&self, then: Duration) -> Self {
        Self {
            caller: self.caller.after(then),
            principal: self.principal.clone(),
            shared_event: self.shared_event.clone(),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::Caller;
    use crate::sys;

    #[test]
    fn a_process_that_began_after_the_open_is_not_the_one_that_opened() {
        let of = |pid| Caller {
            uid: 0,
            gid: 0,
            pid,
        };
        let before = sys::uptime();
        let mut other = std::process::Command::new("sleep");
        std::thread::sleep(std::time::Duration::from_millis(30));
        let mut other = other.arg("9").spawn().unwrap();
        assert_eq!(of(other.id()).after(before), of(0));
        assert_eq!(of(std::process::id()).after(before).pid, std::process::id());
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(of(other.id()).after(sys::uptime()), of(0));
    }
}
