//! Which mounts follow what changes here, and how far each of them has come.
//!
//! A mount says several times a second up to which epoch it has acted on every change. A change that
//! may take a right away is answered once each mount has, or was not heard of for [`LEASE`].

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

/// How long a change waits for a mount that is not heard of.
const LEASE: Duration = Duration::from_secs(2);
/// How many mounts are waited for: one that lies about its name makes no more work than this.
const MOUNTS_MAX: usize = 4096;

/// The mounts that follow.
#[derive(Default)]
pub(super) struct Leases {
    mounts: Mutex<HashMap<String, Lease>>,
    /// A mount was heard of.
    heard: Condvar,
}

struct Lease {
    enforced: u64,
    until: Instant,
}

impl Leases {
    /// The mount `mount` has acted on every change up to the epoch `enforced`, where `epoch` is the
    /// present one; with `None` it ends. Only one that is up to date is waited for any longer.
    pub(super) fn note(&self, mount: &str, enforced: Option<u64>, epoch: u64) {
        let mut mounts = self.mounts.lock();
        let now = Instant::now();
        match (enforced, mounts.get_mut(mount)) {
            (None, _) => {
                mounts.remove(mount);
            }
            (Some(enforced), Some(lease)) => {
                lease.enforced = enforced;
                if enforced == epoch {
                    lease.until = now + LEASE;
                }
            }
            (Some(enforced), None) => {
                if mounts.len() >= MOUNTS_MAX {
                    mounts.retain(|_, lease| lease.until > now);
                }
                if mounts.len() < MOUNTS_MAX {
                    let until = now + LEASE;
                    mounts.insert(mount.to_owned(), Lease { enforced, until });
                }
            }
        }
        drop(mounts);
        self.heard.notify_all();
    }

    /// Waits until every mount has acted on the changes up to `epoch`, or its lease is over.
    pub(super) fn wait_for(&self, epoch: u64) {
        let mut mounts = self.mounts.lock();
        loop {
            let now = Instant::now();
            mounts.retain(|_, lease| lease.until > now);
            let late = mounts.values().filter(|lease| lease.enforced < epoch);
            let Some(until) = late.map(|lease| lease.until).max() else {
                return;
            };
            self.heard.wait_until(&mut mounts, until);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        thread,
        time::{Duration, Instant},
    };

    use super::{LEASE, Leases};

    #[test]
    fn a_change_waits_for_each_mount_to_act_on_it_and_for_no_longer_than_its_lease() {
        let leases = Arc::new(Leases::default());
        let began = Instant::now();
        leases.wait_for(1);
        leases.note("prompt", Some(1), 1);
        leases.note("gone", Some(1), 1);
        leases.note("gone", None, 1);
        let other = Arc::clone(&leases);
        let acting = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            other.note("prompt", Some(2), 2);
        });
        leases.wait_for(2);
        let waited = began.elapsed();
        assert!((Duration::from_millis(50)..LEASE).contains(&waited));
        acting.join().unwrap();
        leases.note("silent", Some(2), 2);
        let began = Instant::now();
        leases.wait_for(3);
        let waited = began.elapsed();
        assert!((LEASE * 9 / 10..LEASE * 2).contains(&waited));
        // It is heard of again, and still has not acted: nobody waits twice for it.
        leases.wait_for(3);
    }

    #[test]
    fn a_mount_that_asks_without_acting_prolongs_nothing() {
        let leases = Arc::new(Leases::default());
        leases.note("stuck", Some(1), 1);
        let other = Arc::clone(&leases);
        let asking = thread::spawn(move || {
            for _ in 0..15 {
                thread::sleep(Duration::from_millis(200));
                other.note("stuck", Some(1), 2);
            }
        });
        let began = Instant::now();
        leases.wait_for(2);
        assert!(began.elapsed() < LEASE + Duration::from_millis(500));
        asking.join().unwrap();
    }
}
