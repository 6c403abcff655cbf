//! `kmsfs key`.

use serde_json::json;

use crate::kms::{
    AliasListEntry, CancelKeyDeletionRequest, CreateAliasRequest, CreateKeyRequest,
    DeleteAliasRequest, DescribeKeyRequest, DisableKeyRequest, EnableKeyRequest, KeyMetadata,
    ListAliasesRequest, ListKeysRequest, RotateKeyOnDemandRequest, ScheduleKeyDeletionRequest,
    UpdateAliasRequest,
};
use crate::policy::canned;

use super::args::key::{AliasCommand, CreateArgs, KeyArgs, KeyCommand, KeyRef};
use super::connect::{Access, Opened};
use super::error::CliError;
use super::exit::Exit;
use super::{output, policy};

pub(super) fn run(access: &Access, arguments: KeyArgs) -> Result<Exit, CliError> {
    match arguments.command {
        KeyCommand::Create(arguments) => create(access, arguments)?,
        KeyCommand::List(output) => list(&access.open()?, output.json)?,
        KeyCommand::Describe(key) => {
            let opened = access.open()?;
            let metadata = opened.describe(&key.key)?;
            show(&opened, &metadata, key.output.json)?;
        }
        KeyCommand::Enable(key) => change(access, &key, |opened, key_id| {
            opened
                .service
                .enable_key(&opened.caller(), &EnableKeyRequest { key_id })?;
            Ok(())
        })?,
        KeyCommand::Disable(key) => change(access, &key, |opened, key_id| {
            opened
                .service
                .disable_key(&opened.caller(), &DisableKeyRequest { key_id })?;
            Ok(())
        })?,
        KeyCommand::Rotate(key) => change(access, &key, |opened, key_id| {
            opened
                .service
                .rotate_key_on_demand(&opened.caller(), &RotateKeyOnDemandRequest { key_id })?;
            Ok(())
        })?,
        KeyCommand::ScheduleDeletion(arguments) => {
            change(access, &arguments.key, |opened, key_id| {
                let request = ScheduleKeyDeletionRequest {
                    key_id,
                    pending_window_in_days: Some(arguments.days),
                };
                let caller = opened.caller();
                opened.service.schedule_key_deletion(&caller, &request)?;
                Ok(())
            })?;
        }
        KeyCommand::CancelDeletion(key) => change(access, &key, |opened, key_id| {
            let request = CancelKeyDeletionRequest { key_id };
            opened
                .service
                .cancel_key_deletion(&opened.caller(), &request)?;
            Ok(())
        })?,
        KeyCommand::Alias(arguments) => alias(&access.open()?, arguments.command)?,
    }
    Ok(Exit::Success)
}

impl Opened {
    fn describe(&self, key: &str) -> Result<KeyMetadata, CliError> {
        let request = DescribeKeyRequest {
            key_id: key.to_owned(),
            ..Default::default()
        };
        Ok(self
            .service
            .describe_key(&self.caller(), &request)?
            .key_metadata)
    }

    /// The id of the key that `key` names. AWS takes no alias where a key is administered; a person
    /// at a terminal may give one.
    pub(super) fn resolve_key(&self, key: &str) -> Result<String, CliError> {
        if key.contains("alias/") {
            Ok(self.describe(key)?.key_id)
        } else {
            Ok(key.to_owned())
        }
    }

    fn aliases(&self) -> Result<Vec<AliasListEntry>, CliError> {
        let mut all = Vec::new();
        let mut request = ListAliasesRequest::default();
        loop {
            let page = self.service.list_aliases(&self.caller(), &request)?;
            all.extend(page.aliases);
            if !page.truncated {
                return Ok(all);
            }
            request.marker = page.next_marker;
        }
    }

    pub(super) fn key_ids(&self) -> Result<Vec<String>, CliError> {
        let mut all = Vec::new();
        let mut request = ListKeysRequest::default();
        loop {
            let page = self.service.list_keys(&self.caller(), &request)?;
            all.extend(page.keys.into_iter().map(|key| key.key_id));
            if !page.truncated {
                return Ok(all);
            }
            request.marker = page.next_marker;
        }
    }
}

