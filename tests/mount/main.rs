//! Tests of real mounts, through the real binary. They need root and `/dev/fuse`, and fail when
//! either is missing. `scripts/test.sh` installs the tools they call.
//!
//! One test binary, so that the library is linked once.

mod audit_cli;
#[path = "../shared/audit_schema.rs"]
mod audit_schema;
mod bad_input;
mod basic_io;
mod boundaries;
mod caller_facts;
mod ciphertext;
mod common;
mod fsck;
mod golden;
mod integrity;
mod key_service;
mod keys_cli;
mod kill;
mod kill_load;
mod metadata;
mod mount_helper;
mod names;
mod operations_table;
mod policy_mount;
mod policy_roles;
mod policy_tools;
mod posix;
mod revocation;
mod strict;
mod tools;
mod unprivileged;
