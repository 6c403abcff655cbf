//! `kmsfs init`: a volume, its key unless one is given, and its policy.

use std::path::Path;

use serde::Serialize;

use crate::format::VolumeId;
use crate::fs::{NewVolume, volume_arn};
use crate::kms::{CreateAliasRequest, CreateKeyRequest, DescribeKeyRequest, Target, region_of};
use crate::policy::canned;

use super::args::{InitArgs, TreePolicy};
use super::connect::{Access, Opened};
use super::error::CliError;
use super::exit::Exit;
use super::{output, policy};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made<'a> {
    volume_id: String,
    volume_arn: String,
    backing: &'a Path,
    key_arn: String,
    home: &'a Path,
}

pub(super) fn run(access: &Access, arguments: &InitArgs) -> Result<Exit, CliError> {
    // What can be refused is refused before anything is made.
    let given = match &arguments.policy {
        TreePolicy::File(file) => Some(policy::read_tree(file)?),
        TreePolicy::Owner | TreePolicy::Everyone => None,
    };
    NewVolume {
        backing: &arguments.backing,
        key_arn: "",
    }
    .check()?;
    let is_elsewhere = !matches!(arguments.service.kms, None | Some(Target::Embedded));
    match &arguments.key {
        None if is_elsewhere => {
            return Err(CliError::Failed(
                "a key of another key service is made there: name one with --key ARN".to_owned(),
            ));
        }
        Some(key) if !is_elsewhere && !access.has_home()? => {
            return Err(CliError::Failed(format!(
                "the home is new, so there is no key {key}; make one with `kmsfs key create`"
            )));
        }
        _ => {}
    }
    let region = arguments.key.as_deref().and_then(region_of);
    let elsewhere = access.elsewhere(&arguments.service, region)?;
    let mut opened = access.open_or_create()?;
    if let Some(service) = elsewhere {
        opened.service = service;
    }
    let key_arn = match &arguments.key {
        Some(key) if key.contains(":key/") => key.clone(),
        Some(key) => {
            let request = DescribeKeyRequest {
                key_id: key.clone(),
                ..DescribeKeyRequest::default()
            };
            opened
                .service
                .describe_key(&opened.caller(), &request)?
                .key_metadata
                .arn
        }
        None => new_key(&opened, &arguments.backing)?,
    };
    let new = NewVolume {
        backing: &arguments.backing,
        key_arn: &key_arn,
    };
    let home = &opened.home;
    let arn = |volume: &VolumeId| volume_arn(home.region(), home.account(), volume);
    // The policy is there before the volume is: no crash leaves a volume that denies everyone.
    let volume = new.create(&*opened.service, &opened.caller_via_kmsfs(), |volume| {
        let document = match &arguments.policy {
            TreePolicy::Owner => {
                canned::owner_tree_policy(&opened.caller().principal.arn, &arn(volume))
            }
            TreePolicy::Everyone => canned::everyone_tree_policy(&arn(volume), home.account()),
            TreePolicy::File(_) => given.clone().expect("it was read above"),
        };
        policy::install(&home.policy_path(&volume.to_string()), &document)
    })?;
    let volume_arn = arn(&volume);
    if arguments.key.is_none() {
        let alias_name = format!("alias/kmsfs/{volume}");
        let request = CreateAliasRequest {
            alias_name,
            target_key_id: key_arn.clone(),
        };
        opened.service.create_alias(&opened.caller(), &request)?;
    }

    let backing = arguments
        .backing
        .canonicalize()
        .map_err(CliError::io(&arguments.backing))?;
    if arguments.output.json {
        output::json(&Made {
            volume_id: volume.to_string(),
            volume_arn,
            backing: &backing,
            key_arn,
            home: home.path(),
        });
    } else {
        output::fields(&[
            ("Volume", volume.to_string()),
            ("Backing directory", backing.display().to_string()),
            ("KMS key", key_arn),
            ("Home", home.path().display().to_string()),
        ]);
        let kms = match &arguments.service.kms {
            Some(target) if is_elsewhere => format!("--kms {target} "),
            _ => String::new(),
        };
        println!(
            "Mount it with: kmsfs mount {kms}{} MOUNTPOINT",
            arguments.backing.display()
        );
    }
    Ok(Exit::Success)
}

fn new_key(opened: &Opened, backing: &Path) -> Result<String, CliError> {
    let home = &opened.home;
    let request = CreateKeyRequest {
        policy: Some(canned::kmsfs_key_policy(home.account(), home.region())),
        description: Some(format!("kmsfs volume {}", backing.display())),
        ..Default::default()
    };
    Ok(opened
        .service
        .create_key(&opened.caller(), &request)?
        .key_metadata
        .arn)
}
