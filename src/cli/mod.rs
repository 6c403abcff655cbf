//! The `kmsfs` command line: what it accepts ([`args`], [`mount_options`]), where it finds the
//! home and what opens it ([`home`]), and the exit codes it promises ([`exit`]). Each command has a
//! file of its own.

pub mod args;
mod audit;
mod connect;
mod daemon;
mod error;
pub mod exit;
mod fsck;
pub mod home;
mod init;
mod inspect;
mod key;
mod kms;
mod mount;
pub mod mount_options;
mod output;
mod policy;
mod running;
mod set_key;
mod status;
mod umount;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{ExitCode, Termination as _};

use crate::sys;

use args::mount::Invocation;
use args::{Cli, Command};
use connect::Access;
use error::CliError;
use exit::Exit;

/// Runs the command that the process's arguments ask for.
pub fn run() -> ExitCode {
    output::be_quiet_about_a_closed_pipe();
    let invocation = match Invocation::try_parse_from(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(error) => {
            let _ = error.print();
            return match u8::try_from(error.exit_code()) {
                Ok(0) => ExitCode::SUCCESS,
                // fsck(8) has codes of its own.
                _ if args::names_fsck(std::env::args_os()) => ExitCode::from(fsck::USAGE),
                code => ExitCode::from(code.unwrap_or(Exit::Usage as u8)),
            };
        }
    };
    if let Err(error) = sys::harden() {
        eprintln!("kmsfs: warning: keys could end up in a core dump: {error}");
    }
    let by_mount = matches!(invocation, Invocation::Helper(_));
    let result = catch_unwind(AssertUnwindSafe(|| dispatch(invocation)));
    let result = result.unwrap_or_else(|panic| {
        if output::is_closed_pipe(&*panic) {
            Ok(ExitCode::SUCCESS)
        } else {
            resume_unwind(panic)
        }
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            // The background process has spoken for itself.
            if !matches!(error, CliError::Background(_)) {
                eprintln!("kmsfs: {error}");
            }
            // mount(8) has codes of its own: 32 is "mount failure", 1 "incorrect invocation".
            match error.exit() {
                Exit::Usage if by_mount => ExitCode::from(1),
                _ if by_mount => ExitCode::from(32),
                exit => exit.report(),
            }
        }
    }
}

fn dispatch(invocation: Invocation) -> Result<ExitCode, CliError> {
    let Cli { home, command } = match invocation {
        Invocation::Command(cli) => cli,
        Invocation::Helper(helper) if helper.fake => return Ok(ExitCode::SUCCESS),
        Invocation::Helper(helper) => return mount::run(&helper.request()?).map(Exit::report),
    };
    let access = Access::new(home.clone());
    let exit = match command {
        Command::Fsck(arguments) => return Ok(fsck::run(&access, &arguments)),
        Command::Init(arguments) => init::run(&access, &arguments),
        Command::Mount(arguments) => mount::run(&arguments.request(home)?),
        Command::Umount(arguments) => umount::run(&access, &arguments),
        Command::Status(arguments) => status::run(&access, &arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::SetKey(arguments) => set_key::run(&arguments),
        Command::Kms(arguments) => kms::run(&access, arguments),
        Command::Key(arguments) => key::run(&access, arguments),
        Command::Policy(arguments) => policy::run(&access, arguments),
        Command::Audit(arguments) => audit::run(&access, arguments),
    };
    exit.map(Exit::report)
}
