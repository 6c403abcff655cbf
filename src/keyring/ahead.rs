//! Data keys of files that are yet to be made.
//!
//! A key service in another process takes its time, and unpacking an archive would wait for it once
//! per file. So whoever makes files one after the other has the next ones' keys fetched meanwhile.
//! The key service decides for each of them as for any other; what it let a caller have serves that
//! caller alone, for [`DECISION_LIFETIME`] at most and under the epoch of the answer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::format::VolumeId;
use crate::kms::{Caller, KeyService};

use super::{DECISION_LIFETIME, NewFile};

/// How many keys are fetched at a time.
const FETCHERS: usize = 4;
/// How many are kept for one caller.
const STOCK_MAX: usize = 32;
/// How long a fetcher waits for work before it looks whether the volume is still in use.
const IDLE: Duration = Duration::from_secs(5);

/// The keys fetched ahead.
pub(super) struct Ahead {
    shared: Arc<Shared>,
    /// Whether the fetchers were started: a service that answers at once never needs them.
    started: Mutex<bool>,
}

/// Whom a key is for, by ARN, the ARN of the KMS key that wraps it, and the label.
type Asker = (String, String, Option<String>);

fn asker(caller: &Caller, key_arn: &str, label: Option<&str>) -> Asker {
    let (arn, label) = (caller.principal.arn.clone(), label.map(str::to_owned));
    (arn, key_arn.to_owned(), label)
}

struct Shared {
    service: Arc<dyn KeyService>,
    volume: VolumeId,
    stocks: Mutex<HashMap<Asker, Stock>>,
    wanted: Condvar,
}

struct Stock {
    caller: Caller,
    ready: VecDeque<Ready>,
    /// Being fetched now.
    coming: usize,
    /// Yet to be fetched.
    missing: usize,
    /// When keys were asked for lately: the pace of the next second.
    asked: VecDeque<Instant>,
}

struct Ready {
    new: NewFile,
    epoch: u64,
    since: Instant,
}

impl Ready {
    fn is_good(&self, epoch: u64) -> bool {
        self.epoch == epoch && self.since.elapsed() < DECISION_LIFETIME
    }
}

impl Ahead {
    pub(super) fn new(service: Arc<dyn KeyService>, volume: VolumeId) -> Self {
        Self {
            shared: Arc::new(Shared {
                service,
                volume,
                stocks: Mutex::default(),
                wanted: Condvar::new(),
            }),
            started: Mutex::new(false),
        }
    }

    /// A key that is at hand for `caller`, if there is one. Has as many fetched as the caller asked
    /// for in the last second, this time not counted.
    pub(super) fn take(
        &self,
        caller: &Caller,
        key_arn: &str,
        label: Option<&str>,
        epoch: u64,
    ) -> Option<NewFile> {
        let now = Instant::now();
        let asker = asker(caller, key_arn, label);
        let mut stocks = self.shared.stocks.lock();
        let stock = stocks.entry(asker).or_insert_with(|| Stock {
            caller: caller.clone(),
            ready: VecDeque::new(),
            coming: 0,
            missing: 0,
            asked: VecDeque::new(),
        });
        stock.caller = caller.clone();
        stock
            .asked
            .retain(|when| now.duration_since(*when) < DECISION_LIFETIME);
        let pace = stock.asked.len().min(STOCK_MAX);
        if stock.asked.len() == STOCK_MAX {
            stock.asked.pop_front();
        }
        stock.asked.push_back(now);
        stock.ready.retain(|ready| ready.is_good(epoch));
        let taken = stock.ready.pop_front().map(|ready| ready.new);
        stock.missing = pace.saturating_sub(stock.ready.len() + stock.coming);
        if stock.missing > 0 {
            self.start();
            self.shared.wanted.notify_all();
        }
        taken
    }

    /// Drops what is too old to be used.
    pub(super) fn expire(&self) {
        let mut stocks = self.shared.stocks.lock();
        stocks.retain(|_, stock| {
            stock
                .ready
                .retain(|ready| ready.since.elapsed() < DECISION_LIFETIME);
            stock
                .asked
                .retain(|when| when.elapsed() < DECISION_LIFETIME);
            !stock.ready.is_empty() || stock.coming > 0 || !stock.asked.is_empty()
        });
    }

    /// Drops everything.
    pub(super) fn clear(&self) {
        self.shared.stocks.lock().clear();
    }

    /// How many keys are at hand for `caller`.
    #[cfg(test)]
    pub(super) fn at_hand(&self, caller: &Caller, key_arn: &str) -> usize {
        let asker = asker(caller, key_arn, None);
        let stocks = self.shared.stocks.lock();
        stocks.get(&asker).map_or(0, |stock| stock.ready.len())
    }

    fn start(&self) {
        let mut started = self.started.lock();
        if std::mem::replace(&mut *started, true) {
            return;
        }
        for number in 0..FETCHERS {
            let shared = Arc::downgrade(&self.shared);
            // Never joined: it may be waiting for an answer, and ends when the volume is left.
            let spawned = std::thread::Builder::new()
                .name(format!("kmsfs-ahead-{number}"))
                .spawn(move || fetch(&shared));
            if let Err(error) = spawned {
                tracing::warn!(%error, "data keys are not fetched ahead");
            }
        }
    }
}

fn fetch(shared: &Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        let Some((asker, caller)) = shared.next() else {
            continue;
        };
        let fetched = shared.fetch(&caller, &asker);
        let mut stocks = shared.stocks.lock();
        // The stock is gone if it was cleared meanwhile: nobody may have this key any more.
        if let Some(stock) = stocks.get_mut(&asker) {
            stock.coming = stock.coming.saturating_sub(1);
            match fetched {
                Some(ready) => stock.ready.push_back(ready),
                // Whoever wants the next key hears the reason.
                None => stock.missing = 0,
            }
        }
    }
}

impl Shared {
    /// The next key to fetch; `None` after a while without one.
    fn next(&self) -> Option<(Asker, Caller)> {
        let mut stocks = self.stocks.lock();
        let find = |stocks: &mut HashMap<Asker, Stock>| {
            let (asker, stock) = stocks.iter_mut().find(|(_, stock)| stock.missing > 0)?;
            stock.missing -= 1;
            stock.coming += 1;
            Some((asker.clone(), stock.caller.clone()))
        };
        find(&mut stocks).or_else(|| {
            self.wanted.wait_for(&mut stocks, IDLE);
            find(&mut stocks)
        })
    }

    fn fetch(&self, caller: &Caller, (_, key_arn, label): &Asker) -> Option<Ready> {
        // Asked first: a change after this makes the answer outdated, never the reverse.
        let epoch = self.service.epoch().ok()?;
        let since = Instant::now();
        let new = NewFile::ask_for(
            &*self.service,
            &self.volume,
            caller,
            key_arn,
            label.as_deref(),
        )
        .ok()?;
        Some(Ready { new, epoch, since })
    }
}
