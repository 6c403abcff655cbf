//! kmsfs: a FUSE filesystem that keeps a directory encrypted.
//!
//! Modules import only from lower ranks (`docs/architecture.md`); `tests/layers.rs` enforces it.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("kmsfs is for 64-bit Linux");

pub mod audit;
pub mod cli;
pub mod crypto;
pub mod format;
pub mod fs;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod keyring;
pub mod kms;
pub mod mount;
pub mod policy;
#[allow(unsafe_code)] // the one exception: what rustix does not wrap
pub mod sys;
