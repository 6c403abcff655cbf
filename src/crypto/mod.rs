//! Keys, nonces and ciphers. Everything here is pure: no file, no clock, no network.

pub mod random;
mod secret;

pub use secret::SecretKey;
