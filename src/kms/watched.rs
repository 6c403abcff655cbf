//! A key service as a mount uses it: one that does not answer is not asked again until it does, so
//! that nobody queues up behind it; and it is known for how long it has not.

use std::{
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{Caller, KeyService, KmsError, api, service::with_operations};
use crate::audit::Anchored;

/// How often a silent service is asked whether it is back.
const BACK: Duration = Duration::from_millis(250);

/// A watched key service.
pub struct Watched {
    shared: Arc<Shared>,
}

struct Shared {
    service: Arc<dyn KeyService>,
    /// How long an epoch is believed.
    epoch_lifetime: Duration,
    state: Mutex<State>,
}

struct State {
    /// When it was first asked and did not answer, and what its failure was.
    silent: Option<(Instant, String)>,
    /// When it last answered.
    answered: Instant,
    epoch: Option<(u64, Instant)>,
}

impl Watched {
    /// Watches `service`, in a thread of its own if it is one that may not answer. An epoch that it
    /// told is believed for `epoch_lifetime`, also while it is silent.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn new(service: Arc<dyn KeyService>, epoch_lifetime: Duration) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            service,
            epoch_lifetime,
            state: Mutex::new(State {
                silent: None,
                answered: Instant::now(),
                epoch: None,
            }),
        });
        let weak = Arc::downgrade(&shared);
        // Never joined: it may be waiting for an answer, and ends when nobody holds the service.
        thread::Builder::new()
            .name("kms-watch".to_owned())
            .spawn(move || watch(&weak))?;
        Ok(Self { shared })
    }

    fn ask<R>(
        &self,
        call: impl FnOnce(&dyn KeyService) -> Result<R, KmsError>,
    ) -> Result<R, KmsError> {
        if let Some((_, reason)) = &self.shared.state.lock().silent {
            return Err(KmsError::Unreachable(reason.clone()));
        }
        self.shared.ask(call)
    }
}

impl Shared {
    fn ask<R>(
        &self,
        call: impl FnOnce(&dyn KeyService) -> Result<R, KmsError>,
    ) -> Result<R, KmsError> {
        let asked = Instant::now();
        let answer = call(&*self.service);
        let mut state = self.state.lock();
        if let Err(KmsError::Unreachable(reason)) = &answer {
            // An answer to somebody who asked later says more than this silence.
            if state.silent.is_none() && state.answered < asked {
                tracing::warn!(reason, "the key service is silent");
                state.silent = Some((asked, reason.clone()));
            }
        } else {
            state.answered = state.answered.max(asked);
            if state.silent.take().is_some() {
                tracing::info!("the key service answers again");
            }
        }
        answer
    }

    fn epoch(&self) -> Result<u64, KmsError> {
        // The answer is as old as the question.
        let asked = Instant::now();
        let epoch = self.ask(|service| service.epoch())?;
        self.learned(epoch, asked);
        Ok(epoch)
    }

    /// What an answer to a later question said stays.
    fn learned(&self, epoch: u64, asked: Instant) {
        let known = &mut self.state.lock().epoch;
        if known.is_none_or(|(_, before)| before <= asked) {
            *known = Some((epoch, asked));
        }
    }
}

/// Looks after the service until nobody uses it any more.
fn watch(shared: &Weak<Shared>) {
    loop {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let heartbeat = shared.service.heartbeat();
        let (silent, answered) = {
            let state = shared.state.lock();
            (state.silent.is_some(), state.answered)
        };
        if silent || (shared.service.may_wait() && answered.elapsed() >= heartbeat) {
            // What it answers does not matter here.
            let _ = shared.ask(|service| service.ping());
        }
        drop(shared);
        thread::sleep(BACK);
    }
}

macro_rules! forward_operations {
    (
        {}
        $(
            $(#[$about:meta])*
            $method:ident = $operation:ident($request:ty) -> $response:ty;
        )+
    ) => {
        impl KeyService for Watched {
            $(
                fn $method(&self, caller: &Caller, request: &$request)
                    -> Result<$response, KmsError>
                {
                    self.ask(|service| service.$method(caller, request))
                }
            )+

            fn epoch(&self) -> Result<u64, KmsError> {
                let state = self.shared.state.lock();
                if let Some((epoch, since)) = state.epoch
                    && since.elapsed() < self.shared.epoch_lifetime
                {
                    return Ok(epoch);
                }
                if let Some((_, reason)) = &state.silent {
                    return Err(KmsError::Unreachable(reason.clone()));
                }
                drop(state);
                self.shared.epoch()
            }

            fn follow(&self, mount: &str, enforced: Option<u64>) -> Result<u64, KmsError> {
                let asked = Instant::now();
                let epoch = self.ask(|service| service.follow(mount, enforced))?;
                self.shared.learned(epoch, asked);
                Ok(epoch)
            }

            fn audit_anchor(&self, log: &str, seq: u64, hash: &[u8; 32])
                -> Result<Anchored, KmsError>
            {
                self.ask(|service| service.audit_anchor(log, seq, hash))
            }

            fn may_wait(&self) -> bool {
                self.shared.service.may_wait()
            }

            fn heartbeat(&self) -> Duration {
                self.shared.service.heartbeat()
            }

            fn ping(&self) -> Result<(), KmsError> {
                self.shared.service.ping()
            }

            fn silent_for(&self) -> Option<Duration> {
                let state = self.shared.state.lock();
                state.silent.as_ref().map(|(since, _)| since.elapsed())
            }
        }
    };
}
with_operations!(forward_operations);

#[cfg(test)]
mod tests;
