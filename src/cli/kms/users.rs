//! `kmsfs kms user`, `group` and `mount-user`.

use std::path::Path;

use serde_json::json;

use crate::kms::{
    CreateUserRequest, DeleteAccessKeyRequest, Empty, GroupMemberRequest, MountUserRequest,
    PutGroupPolicyRequest, PutUserPolicyRequest, UserEntry, UserRef,
};

use super::super::args::kms::{
    GroupCommand, MountUserCommand, UserCommand, UserCreateArgs, UserKeyCommand, UserName,
};
use super::super::connect::{Access, Opened};
use super::super::error::CliError;
use super::super::{output, policy};

impl From<UserName> for UserRef {
    fn from(user: UserName) -> Self {
        Self {
            user_name: user.name,
            account: user.foreign_account,
        }
    }
}

fn identity_policy(file: Option<&Path>) -> Result<Option<String>, CliError> {
    file.map(policy::read_identity).transpose()
}

pub(super) fn run(access: &Access, command: UserCommand) -> Result<(), CliError> {
    match command {
        UserCommand::Create(arguments) => create(access, arguments)?,
        UserCommand::List(output) => {
            let users = users(&access.open()?)?;
            if output.json {
                output::json(&json!({ "Users": users }));
            } else {
                list(users);
            }
        }
        UserCommand::Delete(user) => {
            let opened = access.open()?;
            let administration = opened.home.administration()?;
            administration.delete_user(&opened.caller(), &user.into())?;
        }
        UserCommand::Policy(arguments) => {
            let request = PutUserPolicyRequest {
                admin: arguments.admin,
                policy: identity_policy(arguments.policy.as_deref())?,
                user: arguments.user.into(),
            };
            let opened = access.open()?;
            let administration = opened.home.administration()?;
            administration.put_user_policy(&opened.caller(), &request)?;
        }
        UserCommand::Key(command) => key(&access.open()?, command)?,
    }
    Ok(())
}

fn create(access: &Access, arguments: UserCreateArgs) -> Result<(), CliError> {
    let request = CreateUserRequest {
        admin: arguments.policy.admin,
        policy: identity_policy(arguments.policy.policy.as_deref())?,
        groups: arguments.group,
        mount: arguments.mount,
        user: arguments.user.into(),
    };
    let opened = access.open_or_create_in(arguments.account.as_deref())?;
    let administration = opened.home.administration()?;
    output::json(&administration.create_user(&opened.caller(), &request)?);
    Ok(())
}

fn key(opened: &Opened, command: UserKeyCommand) -> Result<(), CliError> {
    let administration = opened.home.administration()?;
    let caller = opened.caller();
    match command {
        UserKeyCommand::Create(user) => {
            output::json(&administration.create_access_key(&caller, &user.into())?);
        }
        UserKeyCommand::List(user) => {
            let account = user.foreign_account.as_deref();
            let account = account.unwrap_or(opened.home.account());
            let arn = format!("arn:aws:iam::{account}:user/{}", user.name);
            let found = users(opened)?.into_iter().find(|other| other.arn == arn);
            let found = found.ok_or_else(|| CliError::Failed(format!("there is no user {arn}")))?;
            output::json(&json!({ "AccessKeys": found.access_keys }));
        }
        UserKeyCommand::Revoke { id } => {
            let request = DeleteAccessKeyRequest { access_key_id: id };
            administration.delete_access_key(&caller, &request)?;
        }
    }
    Ok(())
}

fn users(opened: &Opened) -> Result<Vec<UserEntry>, CliError> {
    let administration = opened.home.administration()?;
    Ok(administration
        .list_users(&opened.caller(), &Empty {})?
        .users)
}

fn list(users: Vec<UserEntry>) {
    let rows = users.into_iter().map(|user| {
        let keys = user.access_keys.into_iter().map(|key| key.access_key_id);
        vec![
            user.arn,
            user.policies.join(" "),
            short(&user.groups).join(" "),
            keys.collect::<Vec<_>>().join(" "),
            if user.mount { "mount" } else { "" }.to_owned(),
        ]
    });
    output::table(&["ARN", "POLICIES", "GROUPS", "ACCESS KEYS", ""], rows);
}

/// The names in ARNs.
fn short(arns: &[String]) -> Vec<&str> {
    let name = |arn: &'_ String| -> usize { arn.rfind('/').map_or(0, |at| at + 1) };
    arns.iter().map(|arn| &arn[name(arn)..]).collect()
}

pub(super) fn group(access: &Access, command: GroupCommand) -> Result<(), CliError> {
    let member = |group, user: UserName| GroupMemberRequest {
        group_name: group,
        user: user.into(),
    };
    match command {
        GroupCommand::Policy { group, policy } => {
            let request = PutGroupPolicyRequest {
                group_name: group,
                policy: identity_policy(policy.as_deref())?,
            };
            let opened = access.open()?;
            let administration = opened.home.administration()?;
            administration.put_group_policy(&opened.caller(), &request)?;
        }
        GroupCommand::Add { group, user } => {
            let opened = access.open()?;
            let administration = opened.home.administration()?;
            administration.add_user_to_group(&opened.caller(), &member(group, user))?;
        }
        GroupCommand::Remove { group, user } => {
            let opened = access.open()?;
            let administration = opened.home.administration()?;
            administration.remove_user_from_group(&opened.caller(), &member(group, user))?;
        }
        GroupCommand::List(output) => {
            let opened = access.open()?;
            let administration = opened.home.administration()?;
            let listed = administration.list_groups(&opened.caller(), &Empty {})?;
            if output.json {
                output::json(&listed);
                return Ok(());
            }
            let rows = listed.groups.into_iter().map(|group| {
                let policy = if group.has_policy { "yes" } else { "no" };
                let members = short(&group.members).join(" ");
                vec![group.arn, policy.to_owned(), members]
            });
            output::table(&["ARN", "POLICY", "MEMBERS"], rows);
        }
    }
    Ok(())
}

pub(super) fn mount_user(access: &Access, command: MountUserCommand) -> Result<(), CliError> {
    let opened = access.open()?;
    let administration = opened.home.administration()?;
    let caller = opened.caller();
    match command {
        MountUserCommand::Add { user } => {
            let uid = super::serve::user_id(&user)?;
            administration.register_mount_user(&caller, &MountUserRequest { uid })?;
        }
        MountUserCommand::Remove { user } => {
            let uid = super::serve::user_id(&user)?;
            administration.deregister_mount_user(&caller, &MountUserRequest { uid })?;
        }
        MountUserCommand::List(output) => {
            let listed = administration.list_mount_users(&caller, &Empty {})?;
            if output.json {
                output::json(&listed);
                return Ok(());
            }
            for uid in listed.uids {
                println!("{uid}");
            }
        }
    }
    Ok(())
}
