//! What the process asks of the kernel for itself.

use std::io;
use std::time::Duration;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, geteuid, getrlimit, set_dumpable_behavior, setrlimit,
};
use rustix::time::{ClockId, clock_gettime};

/// Keeps keys out of core dumps and other processes of the same user out of this one's memory.
///
/// # Errors
/// Those of `prctl(2)` and `setrlimit(2)`.
pub fn harden() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?)
}

/// Keeps what this process has in memory, and will have, out of swap. Nothing is brought into memory
/// for it that is not used.
///
/// # Errors
/// Those of `mlockall(2)`; `ENOMEM` where the limit of locked memory is too low for what there is
/// already.
pub fn lock_memory() -> io::Result<()> {
    let Rlimit { current, .. } = getrlimit(Resource::Memlock);
    if current.is_some() && !geteuid().is_root() {
        // With a limit, an allocation beyond it would fail later: worse than a page in swap.
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the memory that may be locked is limited",
        ));
    }
    Ok(mlockall(
        MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT,
    )?)
}

/// How long the system has been running.
pub fn uptime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(
        now.tv_sec.cast_unsigned(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// The uptime at which the process or thread `pid` began, to a hundredth of a second; `None` if it has
/// ended (`proc_pid_stat(5)`, field 22).
pub fn began(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the command's name, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    // USER_HZ is 100 on every architecture that has FUSE and AES in hardware.
    Some(Duration::from_millis(ticks.checked_mul(10)?))
}

/// As whom the process of the thread `pid` was logged in, whatever it became since; `None` if nobody
/// logged in, or that cannot be told.
pub fn login_uid(pid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/loginuid")).ok()?;
    // Not set is -1.
    text.trim().parse().ok().filter(|&uid| uid != u32::MAX)
}

/// Which start of the system this is; empty where that is not to be known.
pub fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Lets the modes of created files be the ones asked for: a caller's umask comes with each request.
pub fn clear_umask() {
    rustix::process::umask(rustix::fs::Mode::empty());
}

/// Raises the soft limit of open files to the hard one, and returns it.
///
/// # Errors
/// Those of `setrlimit(2)`.
pub fn raise_file_limit() -> io::Result<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?;
    Ok(maximum.unwrap_or(u64::MAX))
}

/// How many files this process may have open, by its soft limit.
pub fn file_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many threads serve requests: one a processor, at least two so that one slow request does not
/// stop all others, and at most four, beyond which waking them costs more than they do.
pub fn worker_count() -> usize {
    std::thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(2, 4)
}
