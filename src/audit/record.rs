//! A record as read, for queries.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;

use super::event::Outcome;
use super::query::{Filter, Paths};

/// A record as read from a log. Reading does not verify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The log it is in.
    pub log: String,
    /// Its number in that log.
    pub seq: u64,
    /// When it was recorded: RFC 3339, UTC, microseconds.
    pub time: String,
    /// The event's name.
    pub name: String,
    /// The service, as `kmsfs.amazonaws.com`.
    pub source: String,
    /// Who caused it: the user's name, else the ARN, else the kind of identity.
    pub user: String,
    /// The caller's ARN.
    pub arn: Option<String>,
    /// The caller's filesystem user id.
    pub uid: Option<u32>,
    /// The calling process.
    pub pid: Option<u32>,
    /// The plaintext path's bytes.
    pub path: Option<Vec<u8>>,
    /// The second path's bytes, of a rename or link.
    pub new_path: Option<Vec<u8>>,
    /// The file's id.
    pub file_id: Option<String>,
    /// ARNs of the KMS keys concerned.
    pub keys: Vec<String>,
    /// Bytes that the caller read, of a close.
    pub bytes_read: u64,
    /// Bytes that the caller wrote, of a close.
    pub bytes_written: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The error's name, if it failed.
    pub error_code: Option<String>,
    /// What was said of the error.
    pub error_message: Option<String>,
    /// The policy statements that decided.
    pub statements: Vec<String>,
    /// Whether it changes nothing.
    pub read_only: bool,
    /// The record's id.
    pub event_id: String,
    /// The id that joins file events with key events.
    pub shared_event_id: Option<String>,
    /// The whole line, without its newline: ASCII, safe to print.
    pub line: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fields<'a> {
    seq: u64,
    #[serde(borrow)]
    event_time: Cow<'a, str>,
    #[serde(borrow)]
    event_name: Cow<'a, str>,
    #[serde(borrow)]
    event_source: Cow<'a, str>,
    #[serde(borrow)]
    user_identity: IdentityFields<'a>,
    #[serde(borrow, default)]
    request_parameters: Parameters<'a>,
    #[serde(borrow, default)]
    resources: Vec<ResourceFields<'a>>,
    process: Option<ProcessFields>,
    #[serde(borrow)]
    error_code: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error_message: Option<Cow<'a, str>>,
    #[serde(borrow)]
    decision: Option<DecisionFields<'a>>,
    #[serde(borrow, rename = "sharedEventID")]
    shared_event_id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "eventID", default)]
    event_id: Cow<'a, str>,
    #[serde(default)]
    read_only: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdentityFields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    arn: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user_name: Option<Cow<'a, str>>,
    uid: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Parameters<'a> {
    #[serde(borrow)]
    path: Option<Cow<'a, str>>,
    #[serde(borrow)]
    new_path: Option<Cow<'a, str>>,
    #[serde(borrow)]
    file_id: Option<Cow<'a, str>>,
    #[serde(default)]
    bytes_read: u64,
    #[serde(default)]
    bytes_written: u64,
}

#[derive(Deserialize)]
struct ProcessFields {
    pid: u32,
}

#[derive(Deserialize)]
struct ResourceFields<'a> {
    #[serde(borrow, rename = "ARN")]
    arn: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct DecisionFields<'a> {
    #[serde(borrow)]
    effect: Cow<'a, str>,
    #[serde(default)]
    statements: Vec<String>,
}

impl<'a> Fields<'a> {
    pub(super) fn read(line: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }

    fn time(&self) -> Option<Timestamp> {
        self.event_time.parse().ok()
    }

    fn outcome(&self) -> Outcome {
        let deny = self
            .decision
            .as_ref()
            .is_some_and(|decision| decision.effect == "Deny");
        Outcome::of(deny, self.error_code.as_deref())
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = self
            .resources
            .iter()
            .filter(|resource| resource.kind == "AWS::KMS::Key");
        keys.map(|key| key.arn.as_ref())
    }

    /// Whether the record passes every condition of `filter`.
    pub(super) fn pass(&self, filter: &Filter) -> bool {
        let Self {
            user_identity: by,
            request_parameters: parameters,
            ..
        } = self;
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let user = |user: &String| {
            by.user_name.as_deref() == Some(user)
                || by.arn.as_deref() == Some(user)
                || by.uid.is_some_and(|uid| uid.to_string() == *user)
        };
        let key = |key: &String| {
            self.keys()
                .any(|arn| arn == key || arn.rsplit_once('/').is_some_and(|(_, id)| id == key))
        };
        let path = |wanted: &Paths| {
            let paths = [&parameters.path, &parameters.new_path];
            paths
                .into_iter()
                .flatten()
                .filter_map(|text| decode(text))
                .any(|found| wanted.contain(&found))
        };
        let at = |holds: &dyn Fn(Timestamp) -> bool| self.time().is_some_and(holds);
        filter.since.is_none_or(|since| at(&|time| time >= since))
            && filter.until.is_none_or(|until| at(&|time| time < until))
            && is(&filter.event, Some(&self.event_name))
            && is(&filter.file_id, parameters.file_id.as_deref())
            && filter
                .outcome
                .is_none_or(|outcome| outcome == self.outcome())
            && filter.user.as_ref().is_none_or(user)
            && filter.key.as_ref().is_none_or(key)
            && filter.path.as_ref().is_none_or(path)
    }

    pub(super) fn into_record(self, log: &str, line: &[u8]) -> Record {
        let outcome = self.outcome();
        let keys = self.keys().map(str::to_owned).collect();
        let Self {
            user_identity: by,
            request_parameters: parameters,
            ..
        } = self;
        let bytes = |text: Option<Cow<'_, str>>| text.and_then(|text| decode(&text));
        let arn = by.arn.as_deref().map(str::to_owned);
        Record {
            log: log.to_owned(),
            seq: self.seq,
            time: self.event_time.into_owned(),
            name: self.event_name.into_owned(),
            source: self.event_source.into_owned(),
            user: by.user_name.or(by.arn).unwrap_or(by.kind).into_owned(),
            arn,
            uid: by.uid,
            pid: self.process.map(|process| process.pid),
            path: bytes(parameters.path),
            new_path: bytes(parameters.new_path),
            file_id: parameters.file_id.map(Cow::into_owned),
            keys,
            bytes_read: parameters.bytes_read,
            bytes_written: parameters.bytes_written,
            outcome,
            error_code: self.error_code.map(Cow::into_owned),
            error_message: self.error_message.map(Cow::into_owned),
            statements: self
                .decision
                .map(|decision| decision.statements)
                .unwrap_or_default(),
            read_only: self.read_only,
            event_id: self.event_id.into_owned(),
            shared_event_id: self.shared_event_id.map(Cow::into_owned),
            line: String::from_utf8_lossy(line).into_owned(),
        }
    }
}

/// When a record was made.
pub(super) fn time_of(line: &[u8]) -> Option<Timestamp> {
    Fields::read(line).ok()?.time()
}

fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
