//! `kmsfs kms`: the key service by itself.

mod serve;
mod users;

use std::path::Path;

use serde_json::json;

use crate::kms::{Backup, Empty};

use super::args::kms::{BackupArgs, KmsArgs, KmsCommand};
use super::connect::{self, Access};
use super::error::CliError;
use super::exit::Exit;
use super::output;

pub(super) fn run(access: &Access, arguments: KmsArgs) -> Result<Exit, CliError> {
    match arguments.command {
        KmsCommand::Serve(arguments) => serve::run(access, arguments)?,
        KmsCommand::User(arguments) => users::run(access, arguments.command)?,
        KmsCommand::Group(arguments) => users::group(access, arguments.command)?,
        KmsCommand::MountUser(arguments) => users::mount_user(access, arguments.command)?,
        KmsCommand::Status(output) => status(access, output.json)?,
        KmsCommand::Unseal => unseal(access)?,
        KmsCommand::Backup(arguments) => backup(access, &arguments)?,
        KmsCommand::Restore(arguments) => restore(access, &arguments.file)?,
    }
    Ok(Exit::Success)
}

fn status(access: &Access, json: bool) -> Result<(), CliError> {
    let opened = access.open()?;
    let administration = opened.home.administration()?;
    let status = administration.service_status(&opened.caller(), &Empty {})?;
    if json {
        output::json(&status);
        return Ok(());
    }
    let sealed = if status.sealed { "sealed" } else { "serving" };
    let here = status.pid == std::process::id();
    let process = if here {
        "none; this command opened the home itself".to_owned()
    } else {
        status.pid.to_string()
    };
    let keys: Vec<String> = status
        .keys
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    output::fields(&[
        ("State", sealed.to_owned()),
        ("Process", process),
        ("Account", status.account),
        ("Region", status.region),
        ("Keys", keys.join(", ")),
        ("Users", status.users.to_string()),
        ("Audit position", status.audit_position.to_string()),
    ]);
    Ok(())
}

fn unseal(access: &Access) -> Result<(), CliError> {
    let path = access.path()?;
    let unlock = connect::unlock(&access.secret(), false)?;
    access.look_with(&unlock)?.unseal_server()?;
    println!("{}: unsealed", path.display());
    Ok(())
}

fn backup(access: &Access, arguments: &BackupArgs) -> Result<(), CliError> {
    let unlock = connect::unlock(&access.secret(), false)?;
    if arguments.check {
        let backup = Backup::read(&arguments.file, &unlock)?;
        output::json(&json!({
            "File": arguments.file,
            "Account": backup.account(),
            "Created": backup.created().to_string(),
            "Keys": backup.keys()?,
        }));
        return Ok(());
    }
    let home = access.look_with(&unlock)?;
    Backup::of(&home)?.write(&arguments.file)?;
    println!(
        "{}: backup of {}",
        arguments.file.display(),
        home.path().display()
    );
    Ok(())
}

fn restore(access: &Access, file: &Path) -> Result<(), CliError> {
    let path = access.path()?;
    let unlock = connect::unlock(&access.secret(), false)?;
    let backup = Backup::read(file, &unlock)?;
    backup.restore(&path)?;
    println!("{}: restored from {}", path.display(), file.display());
    Ok(())
}
