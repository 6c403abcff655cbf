//! Keys, nonces and ciphers. Everything here is pure: no file, no clock, no network.

pub mod derive;
mod nonce;
pub mod random;
mod secret;
mod siv;
mod xaes;

pub use nonce::{Nonce, NonceSource};
pub use secret::SecretKey;
pub use siv::SivKey;
pub use xaes::{ContentKey, Tag};

/// Bytes that failed to authenticate: altered, from another place, or under another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("authentication failed")]
pub struct Forged;