fn create(access: &Access, arguments: CreateArgs) -> Result<(), CliError> {
    let given = arguments
        .policy
        .as_deref()
        .map(policy::read_key)
        .transpose()?;
    let opened = access.open_or_create()?;
    let (account, region) = (opened.home.account(), opened.home.region());
    let request = CreateKeyRequest {
        policy: Some(given.unwrap_or_else(|| canned::kmsfs_key_policy(account, region))),
        description: Some(arguments.description),
        ..Default::default()
    };
    let metadata = opened
        .service
        .create_key(&opened.caller(), &request)?
        .key_metadata;
    if let Some(name) = arguments.alias {
        let request = CreateAliasRequest {
            alias_name: full_alias(&name),
            target_key_id: metadata.key_id.clone(),
        };
        opened.service.create_alias(&opened.caller(), &request)?;
    }
    show(&opened, &metadata, arguments.output.json)
}

fn list(opened: &Opened, json: bool) -> Result<(), CliError> {
    let aliases = opened.aliases()?;
    let mut keys = Vec::new();
    for id in opened.key_ids()? {
        keys.push(opened.describe(&id)?);
    }
    if json {
        let keys: Vec<_> = keys.iter().map(|key| with_aliases(key, &aliases)).collect();
        output::json(&json!({ "Keys": keys }));
        return Ok(());
    }
    let rows = keys.into_iter().map(|key| {
        let names = names_of(&key, &aliases).join(" ");
        vec![
            key.key_id,
            format!("{:?}", key.key_state),
            names,
            key.description,
        ]
    });
    output::table(&["KEY ID", "STATE", "ALIASES", "DESCRIPTION"], rows);
    Ok(())
}

fn show(opened: &Opened, metadata: &KeyMetadata, json: bool) -> Result<(), CliError> {
    let aliases = opened.aliases()?;
    if json {
        output::json(&with_aliases(metadata, &aliases));
        return Ok(());
    }
    output::fields(&[
        ("Key id", metadata.key_id.clone()),
        ("ARN", metadata.arn.clone()),
        ("State", format!("{:?}", metadata.key_state)),
        ("Aliases", names_of(metadata, &aliases).join(" ")),
        ("Description", metadata.description.clone()),
        ("Created", metadata.creation_date.to_string()),
    ]);
    Ok(())
}

/// The key's metadata as the API has it, what scripts need most beside it.
fn with_aliases(key: &KeyMetadata, aliases: &[AliasListEntry]) -> serde_json::Value {
    json!({
        "KeyId": key.key_id,
        "KeyArn": key.arn,
        "Arn": key.arn,
        "KeyState": key.key_state,
        "Aliases": names_of(key, aliases),
        "KeyMetadata": key,
    })
}

fn names_of(key: &KeyMetadata, aliases: &[AliasListEntry]) -> Vec<String> {
    let of_key = aliases
        .iter()
        .filter(|alias| alias.target_key_id == key.key_id);
    of_key.map(|alias| alias.alias_name.clone()).collect()
}

fn change(
    access: &Access,
    key: &KeyRef,
    apply: impl FnOnce(&Opened, String) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let opened = access.open()?;
    let id = opened.resolve_key(&key.key)?;
    apply(&opened, id.clone())?;
    let metadata = opened.describe(&id)?;
    if key.output.json {
        return show(&opened, &metadata, true);
    }
    println!("{}: {:?}", metadata.arn, metadata.key_state);
    Ok(())
}

fn alias(opened: &Opened, command: AliasCommand) -> Result<(), CliError> {
    let caller = opened.caller();
    match command {
        AliasCommand::Create(target) => {
            let request = CreateAliasRequest {
                alias_name: full_alias(&target.name),
                target_key_id: opened.resolve_key(&target.key)?,
            };
            opened.service.create_alias(&caller, &request)?;
        }
        AliasCommand::Update(target) => {
            let request = UpdateAliasRequest {
                alias_name: full_alias(&target.name),
                target_key_id: opened.resolve_key(&target.key)?,
            };
            opened.service.update_alias(&caller, &request)?;
        }
        AliasCommand::Delete { name } => {
            let request = DeleteAliasRequest {
                alias_name: full_alias(&name),
            };
            opened.service.delete_alias(&caller, &request)?;
        }
        AliasCommand::List(output) => {
            let aliases = opened.aliases()?;
            if output.json {
                output::json(&json!({ "Aliases": aliases }));
            } else {
                let rows = aliases
                    .into_iter()
                    .map(|alias| vec![alias.alias_name, alias.target_key_id]);
                output::table(&["ALIAS", "KEY ID"], rows);
            }
        }
    }
    Ok(())
}

fn full_alias(name: &str) -> String {
    if name.starts_with("alias/") {
        name.to_owned()
    } else {
        format!("alias/{name}")
    }
}
