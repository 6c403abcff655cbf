//! The `kmsfs` command line: what it accepts ([`args`], [`mount_options`]), where it finds the
//! home and what opens it ([`home`]), and the exit codes it promises ([`exit`]).

pub mod args;
pub mod exit;
pub mod home;
pub mod mount_options;
