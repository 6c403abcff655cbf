//! Records as events of the Open Cybersecurity Schema Framework, version 1.3.0
//! (<https://schema.ocsf.io/1.3.0/>), for collectors that take no `CloudTrail`.
//!
//! Records about a file or a volume become File System Activity (1001), all others API Activity (6003),
//! each with the `security_control` profile, which has whether policy let it through. `raw_data` is the
//! record itself, so that its hash can be checked there too.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Outcome, Record};

const SCHEMA: &str = "1.3.0";

/// A class of events: its number, its name and its category's.
struct Class {
    uid: u64,
    name: &'static str,
    category_uid: u64,
    category: &'static str,
}

const FILE: Class = Class {
    uid: 1001,
    name: "File System Activity",
    category_uid: 1,
    category: "System Activity",
};
const API: Class = Class {
    uid: 6003,
    name: "API Activity",
    category_uid: 6,
    category: "Application Activity",
};
/// `activity_id` of what the class has no number for; `activity_name` then tells.
const OTHER: u64 = 99;

/// The event that `record` becomes, as it was recorded on the machine called `host`.
pub fn ocsf(record: &Record, host: &str) -> Value {
    let is_file = record.path.is_some() || matches!(&*record.name, "Mount" | "Unmount");
    let class = if is_file { FILE } else { API };
    let activity = if is_file {
        file_activity(&record.name)
    } else {
        api_activity(record)
    };
    let denied = record.outcome == Outcome::Denied;
    let (status_id, status) = match record.outcome {
        Outcome::Allowed => (1, "Success"),
        Outcome::Denied | Outcome::Failed => (2, "Failure"),
    };
    let (severity_id, severity) = match &*record.name {
        "IntegrityFailure" => (5, "Critical"),
        _ if denied => (3, "Medium"),
        _ => (1, "Informational"),
    };
    let (action, disposition) = if denied {
        ((2, "Denied"), (2, "Blocked"))
    } else {
        ((1, "Allowed"), (1, "Allowed"))
    };
    let time = record.time.parse::<Timestamp>().unwrap_or_default();
    let mut event = json!({
        "activity_id": activity,
        "activity_name": record.name,
        "category_uid": class.category_uid,
        "category_name": class.category,
        "class_uid": class.uid,
        "class_name": class.name,
        "type_uid": class.uid * 100 + activity,
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "action_id": action.0,
        "action": action.1,
        "disposition_id": disposition.0,
        "disposition": disposition.1,
        "time": time.as_millisecond(),
        "metadata": metadata(record),
        "actor": actor(record),
        "raw_data": record.line,
    });
    let fields = event.as_object_mut().expect("made as an object above");
    put(fields, "status_code", record.error_code.clone());
    put(fields, "status_detail", record.error_message.clone());
    let device = json!({ "hostname": host, "type_id": 0, "type": "Unknown" });
    fields.insert("device".into(), device);
    if is_file {
        fields.insert("file".into(), file(record, record.path.as_deref()));
        if let Some(path) = &record.new_path {
            fields.insert("file_result".into(), file(record, Some(path)));
        }
    } else {
        let service = json!({ "name": record.source });
        let api = json!({ "operation": record.name, "service": service });
        fields.insert("api".into(), api);
        fields.insert("src_endpoint".into(), json!({ "hostname": host }));
        let keys = record.keys.iter();
        let resources: Vec<Value> = keys
            .map(|arn| json!({ "uid": arn, "type": "AWS::KMS::Key" }))
            .collect();
        if !resources.is_empty() {
            fields.insert("resources".into(), resources.into());
        }
    }
    event
}

fn metadata(record: &Record) -> Value {
    let mut metadata = json!({
        "version": SCHEMA,
        "profiles": ["host", "security_control"],
        "product": { "name": "kmsfs", "vendor_name": "kmsfs", "version": env!("CARGO_PKG_VERSION") },
        "uid": record.event_id,
        "log_name": record.log,
        "log_provider": record.source,
        "sequence": record.seq,
        "original_time": record.time,
    });
    let fields = metadata.as_object_mut().expect("made as an object above");
    put(fields, "correlation_uid", record.shared_event_id.clone());
    metadata
}

fn actor(record: &Record) -> Value {
    let mut user = json!({ "name": record.user, "type_id": 1, "type": "User" });
    let fields = user.as_object_mut().expect("made as an object above");
    put(fields, "uid", record.uid.map(|uid| uid.to_string()));
    put(fields, "uid_alt", record.arn.clone());
    let mut actor = json!({ "user": user });
    if let Some(pid) = record.pid {
        actor["process"] = json!({ "pid": pid });
    }
    actor
}

fn file(record: &Record, path: Option<&[u8]>) -> Value {
    let path = String::from_utf8_lossy(path.unwrap_or_default());
    let path = format!("/{path}");
    let name = path.rsplit('/').next().filter(|name| !name.is_empty());
    let (kind_id, kind) = match &*record.name {
        "Mount" | "Unmount" | "CreateDirectory" | "RemoveDirectory" | "OpenDirectory" | "List" => {
            (2, "Folder")
        }
        "Symlink" => (7, "Symbolic Link"),
        _ => (1, "Regular File"),
    };
    let mut file = json!({
        "name": name.unwrap_or("/"),
        "path": path,
        "type_id": kind_id,
        "type": kind,
    });
    let fields = file.as_object_mut().expect("made as an object above");
    put(fields, "uid", record.file_id.clone());
    file
}

fn put(fields: &mut Map<String, Value>, name: &str, value: Option<String>) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), value.into());
    }
}

/// `activity_id` of File System Activity.
fn file_activity(name: &str) -> u64 {
    match name {
        "Create" | "CreateDirectory" | "CreateNode" | "Symlink" | "Link" => 1,
        "Read" | "List" => 2,
        "Write" | "Truncate" | "Allocate" | "Sync" => 3,
        "Unlink" | "RemoveDirectory" => 4,
        "Rename" => 5,
        "SetAttr" | "SetXattr" | "RemoveXattr" => 6,
        "SetSecurity" => 7,
        "Mount" => 12,
        "Unmount" => 13,
        "Open" | "OpenDirectory" => 14,
        _ => OTHER,
    }
}

/// `activity_id` of API Activity.
fn api_activity(record: &Record) -> u64 {
    let begins = |words: &[&str]| words.iter().any(|word| record.name.starts_with(word));
    if begins(&["Create", "Replicate"]) {
        1
    } else if begins(&["Describe", "Get", "List"]) {
        2
    } else if begins(&["Delete", "Schedule", "Retire", "Revoke"]) {
        4
    } else if begins(&[
        "Cancel", "Disable", "Enable", "Import", "Put", "Rotate", "Tag", "Untag", "Update",
    ]) {
        3
    } else {
        OTHER
    }
}
