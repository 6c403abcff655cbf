//! What happened, as one `CloudTrail`-shaped record.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::checkpoint::Checkpoint;
use super::identity::{Identity, IdentityKind, Process, account_of};
use super::json;
use super::recover::Recovery;
use super::rotate::Removed;
use super::settings::Settings;
use super::sink::Lost;
use super::value::Value;

/// Which service the event happened in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Source {
    /// The filesystem.
    #[serde(rename = "kmsfs.amazonaws.com")]
    Kmsfs,
    /// The key service.
    #[serde(rename = "kms.amazonaws.com")]
    Kms,
}

/// Where events come from: what is the same in every event of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The service.
    pub source: Source,
    /// Its region, `awsRegion` in the record.
    pub region: String,
    /// The account that owns what it manages, `recipientAccountId` in the record.
    pub account: String,
}

/// Why policy refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Refusal {
    /// A statement with effect Deny matched.
    ExplicitDeny,
    /// No statement with effect Allow matched.
    NoAllow,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "effect")]
enum Decision<'a> {
    Allow {
        statements: Cow<'a, [String]>,
    },
    Deny {
        reason: Refusal,
        statements: Cow<'a, [String]>,
    },
}

/// How an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Allowed,
    /// Policy refused it, here or in the key service.
    Denied,
    /// It was not refused, and failed.
    Failed,
}

impl Outcome {
    /// The rule by which a record's outcome is read: denied if policy's decision is Deny or the
    /// error is one of access (`AccessDenied`, `AccessDeniedException`); else failed if there is an
    /// error; else allowed.
    pub(super) fn of(deny: bool, error_code: Option<&str>) -> Self {
        match error_code {
            _ if deny => Self::Denied,
            Some(code) if code.starts_with("AccessDenied") => Self::Denied,
            Some(_) => Self::Failed,
            None => Self::Allowed,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Failed => "failed",
        })
    }
}

impl FromStr for Outcome {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "allowed" => Ok(Self::Allowed),
            "denied" => Ok(Self::Denied),
            "failed" => Ok(Self::Failed),
            _ => Err(format!(
                "{text:?} is no outcome: use allowed, denied or failed"
            )),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
struct Resource<'a> {
    #[serde(rename = "ARN")]
    arn: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "accountId", skip_serializing_if = "Option::is_none")]
    account: Option<String>,
}

/// Marks what callers report from what the log says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum EventType {
    #[serde(rename = "AwsApiCall")]
    Call,
    #[serde(rename = "AwsServiceEvent")]
    Service,
}

#[derive(Debug, Clone, Copy, Serialize)]
enum Category {
    Management,
    Data,
}

/// The version of the schema of records.
pub(super) const FORMAT: u32 = 1;

/// What the log says about itself.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Details<'a> {
    Created {
        log: &'a str,
        format: u32,
    },
    Opened {
        log: &'a str,
        /// The process.
        pid: u32,
        settings: Settings,
    },
    Continued {
        log: &'a str,
        format: u32,
        /// The name of the closed segment before.
        previous: String,
    },
    Full {
        reason: String,
    },
    Removed(Removed),
    Lost(Lost),
    Checkpoint(Checkpoint),
    Recovered(Recovery),
}

