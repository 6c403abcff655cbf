//! Creating files that belong to somebody else.
//!
//! The kernel has checked the caller's permissions before a request reaches a FUSE daemon, with
//! groups that the daemon does not know. So only ownership comes from the caller: the thread takes the
//! caller's fsuid and fsgid, and keeps its capabilities (`setfsuid(2)` drops the file ones).

use std::io;
use std::marker::PhantomData;
use std::sync::OnceLock;

use rustix::process::{getegid, geteuid};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// The user and group that a new file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The owner.
    pub uid: u32,
    /// The group, where the directory does not hand down its own.
    pub gid: u32,
}

/// For whom this process works, if [`act_for`] was called.
static ACTING_FOR: OnceLock<Identity> = OnceLock::new();

/// Whether this process may create files for others: as root it may.
pub fn impersonates() -> bool {
    geteuid().is_root()
}

/// Whose the files are that this process creates for itself.
pub fn own_identity() -> Identity {
    let effective = || Identity {
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
    };
    ACTING_FOR.get().copied().unwrap_or_else(effective)
}

/// Lets root work in the place of somebody else, so that what it creates can be used by them: this
/// thread, and those it starts from now on. Nothing for anyone but root.
///
/// # Errors
/// When the thread's capabilities cannot be read or kept.
pub fn act_for(identity: Identity) -> io::Result<()> {
    if !impersonates() || identity == own_identity() {
        return Ok(());
    }
    let kept = capabilities(None)?;
    become_identity(identity, kept)?;
    // A second call with another identity keeps the first: one process works for one home.
    let _ = ACTING_FOR.set(identity);
    Ok(())
}

/// Gives up the right to exceed quotas and to use space reserved for root (`CAP_SYS_RESOURCE`): this
/// thread, and those it starts from now on. A file's owner is then limited as on a local filesystem,
/// whoever the process works as.
///
/// # Errors
/// When the thread's capabilities cannot be read or set.
pub fn obey_quotas() -> io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.effective.remove(CapabilitySet::SYS_RESOURCE);
    Ok(set_capabilities(None, sets)?)
}

/// While it lives, the thread creates files as someone else. Not `Send`: it is about this thread.
#[must_use]
pub struct Impersonated {
    kept: CapabilitySets,
    _thread: PhantomData<*const ()>,
}

/// Lets this thread create files as `identity`; `None` when that is who it is, or it may not.
///
/// # Errors
/// When the thread's capabilities cannot be read or kept.
pub fn impersonate(identity: Identity) -> io::Result<Option<Impersonated>> {
    if identity == own_identity() || !impersonates() {
        return Ok(None);
    }
    let kept = capabilities(None)?;
    let guard = Impersonated {
        kept,
        _thread: PhantomData,
    };
    become_identity(identity, kept)?;
    Ok(Some(guard))
}

impl Drop for Impersonated {
    fn drop(&mut self) {
        if let Err(error) = become_identity(own_identity(), self.kept) {
            // Without its capabilities the thread is refused by the backing filesystem, which is safe.
            tracing::error!(%error, "a thread's capabilities could not be restored");
        }
    }
}

fn become_identity(identity: Identity, capabilities: CapabilitySets) -> io::Result<()> {
    // SAFETY: both calls take a number, touch no memory, and act on the calling thread only.
    unsafe {
        libc::setfsgid(identity.gid);
        libc::setfsuid(identity.uid);
    }
    Ok(set_capabilities(None, capabilities)?)
}
