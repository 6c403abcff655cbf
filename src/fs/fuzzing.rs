//! Fuzz target for what a killed process left in memory.

use super::journal::Pending;

/// A slot of the journal.
pub fn journal_slot(data: &[u8]) {
    if let Some(pending) = Pending::read(data) {
        assert!(
            data.starts_with(&1_u64.to_le_bytes()),
            "only a marked slot is pending"
        );
        assert!(data.ends_with(&pending.data) || pending.data.len() < data.len());
        assert_eq!(&data[4096..4096 + pending.data.len()], &pending.data[..]);
    }
}
