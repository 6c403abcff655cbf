//! What the key service does on its own when its time has come: deleting keys, erasing imported
//! material, rotating keys, and noting when they were last used.

use std::sync::{Arc, Weak, mpsc};
use std::{thread, time::Duration};

use super::{Change, Embedded, rotations, trail::Trail};
use crate::{
    audit::Value,
    kms::{
        HomeError, KmsError,
        api::{KeyState, RotationType, Timestamp},
        key::{Deletion, Key, LastUse, RotationSchedule},
        name::Place,
        state::Write,
    },
};

/// How often what is due is looked for.
const INTERVAL: Duration = Duration::from_secs(15);

/// The thread that does what is due. Dropped, it ends.
pub(in crate::kms) struct Scheduler {
    /// Closed to end the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Scheduler {
    pub(in crate::kms) fn start(service: &Arc<Embedded>) -> Result<Self, HomeError> {
        let (stop, stopped) = mpsc::channel();
        let path = service.home.path.clone();
        let service = Arc::downgrade(service);
        let thread = thread::Builder::new()
            .name("kms-scheduler".to_owned())
            .spawn(move || {
                while let Some(service) = Weak::upgrade(&service) {
                    service.do_what_is_due();
                    drop(service);
                    // Anything but silence means that the scheduler was dropped.
                    if stopped.recv_timeout(INTERVAL) != Err(mpsc::RecvTimeoutError::Timeout) {
                        break;
                    }
                }
            })
            .map_err(HomeError::io("start a thread for", &path))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the key service's scheduler panicked");
        }
    }
}

impl Embedded {
    /// Deletes, erases and rotates what is due. What fails is tried again next time.
    pub(super) fn do_what_is_due(&self) {
        let now = self.now();
        let due: Vec<Arc<Key>> = {
            let state = self.state.read();
            let due = state.keys().filter(|key| {
                is_to_be_deleted(key, now)
                    || key.has_expired_material(now)
                    || rotations::is_due(key, now)
            });
            due.cloned().collect()
        };
        for key in due {
            let done = if is_to_be_deleted(&key, now) {
                self.delete_key(&key, now)
            } else if key.has_expired_material(now) {
                self.erase_expired(&key, now)
            } else {
                self.rotate_on_schedule(&key, now)
            };
            if let Err(error) = done {
                tracing::error!(%error, key = key.arn, "what is due for a key could not be done");
            }
        }
        self.save_uses();
    }

    fn delete_key(&self, key: &Key, now: Timestamp) -> Result<(), KmsError> {
        let store = self.changing();
        // It may have been kept in the meantime.
        let current = self.state.read().key(&key.region, key.id).cloned();
        let Some(key) = current.filter(|key| is_to_be_deleted(key, now)) else {
            return Ok(());
        };
        let mut writes = vec![Write::ForgetKey(key.region.clone(), key.id)];
        let state = self.state.read();
        let mut related = state.related(&key);
        // The last replica's end begins the primary's waiting time.
        if let (Some(primary), None) = (related.next(), related.next())
            && let Some(deletion) = primary
                .deletion
                .filter(|_| primary.state == KeyState::PendingReplicaDeletion)
        {
            writes.push(Write::Key(Arc::new(Key {
                state: KeyState::PendingDeletion,
                deletion: Some(Deletion {
                    date: Some(now.plus_days(deletion.window_days)),
                    ..deletion
                }),
                ..Key::clone(primary)
            })));
        }
        drop(related);
        drop(state);
        let change = Change::write(self, store, writes)?;
        self.run_own("DeleteKey", &key, &[], change)
    }

    fn erase_expired(&self, key: &Key, now: Timestamp) -> Result<(), KmsError> {
        let store = self.changing();
        let current = self.state.read().key(&key.region, key.id).cloned();
        let Some(key) = current.filter(|key| key.has_expired_material(now)) else {
            return Ok(());
        };
        let writes = self.take_materials(&key, |material| material.has_expired(now));
        let change = Change::write(self, store, writes)?;
        self.run_own("DeleteExpiredKeyMaterial", &key, &[], change)
    }

    fn rotate_on_schedule(&self, key: &Key, now: Timestamp) -> Result<(), KmsError> {
        let store = self.changing();
        let current = self.state.read().key(&key.region, key.id).cloned();
        let Some(key) = current.filter(|key| rotations::is_due(key, now)) else {
            return Ok(());
        };
        let rotation = key.rotation.map(|rotation| RotationSchedule {
            next: now.plus_days(rotation.period_days),
            ..rotation
        });
        let scheduled = Key {
            rotation,
            ..Key::clone(&key)
        };
        let writes = self.rotate(&scheduled, RotationType::Automatic)?;
        let change = Change::write(self, store, writes)?;
        let details = [("rotationType", RotationType::Automatic.as_str())];
        self.run_own("RotateKey", &key, &details, change)
    }

    /// Records and commits a change that nobody asked for, as [`Embedded::run`] does for callers.
    pub(super) fn run_own(
        &self,
        name: &'static str,
        key: &Key,
        details: &[(&'static str, &'static str)],
        change: Change<'_>,
    ) -> Result<(), KmsError> {
        let place: Place = self.home.place.at(&key.region);
        let mut trail = Trail::new(
            name,
            &self.own,
            Arc::clone(&self.own.principal),
            std::borrow::Cow::Owned(place),
        )
        .of_service();
        trail.key(&key.arn);
        trail.parameter("keyId", key.id.to_string());
        for (name, value) in details {
            trail.parameter(name, Value::from(*value));
        }
        self.record(&trail, None)?;
        if let Err(error) = change.commit() {
            self.record(&trail, Some(&error))?;
            return Err(error);
        }
        Ok(())
    }

    /// Has the store know when keys were last used, as far as it does not yet.
    pub(super) fn save_uses(&self) {
        let unsaved: Vec<(Arc<Key>, LastUse)> = {
            let state = self.state.read();
            let unsaved = state.keys().filter_map(|key| {
                let last = key.last_use.lock().clone().filter(|last| last.unsaved)?;
                Some((Arc::clone(key), last))
            });
            unsaved.collect()
        };
        if unsaved.is_empty() {
            return;
        }
        if let Err(error) = self.store.lock().save_uses(&unsaved) {
            tracing::error!(%error, "when keys were last used is not saved");
            return;
        }
        for (key, saved) in unsaved {
            // A use that came in the meantime is still to be saved.
            if let Some(last) = &mut *key.last_use.lock()
                && last.event_id == saved.event_id
            {
                last.unsaved = false;
            }
        }
    }
}

fn is_to_be_deleted(key: &Key, now: Timestamp) -> bool {
    let date = key.deletion.and_then(|deletion| deletion.date);
    key.state == KeyState::PendingDeletion && date.is_some_and(|date| date <= now)
}
