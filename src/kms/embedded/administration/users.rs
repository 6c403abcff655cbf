//! Users and their access keys.

use std::sync::Arc;

use crate::{
    kms::{
        KmsError,
        administration::{
            AccessKeyEntry, Administrator, CreateUserRequest, DeleteAccessKeyRequest,
            ListUsersResponse, NewAccessKey, PutUserPolicyRequest, UserEntry, UserRef,
        },
        api::{Empty, Timestamp},
        embedded::{Change, Done, Embedded, trail::Trail},
        identities::{AccessKey, User, arn, check_name},
        state::Write,
    },
    policy::{Document, DocumentKind, Principal, canned},
};

/// Access keys per user: two, so that one can be replaced without a gap
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>).
const MAX_KEYS: usize = 2;
/// The name of the policy that `--policy` attaches.
pub(super) const OWN_POLICY: &str = "policy";
/// The name of the policy that `--admin` attaches.
const ADMIN_POLICY: &str = "administrator";

#[allow(
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "every operation's body has the shape that the frame calls"
)]
impl Embedded {
    fn user_arn(&self, user: &UserRef) -> Result<String, KmsError> {
        check_name("userName", &user.user_name)?;
        let account = self.account_of(user)?;
        Ok(arn(account, "user", &user.user_name))
    }

