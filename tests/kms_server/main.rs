//! `kmsfs kms serve` from outside: the built program, over loopback, with signatures that AWS's own
//! signing library makes.

mod access;
#[path = "../shared/audit_schema.rs"]
mod audit_schema;
mod common;
mod hostile;
mod lifecycle;
mod sealed;
mod tls;