/// An event to be recorded. Built by chaining, then given to [`Log::record`](super::Log::record),
/// which adds the time and the place in the chain.
///
/// An event that is denied, or marked [`administration`](Self::administration), is strict: it is on
/// disk before `record` returns, in either durability.
// The fields are CloudTrail's, and so are their names.
#[allow(clippy::struct_field_names)]
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event<'a> {
    event_version: &'static str,
    // The first three fields have few values and no caller's text, so that a checkpoint is known by
    // the beginning of its line (`checkpoint::PREFIX`).
    event_type: EventType,
    event_name: &'static str,
    #[serde(rename = "eventID")]
    event_id: String,
    #[serde(serialize_with = "microseconds")]
    event_time: Timestamp,
    event_source: Source,
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_region: Option<&'a str>,
    user_identity: Identity<'a>,
    #[serde(rename = "sourceIPAddress", skip_serializing_if = "Option::is_none")]
    source_ip_address: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<Resource<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    request_parameters: Vec<(&'static str, Value<'a>)>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    response_elements: Vec<(&'static str, Value<'a>)>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    additional_event_data: Vec<(&'static str, Value<'a>)>,
    #[serde(rename = "requestID", skip_serializing_if = "Option::is_none")]
    request_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_event_details: Option<Details<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Decision<'a>>,
    #[serde(rename = "sharedEventID", skip_serializing_if = "Option::is_none")]
    shared_event_id: Option<Cow<'a, str>>,
    read_only: bool,
    event_category: Category,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_account_id: Option<&'a str>,
    #[serde(skip)]
    administration: bool,
}

impl<'a> Event<'a> {
    /// An event called `name`, such as `Open` or `GenerateDataKey`, caused by `identity`.
    pub fn new(origin: &'a Origin, name: &'static str, identity: Identity<'a>) -> Self {
        let mut event = Self::bare(EventType::Call, origin.source, name, identity);
        event.aws_region = Some(&origin.region);
        event.recipient_account_id = Some(&origin.account);
        event
    }

    /// An event of the log itself.
    pub(super) fn of_log(source: Source, name: &'static str, details: Details<'a>) -> Self {
        let identity = Identity::of(IdentityKind::AwsService);
        let mut event = Self::bare(EventType::Service, source, name, identity);
        event.service_event_details = Some(details);
        event
    }

    fn bare(event_type: EventType, source: Source, name: &'static str, by: Identity<'a>) -> Self {
        Self {
            event_version: "1.11",
            event_type,
            event_name: name,
            event_id: uuid::Uuid::new_v4().to_string(),
            event_time: Timestamp::UNIX_EPOCH,
            event_source: source,
            aws_region: None,
            user_identity: by,
            source_ip_address: None,
            user_agent: None,
            process: None,
            resources: Vec::new(),
            request_parameters: Vec::new(),
            response_elements: Vec::new(),
            additional_event_data: Vec::new(),
            request_id: None,
            service_event_details: None,
            error_code: None,
            error_message: None,
            decision: None,
            shared_event_id: None,
            read_only: false,
            event_category: match source {
                Source::Kms => Category::Management,
                Source::Kmsfs => Category::Data,
            },
            recipient_account_id: None,
            administration: false,
        }
    }

    /// The calling process.
    #[must_use]
    pub fn process(mut self, process: Process<'a>) -> Self {
        self.process = Some(process);
        self
    }

    /// What the event acted on, by ARN, with its type as `AWS::KMSFS::Volume`. May be repeated.
    #[must_use]
    pub fn resource(mut self, arn: impl Into<Cow<'a, str>>, kind: &'static str) -> Self {
        let arn = arn.into();
        let account = account_of(&arn).map(str::to_owned);
        self.resources.push(Resource { arn, kind, account });
        self
    }

    /// A KMS key the event used or acted on, by ARN.
    #[must_use]
    pub fn key(self, arn: impl Into<Cow<'a, str>>) -> Self {
        self.resource(arn, "AWS::KMS::Key")
    }

    /// A request parameter. Each name once.
    #[must_use]
    pub fn parameter(mut self, name: &'static str, value: impl Into<Value<'a>>) -> Self {
        self.request_parameters.push((name, value.into()));
        self
    }

    /// The plaintext path, relative to the volume's root: the parameter `path` that queries look at.
    #[must_use]
    pub fn path(self, path: &'a [u8]) -> Self {
        self.parameter("path", path)
    }

    /// The second path of a rename or link: the parameter `newPath` that queries look at.
    #[must_use]
    pub fn new_path(self, path: &'a [u8]) -> Self {
        self.parameter("newPath", path)
    }

