//! Creating files that belong to the caller.
//!
//! The kernel has checked the caller's permissions before a request reaches a FUSE daemon, with
//! groups that the daemon does not know. So only ownership comes from the caller: the thread takes the
//! caller's fsuid and fsgid, and keeps its capabilities (`setfsuid(2)` drops the file ones).

use std::io;
use std::marker::PhantomData;

use rustix::thread::{CapabilitySets, capabilities, set_capabilities};

/// The user and group that a new file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The owner.
    pub uid: u32,
    /// The group, where the directory does not hand down its own.
    pub gid: u32,
}

/// Whether this process may create files for others: as root it may.
pub fn impersonates() -> bool {
    rustix::process::geteuid().is_root()
}

/// While it lives, the thread creates files as someone else. Not `Send`: it is about this thread.
#[must_use]
pub struct Impersonated {
    _thread: PhantomData<*const ()>,
}

/// Lets this thread create files as `identity`; `None` when that is who it is, or it may not.
///
/// # Errors
/// When the thread's capabilities cannot be read or kept.
pub fn impersonate(identity: Identity) -> io::Result<Option<Impersonated>> {
    let own = Identity {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    if identity == own || !impersonates() {
        return Ok(None);
    }
    let kept: CapabilitySets = capabilities(None)?;
    set_filesystem_identity(identity);
    let guard = Impersonated {
        _thread: PhantomData,
    };
    set_capabilities(None, kept)?;
    Ok(Some(guard))
}

impl Drop for Impersonated {
    fn drop(&mut self) {
        set_filesystem_identity(Identity {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        });
    }
}

fn set_filesystem_identity(identity: Identity) {
    // SAFETY: both calls take a number, touch no memory, and act on the calling thread only.
    unsafe {
        libc::setfsgid(identity.gid);
        libc::setfsuid(identity.uid);
    }
}
