//! The backing filesystem fails at any call of any operation: whoever asked is told, and what is there
//! is what was before or what was asked for.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use rustix::fs::fstat;
use rustix::io::Errno;

use crate::fs::{FileSystem, FsError};
use crate::sys::Allocate;
use crate::sys::seam::{Call, Watch, watch};

use super::operations::{OPERATIONS, Operation, furnish};
use super::snapshot::{Snapshot, is_between, snapshot};
use super::world::{TestVolume, World, errno};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The call fails, and the next ones do not.
    Once(Errno),
    /// The call and all after it fail.
    From(Errno),
    /// All that needs space fails from this call on.
    Full,
    /// The transfer stops half-way, and going on with it fails.
    Short(Errno),
    /// A signal comes in between.
    Interrupted,
}

/// Lets the call number `at` fail.
pub(super) struct Faults {
    fault: Fault,
    at: usize,
    pub(super) calls: usize,
    is_short: bool,
}

impl Faults {
    pub(super) fn new(fault: Fault, at: usize) -> Self {
        Self {
            fault,
            at,
            calls: 0,
            is_short: false,
        }
    }
}

impl Watch for Faults {
    fn before(&mut self, call: &Call<'_>) -> Result<(), Errno> {
        let number = self.calls;
        self.calls += 1;
        let failure = match self.fault {
            Fault::Once(error) if number == self.at => error,
            Fault::From(error) if number >= self.at => error,
            Fault::Full if number >= self.at && takes_space(call) => Errno::NOSPC,
            Fault::Short(error) if number == self.at + 1 && self.is_short => error,
            Fault::Interrupted if number == self.at => Errno::INTR,
            _ => return Ok(()),
        };
        Err(failure)
    }

    fn part(&mut self, len: usize) -> usize {
        if matches!(self.fault, Fault::Short(_)) && self.calls == self.at && len > 1 {
            self.is_short = true;
            return len / 2;
        }
        len
    }
}

fn takes_space(call: &Call<'_>) -> bool {
    match call {
        Call::Write {
            file,
            offset,
            bytes,
        } => {
            let size = fstat(file).unwrap().st_size.unsigned_abs();
            offset + bytes.len() as u64 > size
        }
        Call::Allocate { what, .. } => *what == Allocate::KeepSize,
        Call::SyncData(_) | Call::Make { .. } | Call::Link { .. } | Call::Rename { .. } => true,
        Call::Attributes(what) => *what == "setxattr",
        Call::Look(_)
        | Call::Read
        | Call::Truncate { .. }
        | Call::StartSync(_)
        | Call::SyncDirectory(_)
        | Call::SyncFilesystem
        | Call::Remove { .. } => false,
    }
}

/// Which calls an operation makes, and whether a fault can come of each.
struct Calls {
    fault: Fault,
    can_fail: Vec<bool>,
}

impl Watch for Calls {
    fn before(&mut self, call: &Call<'_>) -> Result<(), Errno> {
        self.can_fail.push(match self.fault {
            Fault::Once(_) | Fault::From(_) | Fault::Interrupted => true,
            Fault::Full => takes_space(call),
            Fault::Short(_) => matches!(call, Call::Read | Call::Write { .. }),
        });
        Ok(())
    }
}

/// The volume before and after the operation without any fault, and where one can come.
fn expected(world: &World, operation: &Operation, fault: Fault) -> (Snapshot, Snapshot, Vec<bool>) {
    let volume = world.volume(operation.name);
    let fs = volume.mount();
    furnish(&fs);
    let before = snapshot(&fs);
    let prepared = (operation.prepare)(&fs);
    let calls = Rc::new(RefCell::new(Calls {
        fault,
        can_fail: Vec::new(),
    }));
    watch(calls.clone(), || (operation.act)(&fs, prepared))
        .unwrap_or_else(|error| panic!("{}: {error}", operation.name));
    fs.unmount().unwrap();
    let fs = volume.mount();
    let after = snapshot(&fs);
    fs.unmount().unwrap();
    volume.remove();
    let can_fail = calls.borrow().can_fail.clone();
    (before, after, can_fail)
}

