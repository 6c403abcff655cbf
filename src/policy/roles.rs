//! Duties as statements: what each role may, and what it may not.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

/// A duty that one user or group has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Administers a key and cannot use it.
    KeyAdministrator,
    /// Creates files, and writes each through the handle that created it.
    EncryptOnly,
    /// Reads, lists and runs.
    DecryptOnly,
    /// Both: everything, as far as modes allow.
    Both,
    /// Sees names, and how the key is administered; no content.
    Auditor,
    /// Copies ciphertext, and is refused all plaintext.
    Backup,
}

const ALL: [Role; 6] = [
    Role::KeyAdministrator,
    Role::EncryptOnly,
    Role::DecryptOnly,
    Role::Both,
    Role::Auditor,
    Role::Backup,
];

/// What administers a key: no use of it, and no grant, which would let others use it.
const ADMINISTRATION: &[&str] = &[
    "kms:DescribeKey",
    "kms:Enable*",
    "kms:Disable*",
    "kms:Get*",
    "kms:List*",
    "kms:PutKeyPolicy",
    "kms:RevokeGrant",
    "kms:RotateKeyOnDemand",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateKeyDescription",
    "kms:*Alias",
    "kms:ScheduleKeyDeletion",
    "kms:CancelKeyDeletion",
];
/// What shows how a key is administered.
const INSPECTION: &[&str] = &[
    "kms:DescribeKey",
    "kms:GetKeyLastUsage",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:GetPublicKey",
    "kms:List*",
];
/// What uses a key or lets somebody use it.
const USE: &[&str] = &[
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:ReEncrypt*",
    "kms:GenerateDataKey*",
    "kms:GenerateMac",
    "kms:VerifyMac",
    "kms:Sign",
    "kms:Verify",
    "kms:DeriveSharedSecret",
    "kms:Encapsulate",
    "kms:Decapsulate",
    "kms:CreateGrant",
];

impl Role {
    /// The name, as a command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::KeyAdministrator => "key-administrator",
            Self::EncryptOnly => "encrypt-only",
            Self::DecryptOnly => "decrypt-only",
            Self::Both => "both",
            Self::Auditor => "auditor",
            Self::Backup => "backup",
        }
    }

    /// The role that a `Sid` tells of, if the statement was made for one: it is `<role> <whom>`, and for
    /// files the path.
    pub fn of_sid(sid: &str) -> Option<Self> {
        sid.split(' ').next()?.parse().ok()
    }

    /// The statement for a tree policy, if the role has one: named `sid`, about `principal` (an ARN)
    /// and `resources`, and only about files with `label`, if one is given.
    pub fn on_files(
        self,
        sid: &str,
        principal: &str,
        resources: &[String],
        label: Option<&str>,
    ) -> Option<String> {
        let (effect, actions) = match self {
            Self::KeyAdministrator => return None,
            Self::EncryptOnly => ("Allow", json!("kmsfs:Create")),
            Self::DecryptOnly => (
                "Allow",
                json!(["kmsfs:Read", "kmsfs:List", "kmsfs:Execute"]),
            ),
            Self::Both => ("Allow", json!("kmsfs:*")),
            Self::Auditor => ("Allow", json!("kmsfs:List")),
            Self::Backup => ("Deny", json!("kmsfs:*")),
        };
        let condition = label.map(|label| json!({ "StringEquals": { "kmsfs:Label": label } }));
        Some(statement(
            sid,
            effect,
            principal,
            &actions,
            &json!(resources),
            condition,
        ))
    }

    /// The statements for the policy of a key, each with its own `Sid`, which begins with `sid`.
    pub fn on_key(self, sid: &str, principal: &str) -> Vec<(String, String)> {
        let allowed = match self {
            Self::KeyAdministrator => ADMINISTRATION,
            Self::Auditor => INSPECTION,
            Self::EncryptOnly | Self::DecryptOnly | Self::Both | Self::Backup => return Vec::new(),
        };
        let no_use = format!("{sid}, no use");
        let resource = json!("*");
        let allow = statement(sid, "Allow", principal, &json!(allowed), &resource, None);
        let deny = statement(&no_use, "Deny", principal, &json!(USE), &resource, None);
        vec![(sid.to_owned(), allow), (no_use, deny)]
    }

    /// What a grant on the volume's key is to let the role do: the names of operations.
    pub fn key_use(self) -> &'static [&'static str] {
        match self {
            Self::EncryptOnly => &["GenerateDataKey"],
            Self::DecryptOnly => &["Decrypt"],
            Self::Both => &["Decrypt", "GenerateDataKey"],
            Self::KeyAdministrator | Self::Auditor | Self::Backup => &[],
        }
    }

    /// What the role is not meant to do with files: who can anyway has another right to it.
    pub fn not_on_files(self) -> &'static [&'static str] {
        match self {
            Self::EncryptOnly => &["kmsfs:Read", "kmsfs:Write", "kmsfs:Append"],
            Self::DecryptOnly => &["kmsfs:Create", "kmsfs:Write", "kmsfs:Append"],
            Self::Auditor | Self::KeyAdministrator | Self::Backup => &["kmsfs:Read"],
            Self::Both => &[],
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = ALL.into_iter().find(|role| role.name() == name);
        found.ok_or_else(|| {
            let names = ALL.map(Role::name).join(", ");
            format!("the roles are {names}")
        })
    }
}

