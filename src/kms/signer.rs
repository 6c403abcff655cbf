//! Vouching for audit logs: the home's signing key, and the heads of the volumes' logs on their way
//! into the key service's own.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use parking_lot::Mutex;

use super::home_file::signing_key;
use crate::{
    audit::{Anchor, Anchored, Head, signed_message},
    crypto::SecretKey,
};

/// The anchor of the key service's own log.
pub(super) struct Signer {
    key: Ed25519KeyPair,
    /// Heads of volumes' logs that no checkpoint of ours carries yet, by log.
    waiting: Mutex<BTreeMap<String, Head>>,
}

impl Signer {
    pub(super) fn new(root: &SecretKey) -> Self {
        Self {
            key: signing_key(root),
            waiting: Mutex::default(),
        }
    }

    pub(super) fn sign(&self, log: &str, seq: u64, hash: &[u8; 32]) -> Vec<u8> {
        self.key
            .sign(&signed_message(log, seq, hash))
            .as_ref()
            .to_vec()
    }

    /// Keeps the head of a volume's log for our next checkpoint. Only the newest of a log counts.
    pub(super) fn remember(&self, log: &str, seq: u64, hash: &[u8; 32]) {
        let head = Head {
            log: log.to_owned(),
            seq,
            hash: *hash,
        };
        self.waiting.lock().insert(log.to_owned(), head);
    }

    /// How many logs' heads wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.lock().len()
    }
}

impl Anchor for Signer {
    /// Called for the key service's own log. One waiting head goes with each answer; with several
    /// volumes they take turns.
    fn anchor(&self, log: &str, seq: u64, hash: &[u8; 32]) -> Result<Anchored, String> {
        let other = self.waiting.lock().pop_first().map(|(_, head)| head);
        Ok(Anchored {
            signature: self.sign(log, seq, hash),
            other,
        })
    }

    fn public_key(&self) -> [u8; 32] {
        self.key
            .public_key()
            .as_ref()
            .try_into()
            .expect("an Ed25519 public key has 32 bytes")
    }
}
