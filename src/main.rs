//! The `kmsfs` command; `mount.fuse.kmsfs` is the same program by another name.

use std::process::ExitCode;

fn main() -> ExitCode {
    kmsfs::cli::run()
}