fn statement(
    sid: &str,
    effect: &str,
    principal: &str,
    actions: &Value,
    resource: &Value,
    condition: Option<Value>,
) -> String {
    let (sid, principal) = (json!(sid), json!(principal));
    let condition = condition.map_or_else(String::new, |condition| {
        format!(",\n  \"Condition\": {condition}")
    });
    format!(
        r#"{{
  "Sid": {sid},
  "Effect": "{effect}",
  "Principal": {{ "AWS": {principal} }},
  "Action": {actions},
  "Resource": {resource}{condition}
}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Document, DocumentKind, canned};
    use super::{ALL, Role};

    const ANN: &str = "arn:aws:iam::000000000000:user/ann";
    const VOLUME: &str = "arn:aws:kmsfs:us-east-1:000000000000:volume/7";

    #[test]
    fn every_role_is_found_by_its_name() {
        for role in ALL {
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(Role::of_sid(&format!("{role} user/ann /hr")), Some(role));
        }
        assert_eq!(Role::of_sid("OwnerOnly"), None);
    }

    #[test]
    fn a_statement_goes_in_and_out_and_leaves_the_rest_as_it_was() {
        let first = canned::owner_tree_policy(ANN, VOLUME);
        let tree = Document::parse(DocumentKind::Tree, &first).unwrap();
        let resources = [format!("{VOLUME}/hr"), format!("{VOLUME}/hr/*")];
        for role in ALL {
            let sid = format!("{role} user/ann /hr");
            let Some(statement) = role.on_files(&sid, ANN, &resources, Some("hr")) else {
                continue;
            };
            let with = tree.with_statement(&statement).unwrap();
            assert_eq!(with.sids(), ["OwnerOnly".to_owned(), sid.clone()]);
            assert!(with.with_statement(&statement).is_err(), "the Sid is taken");
            let without = with.without_statement(&sid).unwrap().unwrap();
            assert_eq!(without.source(), first);
            let other = with.without_statement("OwnerOnly").unwrap().unwrap();
            assert_eq!(other.sids(), [sid]);
        }
        assert!(tree.without_statement("Nobody").is_none());
        assert!(
            tree.without_statement("OwnerOnly").unwrap().is_err(),
            "the only one"
        );
    }

    #[test]
    fn a_statement_that_is_no_list_becomes_one() {
        let single = format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Sid": "A", "Effect": "Allow",
                "Principal": {{"AWS": "{ANN}"}}, "Action": "kms:*", "Resource": "*"}}}}"#
        );
        let key = Document::parse(DocumentKind::Key, &single).unwrap();
        let mut with = Document::parse(DocumentKind::Key, &single).unwrap();
        for (_, statement) in Role::Auditor.on_key("auditor user/ann", ANN) {
            with = with.with_statement(&statement).unwrap();
        }
        assert_eq!(
            with.sids(),
            ["A", "auditor user/ann", "auditor user/ann, no use"]
        );
        assert!(key.without_statement("A").unwrap().is_err());
    }
}
