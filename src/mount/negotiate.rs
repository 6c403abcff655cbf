//! What is asked of the kernel when the mount begins.

use fuser::{InitFlags, KernelConfig};

/// Requests that the kernel sends ahead of their replies (readahead, write-back).
const MAX_BACKGROUND: u16 = 64;

/// Asks for what this filesystem can. `sees_all` where each read and write is to be seen here.
pub(super) fn negotiate(config: &mut KernelConfig, sees_all: bool) {
    let mut wanted = vec![
        InitFlags::FUSE_ATOMIC_O_TRUNC,
        InitFlags::FUSE_DONT_MASK,
        InitFlags::FUSE_DO_READDIRPLUS,
        InitFlags::FUSE_READDIRPLUS_AUTO,
        InitFlags::FUSE_PARALLEL_DIROPS,
        InitFlags::FUSE_ASYNC_DIO,
        InitFlags::FUSE_HANDLE_KILLPRIV_V2,
        InitFlags::FUSE_POSIX_ACL,
        InitFlags::FUSE_CACHE_SYMLINKS,
        InitFlags::FUSE_EXPORT_SUPPORT,
    ];
    if !sees_all {
        wanted.push(InitFlags::FUSE_WRITEBACK_CACHE);
        // Under write-back nothing is invalidated for it: the kernel heeds the attributes' time before
        // it reads from its cache, and so asks for a handle that may have been revoked.
        wanted.push(InitFlags::FUSE_AUTO_INVAL_DATA);
    }
    for flag in wanted {
        if config.add_capabilities(flag).is_err() {
            tracing::warn!(?flag, "this kernel does not have it");
        }
    }
    // What the kernel offers as the most is what it is told; see `tuning` for more.
    let _ = config.set_max_background(MAX_BACKGROUND);
}
