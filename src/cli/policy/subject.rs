//! Whoever is asked about.

use std::ffi::CString;
use std::io;
use std::sync::Arc;

use nix::unistd::{Uid, User, getgrouplist};

use crate::kms::Principals;
use crate::policy::Principal;

use super::super::error::CliError;

/// A user as the engine sees one, whether or not this machine has them.
#[derive(Clone)]
pub(super) struct Subject {
    /// As it is shown.
    pub(super) name: String,
    pub(super) principal: Arc<Principal>,
    pub(super) uid: Option<u32>,
    /// All their groups, by number.
    pub(super) gids: Vec<u32>,
}

impl Subject {
    /// The user of `account` that `text` names: by number, by name or by ARN. A user whom this machine
    /// does not have is in no group.
    pub(super) fn named(text: &str, account: &str) -> Result<Self, CliError> {
        if text.starts_with("arn:") {
            return Self::of_arn(text);
        }
        let database = || CliError::io("the user database");
        let number: Option<u32> = text.parse().ok();
        let user = match number {
            Some(uid) => User::from_uid(Uid::from_raw(uid)),
            None => User::from_name(text),
        };
        let user = user.map_err(io::Error::from).map_err(database())?;
        let (uid, gid) = match (&user, number) {
            (Some(user), _) => (user.uid.as_raw(), user.gid.as_raw()),
            (None, Some(uid)) => (uid, uid),
            (None, None) => return Ok(Self::unknown(text, account)),
        };
        let principals = Principals::new(account);
        let principal = principals.get(uid, gid).map_err(database())?;
        let gids = match &user {
            Some(user) => {
                let name = CString::new(user.name.as_str()).map_err(io::Error::from);
                let name = name.map_err(database())?;
                let groups = getgrouplist(&name, user.gid).map_err(io::Error::from);
                let groups = groups.map_err(database())?;
                groups.into_iter().map(nix::unistd::Gid::as_raw).collect()
            }
            None => vec![gid],
        };
        Ok(Self {
            name: user.map_or_else(|| text.to_owned(), |user| user.name),
            principal,
            uid: Some(uid),
            gids,
        })
    }

    /// The user with this ARN: with a number and groups if it is one of this machine.
    pub(super) fn of_arn(arn: &str) -> Result<Self, CliError> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let [_, _, "iam", _, account, resource] = parts[..] else {
            return Err(CliError::Usage(format!(
                "{arn:?} is not the ARN of a user: arn:aws:iam::<account>:user/<name>"
            )));
        };
        match resource.split_once('/') {
            Some(("user", name)) => {
                let named = match name.strip_prefix("uid-") {
                    Some(uid) if uid.parse::<u32>().is_ok() => Self::named(uid, account)?,
                    _ => Self::named(name, account)?,
                };
                // A path in the ARN, or a number for a name: then it is somebody else.
                if named.principal.arn == arn {
                    return Ok(named);
                }
                Ok(Self::unknown(name, account))
            }
            Some(("group" | "role", name)) => {
                Ok(Self::unknown(&format!("a member of {name}"), account)
                    .in_groups(&[name.to_owned()]))
            }
            _ => Err(CliError::Usage(format!("{arn:?} names no user or group"))),
        }
    }

    /// Somebody whom no policy names.
    pub(super) fn anyone_else(account: &str) -> Self {
        Self::unknown("anyone else", account)
    }

    fn unknown(name: &str, account: &str) -> Self {
        Self {
            name: name.to_owned(),
            principal: Arc::new(Principal {
                arn: format!("arn:aws:iam::{account}:user/{name}"),
                account: account.to_owned(),
                also: Vec::new(),
            }),
            uid: None,
            gids: Vec::new(),
        }
    }

    /// The same user, in these groups as well.
    pub(super) fn in_groups(mut self, groups: &[String]) -> Self {
        let principal = Arc::make_mut(&mut self.principal);
        for group in groups {
            for kind in ["role", "group"] {
                let arn = format!("arn:aws:iam::{}:{kind}/{group}", principal.account);
                if !principal.also.contains(&arn) {
                    principal.also.push(arn);
                }
            }
        }
        self
    }
}
