//! Who caused an event: the caller and its process.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::json;

/// `userIdentity.type`, of those that `CloudTrail` knows
/// (<https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum IdentityKind {
    /// A user of the account.
    #[serde(rename = "IAMUser")]
    IamUser,
    /// The account itself.
    Root,
    /// A role that the caller holds.
    AssumedRole,
    /// A caller of another account.
    #[serde(rename = "AWSAccount")]
    AwsAccount,
    /// kmsfs on its own account.
    #[serde(rename = "AWSService")]
    AwsService,
    /// Nobody could tell.
    Unknown,
}

/// Who caused the event.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity<'a> {
    /// What kind of caller.
    #[serde(rename = "type")]
    pub kind: IdentityKind,
    /// The caller's ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<Cow<'a, str>>,
    /// The caller's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<Cow<'a, str>>,
    /// The caller's name in the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_name: Option<Cow<'a, str>>,
    /// The access key that signed the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<Cow<'a, str>>,
    /// The calling process's filesystem user id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The calling process's filesystem group id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// The service that passed the request on for the caller, as `kmsfs.<region>.amazonaws.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoked_by: Option<Cow<'a, str>>,
    /// The ARN of the registered mount that says who the caller is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_by: Option<Cow<'a, str>>,
}

impl<'a> Identity<'a> {
    /// A caller of whom only the kind is known; the fields take what else is.
    pub fn of(kind: IdentityKind) -> Self {
        Self {
            kind,
            arn: None,
            account_id: None,
            user_name: None,
            access_key_id: None,
            uid: None,
            gid: None,
            invoked_by: None,
            forwarded_by: None,
        }
    }

    /// A user of the account, by ARN: the account and the name are read from it
    /// (`arn:aws:iam::<account>:user/<name>`).
    pub fn user(arn: impl Into<Cow<'a, str>>) -> Self {
        let arn = arn.into();
        let name = arn.rsplit_once('/').map(|(_, name)| name.to_owned());
        Self {
            account_id: account_of(&arn).map(|account| account.to_owned().into()),
            user_name: name.map(Cow::from),
            arn: Some(arn),
            ..Self::of(IdentityKind::IamUser)
        }
    }

    /// With the caller's filesystem user and group id.
    #[must_use]
    pub fn ids(mut self, uid: Option<u32>, gid: Option<u32>) -> Self {
        self.uid = uid;
        self.gid = gid;
        self
    }
}

/// The calling process, as far as the kernel tells.
#[derive(Debug, Clone, Serialize)]
pub struct Process<'a> {
    /// Its id in kmsfs's pid namespace; 0 when it lives in another.
    pub pid: u32,
    /// The path of its executable, base64 in the record.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "optional_base64"
    )]
    pub exe: Option<Cow<'a, [u8]>>,
}

/// The account field of an ARN (`arn:partition:service:region:account:resource`).
pub(super) fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

// The signature is what `serialize_with` asks for.
#[allow(clippy::ref_option)]
fn optional_base64<S: Serializer>(
    bytes: &Option<Cow<'_, [u8]>>,
    out: S,
) -> Result<S::Ok, S::Error> {
    out.collect_str(&json::base64(bytes.as_deref().unwrap_or_default()))
}
