//! `kmsfs kms serve` from outside: the built program, over loopback, with signatures that AWS's own
//! signing library makes.

mod access;
mod common;
mod hostile;
mod lifecycle;
mod sealed;
mod tls;
