//! kmsfs: a FUSE filesystem that keeps a directory encrypted.
//!
//! Modules import only from lower ranks (`docs/architecture.md`); `tests/layers.rs` enforces it.

pub mod audit;
pub mod crypto;
pub mod format;
#[allow(unsafe_code)] // the one exception: what rustix does not wrap
pub mod sys;
