//! Naming callers: from user and group ids to the ARNs that policies speak of.

use std::{
    collections::HashMap,
    ffi::CString,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use parking_lot::Mutex;

use crate::policy::Principal;

/// How long a name is believed before the system is asked again.
const LIFETIME: Duration = Duration::from_mins(1);
/// More callers than this within a minute, and the cache starts anew.
const CAPACITY: usize = 4096;

/// A user id and a primary group id.
type Ids = (u32, u32);

/// The principals of an account, looked up in the system's user database and remembered for a
/// minute.
pub struct Principals {
    account: String,
    known: Mutex<HashMap<Ids, (Instant, Arc<Principal>)>>,
}

impl Principals {
    /// Those of `account`, 12 digits.
    pub fn new(account: &str) -> Self {
        Self {
            account: account.to_owned(),
            known: Mutex::default(),
        }
    }

    /// The principal behind a user id and its primary group id.
    ///
    /// # Errors
    /// When the user database cannot be asked and was not asked before: without its names and groups
    /// no Deny that names them would bind the caller.
    pub fn get(&self, uid: u32, gid: u32) -> io::Result<Arc<Principal>> {
        if let Some(principal) = self.remembered(uid, gid) {
            return Ok(principal);
        }
        let last = self.known.lock().get(&(uid, gid)).cloned();
        // Looked up without the lock: a directory service may take its time.
        let principal = match (self.look_up(uid, gid), last) {
            (Ok(principal), _) => Arc::new(principal),
            // The directory is away: what it said last holds until it is back.
            (Err(_), Some((_, principal))) => return Ok(principal),
            (Err(error), None) => return Err(error),
        };
        let mut known = self.known.lock();
        if known.len() >= CAPACITY {
            known.clear();
        }
        known.insert((uid, gid), (Instant::now(), Arc::clone(&principal)));
        Ok(principal)
    }

    /// The principal, if that needs no question to the system.
    pub(super) fn remembered(&self, uid: u32, gid: u32) -> Option<Arc<Principal>> {
        let known = self.known.lock();
        let (since, principal) = known.get(&(uid, gid))?;
        (since.elapsed() < LIFETIME).then(|| Arc::clone(principal))
    }

    fn look_up(&self, uid: u32, gid: u32) -> io::Result<Principal> {
        // A user without an entry goes by number, and is in no group but the one that the call names.
        let name = User::from_uid(Uid::from_raw(uid))?.map(|user| user.name);
        let groups = match &name {
            Some(name) => getgrouplist(&CString::new(name.as_str())?, Gid::from_raw(gid))?,
            None => vec![Gid::from_raw(gid)],
        };
        let groups = groups
            .into_iter()
            .map(group_name)
            .collect::<io::Result<Vec<_>>>()?;
        Ok(self.assemble(uid, name.as_deref(), groups.into_iter()))
    }

    fn assemble(
        &self,
        uid: u32,
        name: Option<&str>,
        groups: impl Iterator<Item = String>,
    ) -> Principal {
        let account = &self.account;
        let user = name.map_or_else(|| format!("uid-{uid}"), str::to_owned);
        Principal {
            arn: format!("arn:aws:iam::{account}:user/{user}"),
            account: account.clone(),
            also: groups
                .flat_map(|group| {
                    ["role", "group"].map(|kind| format!("arn:aws:iam::{account}:{kind}/{group}"))
                })
                .collect(),
        }
    }
}

/// `principal`, in these groups as well.
pub(super) fn in_groups<'a>(
    principal: &Arc<Principal>,
    groups: impl Iterator<Item = &'a String>,
) -> Arc<Principal> {
    let more: Vec<_> = groups
        .filter(|group| !principal.also.contains(group))
        .cloned()
        .collect();
    if more.is_empty() {
        return Arc::clone(principal);
    }
    let mut principal = Principal::clone(principal);
    principal.also.extend(more);
    Arc::new(principal)
}

fn group_name(gid: Gid) -> io::Result<String> {
    let group = Group::from_gid(gid)?;
    Ok(group.map_or_else(|| format!("gid-{gid}"), |group| group.name))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Principals;

    #[test]
    fn a_user_is_named_and_so_are_the_groups() {
        let root = Principals::new("111122223333").get(0, 0).unwrap();
        assert_eq!(root.arn, "arn:aws:iam::111122223333:user/root");
        assert_eq!(root.account, "111122223333");
        for kind in ["role", "group"] {
            assert!(
                root.also
                    .contains(&format!("arn:aws:iam::111122223333:{kind}/root"))
            );
        }
    }

    #[test]
    fn an_unmapped_user_is_named_by_number() {
        let nobody = Principals::new("111122223333")
            .get(4_100_200_300, 4_100_200_301)
            .unwrap();
        assert_eq!(nobody.arn, "arn:aws:iam::111122223333:user/uid-4100200300");
        let role = "arn:aws:iam::111122223333:role/gid-4100200301";
        assert!(nobody.also.iter().any(|arn| arn == role));
    }

    #[test]
    fn a_name_is_remembered() {
        let principals = Principals::new("111122223333");
        assert!(Arc::ptr_eq(
            &principals.get(0, 0).unwrap(),
            &principals.get(0, 0).unwrap()
        ));
    }
}
