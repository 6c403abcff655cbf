//! The durable form of the key service's state.

mod rows;
mod schema;
mod sqlite;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use thiserror::Error;

use super::{
    key::{Key, LastUse},
    state::Write,
};
pub(super) use sqlite::Sqlite;

/// A store that has been loaded, and takes changes. Each is one transaction and durable before
/// [`Store::commit`] answers; a change that is not committed leaves nothing behind, whenever the
/// process ends.
pub(super) trait Store: Send {
    /// Begins a change and writes it; it ends with [`Store::commit`] or [`Store::roll_back`].
    fn begin(&mut self, writes: &[Write]) -> Result<(), StoreError>;

    /// Makes the change durable and answers with the new epoch.
    fn commit(&mut self) -> Result<u64, StoreError>;

    /// Undoes what the change did so far; nothing if there is none.
    fn roll_back(&mut self);

    /// Notes these last uses of keys. No change: the epoch stays.
    fn save_uses(&mut self, uses: &[(Arc<Key>, LastUse)]) -> Result<(), StoreError>;
}

/// The store failed. Nothing of the change remains.
#[derive(Debug, Error)]
#[error("the key store failed: {0}")]
pub(super) struct StoreError(String);

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}