    fn account_of<'a>(&'a self, user: &'a UserRef) -> Result<&'a str, KmsError> {
        let account = user.account.as_ref().unwrap_or(&self.home.place.account);
        if account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(account);
        }
        Err(KmsError::Validation(format!(
            "the account id {account:?} is not 12 digits"
        )))
    }

    pub(super) fn user(&self, user: &UserRef) -> Result<Arc<User>, KmsError> {
        let arn = self.user_arn(user)?;
        let state = self.state.read();
        let found = state.identities.user(&arn).cloned();
        found.ok_or_else(|| KmsError::NotFound(format!("there is no user {arn}")))
    }

    /// A further access key of a user, and what is written for it.
    fn new_key(&self, user: &User) -> (Write, NewAccessKey) {
        let key = AccessKey::generate(user.arn());
        let sealed = key.seal(&self.root);
        let told = NewAccessKey {
            user_name: user.name.clone(),
            arn: user.arn().to_owned(),
            access_key_id: key.id.clone(),
            secret_access_key: key.secret.told(),
        };
        (Write::AccessKey(Arc::new(key), sealed), told)
    }

    pub(super) fn create_user<'a>(
        &'a self,
        administrator: &Administrator,
        trail: &mut Trail<'a>,
        request: &'a CreateUserRequest,
    ) -> Result<Done<'a, NewAccessKey>, KmsError> {
        trail.parameter("userName", &*request.user.user_name);
        trail.parameter("administrator", request.admin);
        trail.parameter("mount", request.mount);
        let own_arn = self.user_arn(&request.user)?;
        let account = self.account_of(&request.user)?;
        if own_arn == self.home.admin.arn && !request.admin {
            return Err(KmsError::Validation(format!(
                "{own_arn} administers this home, whatever policy it has: give another name, or \
                 say so with --admin"
            )));
        }
        let mut groups = Vec::new();
        for group in &request.groups {
            check_name("groupName", group)?;
            groups.push(arn(account, "group", group));
        }
        groups.sort();
        groups.dedup();
        let mut writes = Self::policy_writes(&own_arn, request.admin, request.policy.as_deref())?;
        let store = self.changing();
        if self.state.read().identities.user(&own_arn).is_some() {
            return Err(KmsError::AlreadyExists(format!(
                "the user {own_arn} exists already"
            )));
        }
        let user = User {
            name: request.user.user_name.clone(),
            created: Timestamp::now(),
            mount: request.mount,
            principal: Arc::new(Principal {
                arn: own_arn,
                account: account.to_owned(),
                also: groups,
            }),
        };
        let (key, told) = self.new_key(&user);
        trail.response("accessKeyId", told.access_key_id.clone());
        writes.insert(0, Write::User(Arc::new(user)));
        writes.push(key);
        let change = Change::write(self, store, writes)?;
        Ok(Done::administered(administrator, Some(change), told))
    }

    /// Puts the policies of `--admin` and `--policy` in the place of those that are there.
    pub(super) fn policy_writes(
        principal: &str,
        admin: bool,
        policy: Option<&str>,
    ) -> Result<Vec<Write>, KmsError> {
        let admin = admin.then(canned::administrator_identity_policy);
        Ok(vec![
            policy_write(principal, ADMIN_POLICY, admin.as_deref())?,
            Self::own_policy(principal, policy)?,
        ])
    }

    /// Puts the policy of `--policy` in the place of the one that is there.
    pub(super) fn own_policy(principal: &str, policy: Option<&str>) -> Result<Write, KmsError> {
        policy_write(principal, OWN_POLICY, policy)
    }

    pub(super) fn list_users<'a>(
        &'a self,
        administrator: &Administrator,
        _trail: &mut Trail<'a>,
        _request: &'a Empty,
    ) -> Result<Done<'a, ListUsersResponse>, KmsError> {
        let state = self.state.read();
        let entry = |user: &Arc<User>| UserEntry {
            user_name: user.name.clone(),
            arn: user.arn().to_owned(),
            create_date: user.created,
            mount: user.mount,
            policies: state.identity_policy_names(user.arn()),
            groups: user.principal.also.clone(),
            access_keys: state
                .identities
                .keys_of(user.arn())
                .map(|key| AccessKeyEntry {
                    access_key_id: key.id.clone(),
                    create_date: key.created,
                })
                .collect(),
        };
        let users = state.identities.users().map(entry).collect();
        Ok(Done::administered(
            administrator,
            None,
            ListUsersResponse { users },
        ))
    }

    pub(super) fn delete_user<'a>(
        &'a self,
        administrator: &Administrator,
        trail: &mut Trail<'a>,
        request: &'a UserRef,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.parameter("userName", &*request.user_name);
        let store = self.changing();
        let user = self.user(request)?;
        let mut writes = Self::policy_writes(user.arn(), false, None)?;
        writes.push(Write::ForgetUser(user.arn().to_owned()));
        let change = Change::write(self, store, writes)?;
        Ok(Done::administered(administrator, Some(change), Empty {}))
    }

    pub(super) fn put_user_policy<'a>(
        &'a self,
        administrator: &Administrator,
        trail: &mut Trail<'a>,
        request: &'a PutUserPolicyRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.parameter("userName", &*request.user.user_name);
        trail.parameter("administrator", request.admin);
        let store = self.changing();
        let user = self.user(&request.user)?;
        let writes = Self::policy_writes(user.arn(), request.admin, request.policy.as_deref())?;
        let change = Change::write(self, store, writes)?;
        Ok(Done::administered(administrator, Some(change), Empty {}))
    }

    pub(super) fn create_access_key<'a>(
        &'a self,
        administrator: &Administrator,
        trail: &mut Trail<'a>,
        request: &'a UserRef,
    ) -> Result<Done<'a, NewAccessKey>, KmsError> {
        trail.parameter("userName", &*request.user_name);
        let store = self.changing();
        let user = self.user(request)?;
        let keys = self.state.read().identities.keys_of(user.arn()).count();
        if keys >= MAX_KEYS {
            return Err(KmsError::LimitExceeded(format!(
                "{} has {MAX_KEYS} access keys already: revoke one first",
                user.arn()
            )));
        }
        let (write, told) = self.new_key(&user);
        trail.response("accessKeyId", told.access_key_id.clone());
        let change = Change::write(self, store, vec![write])?;
        Ok(Done::administered(administrator, Some(change), told))
    }

    pub(super) fn delete_access_key<'a>(
        &'a self,
        administrator: &Administrator,
        trail: &mut Trail<'a>,
        request: &'a DeleteAccessKeyRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        let id = &request.access_key_id;
        trail.parameter("accessKeyId", &**id);
        let store = self.changing();
        if self.state.read().identities.key(id).is_none() {
            return Err(KmsError::NotFound(format!("there is no access key {id}")));
        }
        let change = Change::write(self, store, vec![Write::ForgetAccessKey(id.clone())])?;
        Ok(Done::administered(administrator, Some(change), Empty {}))
    }
}

fn policy_write(principal: &str, name: &str, document: Option<&str>) -> Result<Write, KmsError> {
    let (principal, name) = (principal.to_owned(), name.to_owned());
    let Some(text) = document else {
        return Ok(Write::ForgetIdentityPolicy(principal, name));
    };
    let document = Document::parse(DocumentKind::Identity, text)
        .map_err(|refused| KmsError::MalformedPolicy(refused.to_string()))?;
    Ok(Write::IdentityPolicy(principal, name, Arc::new(document)))
}