    /// The file's id: the parameter `fileId` that queries look at.
    #[must_use]
    pub fn file_id(self, id: impl Into<Cow<'a, str>>) -> Self {
        self.parameter("fileId", id.into())
    }

    /// An element of the response. Each name once.
    #[must_use]
    pub fn response(mut self, name: &'static str, value: impl Into<Value<'a>>) -> Self {
        self.response_elements.push((name, value.into()));
        self
    }

    /// What is neither in the request nor in the response. Each name once.
    #[must_use]
    pub fn additional(mut self, name: &'static str, value: impl Into<Value<'a>>) -> Self {
        self.additional_event_data.push((name, value.into()));
        self
    }

    /// Where the request came from: an IP address, or who passed it on.
    #[must_use]
    pub fn from_address(mut self, address: impl Into<Cow<'a, str>>) -> Self {
        self.source_ip_address = Some(address.into());
        self
    }

    /// What the client says of itself.
    #[must_use]
    pub fn user_agent(mut self, agent: impl Into<Cow<'a, str>>) -> Self {
        self.user_agent = Some(agent.into());
        self
    }

    /// The id of the request, as its answer has it.
    #[must_use]
    pub fn request_id(mut self, id: impl Into<Cow<'a, str>>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// That it failed: an errno's name or a KMS error's, and what was said.
    #[must_use]
    pub fn error(mut self, code: impl Into<Cow<'a, str>>, said: impl Into<Cow<'a, str>>) -> Self {
        self.error_code = Some(code.into());
        self.error_message = Some(said.into());
        self
    }

    /// That policy allowed it, by these statements.
    #[must_use]
    pub fn allowed(mut self, statements: impl Into<Cow<'a, [String]>>) -> Self {
        self.decision = Some(Decision::Allow {
            statements: statements.into(),
        });
        self
    }

    /// That policy refused it, by these statements. Makes the event strict.
    #[must_use]
    pub fn denied(mut self, reason: Refusal, statements: impl Into<Cow<'a, [String]>>) -> Self {
        self.decision = Some(Decision::Deny {
            reason,
            statements: statements.into(),
        });
        self
    }

    /// The id that joins a file event with the key events it caused.
    #[must_use]
    pub fn shared_id(mut self, id: impl Into<Cow<'a, str>>) -> Self {
        self.shared_event_id = Some(id.into());
        self
    }

    /// That it changes nothing.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// That it changes who may do what: a management event, and strict.
    #[must_use]
    pub fn administration(mut self) -> Self {
        self.administration = true;
        self.event_category = Category::Management;
        self
    }

    /// The record's id, known before it is written.
    pub fn id(&self) -> &str {
        &self.event_id
    }

    /// How the event ended, by what it has been told so far.
    pub fn outcome(&self) -> Outcome {
        let deny = matches!(self.decision, Some(Decision::Deny { .. }));
        Outcome::of(deny, self.error_code.as_deref())
    }

    /// Whether the record has to be on disk before the caller goes on, whatever the durability.
    pub(super) fn is_strict(&self) -> bool {
        self.administration || self.outcome() == Outcome::Denied
    }

    pub(super) fn name(&self) -> &'static str {
        self.event_name
    }

    pub(super) fn into_id(self) -> String {
        self.event_id
    }

    /// The event as a JSON object, stamped with the time it is recorded at.
    pub(super) fn stamped(&mut self, now: Timestamp) -> Vec<u8> {
        self.event_time = now;
        let mut line = Vec::with_capacity(1024);
        json::append(&mut line, self);
        line
    }
}

/// RFC 3339 in UTC with six decimals, so that times of equal length compare as strings.
pub(super) fn rfc3339(time: Timestamp) -> String {
    format!("{time:.6}")
}

fn microseconds<S: Serializer>(time: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&format_args!("{time:.6}"))
}

fn as_map<S: Serializer>(pairs: &[(&'static str, Value<'_>)], out: S) -> Result<S::Ok, S::Error> {
    out.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}
