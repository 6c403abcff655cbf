//! What a log's threads do: keep the disk, the head and the checkpoints up with the records, and see to
//! closed segments.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::log::Shared;
use super::{AuditError, io_error};

/// How long the log's thread waits after an attempt that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Shared {
    /// Starts a thread that sees to closed segments, if there are any and none is at it.
    pub(super) fn start_tidying(self: &Arc<Self>) -> Result<(), AuditError> {
        let mut archivist = self.archivist.lock();
        if !self.files.closed.exists() || archivist.as_ref().is_some_and(|one| !one.is_finished()) {
            return Ok(());
        }
        let shared = Arc::clone(self);
        let tidy = move || {
            if let Err(error) = shared.tidy() {
                tracing::error!(%error, "closed segments of an audit log are left as they are");
            }
        };
        let thread = std::thread::Builder::new().name("audit-archive".to_owned());
        let started = thread.spawn(tidy);
        *archivist = Some(started.map_err(io_error("start a thread for", &self.files.closed))?);
        Ok(())
    }

    /// The log's thread: keeps the disk, the head and the checkpoints at most their time behind.
    pub(super) fn keep_up(self: &Arc<Self>) {
        let mut failing = false;
        while let Some(checkpoint) = self.wait_until_due() {
            match self.act(checkpoint) {
                Ok(()) => failing = false,
                Err(error) => {
                    if !failing {
                        tracing::error!(%error, "audit log behind; trying again every second");
                    }
                    failing = true;
                    let retry = Some(Instant::now() + RETRY_AFTER);
                    let mut writer = self.writer.lock();
                    writer.head_due = retry;
                    writer.checkpoint_due = writer.checkpoint_due.or(retry.filter(|_| checkpoint));
                }
            }
        }
    }

    /// Does what is due, and closes the segment if that is due too.
    fn act(self: &Arc<Self>, checkpoint: bool) -> Result<(), AuditError> {
        if checkpoint {
            self.record_lost()?;
            self.checkpoint()?;
        } else {
            self.publish_head()?;
        }
        if self.rotate_if_due()? {
            self.start_tidying()?;
        }
        Ok(())
    }

    /// Sleeps until something is due: a checkpoint (`true`) or the head (`false`). `None` when the
    /// log is closing.
    fn wait_until_due(&self) -> Option<bool> {
        let mut writer = self.writer.lock();
        while !writer.closing {
            match writer.due() {
                Some(due) if due <= Instant::now() => {
                    return Some(
                        writer
                            .checkpoint_due
                            .is_some_and(|due| due <= Instant::now()),
                    );
                }
                Some(due) => {
                    self.wake.wait_until(&mut writer, due);
                }
                None => self.wake.wait(&mut writer),
            }
        }
        None
    }
}