fn check(
    volume: &TestVolume<'_>,
    fs: FileSystem,
    (before, after): (&Snapshot, &Snapshot),
    fault: Fault,
    result: &Result<(), FsError>,
    context: &str,
) {
    let is_lasting = matches!(fault, Fault::From(_));
    if fault == Fault::Interrupted {
        assert!(result.is_ok(), "{context}: {result:?}");
        fs.unmount().unwrap();
        return;
    }
    let live = snapshot(&fs);
    let left = fs.unmount();
    let is_clean = !volume.is_unclean();
    let fs = volume.mount();
    while fs.needs_sweep() {
        fs.sweep(|| true).unwrap();
    }
    let found = snapshot(&fs);
    match result {
        Ok(()) => assert_eq!(found, *after, "{context}: said to have been done"),
        Err(error) => {
            let injected = match fault {
                Fault::Once(error) | Fault::From(error) | Fault::Short(error) => error,
                Fault::Full => Errno::NOSPC,
                Fault::Interrupted => unreachable!(),
            };
            let told = errno(error);
            assert!(
                told == injected || told == Errno::IO,
                "{context}: {told} is not what happened"
            );
            let wrong = is_between(before, after, &found, is_lasting);
            assert_eq!(wrong, None, "{context}: {error}");
        }
    }
    if is_clean {
        assert_eq!(
            live, found,
            "{context}: the end was clean, and it is not as it was"
        );
        assert!(left.is_ok(), "{context}");
    }
    if !is_lasting {
        let damage = volume.records("IntegrityFailure");
        assert!(damage.is_empty(), "{context}: {damage:?}");
    }
    fs.unmount().unwrap();
    assert!(!volume.is_unclean(), "{context}: a second mount is clean");
    let fs = volume.mount();
    assert_eq!(
        snapshot(&fs),
        found,
        "{context}: the second mount is as the first"
    );
    fs.unmount().unwrap();
}

fn every_call_fails(fault: Fault) {
    let world = World::new();
    // All that is wrong is shown, not only the first.
    let (mut tried, mut failed) = (0, 0);
    for operation in OPERATIONS {
        let (before, after, can_fail) = expected(&world, operation, fault);
        assert!(!can_fail.is_empty(), "{} makes no call", operation.name);
        for (at, _) in can_fail
            .iter()
            .enumerate()
            .filter(|(_, can_fail)| **can_fail)
        {
            let context = format!("{} with {fault:?} at call {at}", operation.name);
            let volume = world.volume(&context);
            let fs = volume.mount();
            furnish(&fs);
            let prepared = (operation.prepare)(&fs);
            let faults = Faults::new(fault, at);
            let result = watch(Rc::new(RefCell::new(faults)), || {
                (operation.act)(&fs, prepared)
            });
            let checked = catch_unwind(AssertUnwindSafe(|| {
                check(&volume, fs, (&before, &after), fault, &result, &context);
            }));
            tried += 1;
            failed += usize::from(checked.is_err());
            volume.remove();
        }
    }
    assert_eq!(failed, 0, "of {tried} states are wrong");
}

#[test]
fn a_call_that_fails_once_leaves_the_old_state_or_the_new_one() {
    every_call_fails(Fault::Once(Errno::IO));
}

#[test]
fn a_disk_that_is_full_from_any_call_on_leaves_the_old_state_or_the_new_one() {
    every_call_fails(Fault::Full);
}

#[test]
fn a_disk_that_fails_from_any_call_on_leaves_the_old_state_or_the_new_one() {
    every_call_fails(Fault::From(Errno::IO));
}

#[test]
fn a_quota_that_cuts_a_transfer_short_leaves_the_old_state_or_the_new_one() {
    every_call_fails(Fault::Short(Errno::DQUOT));
}

#[test]
fn a_signal_at_any_call_is_not_noticed() {
    every_call_fails(Fault::Interrupted);
}
