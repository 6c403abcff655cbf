//! The documents that kmsfs itself writes.

use serde_json::Value;

/// Only the user `owner_arn` may do anything in the volume `arn:aws:kmsfs:…:volume/<id>`.
pub fn owner_tree_policy(owner_arn: &str, volume: &str) -> String {
    let owner = quoted(owner_arn);
    let paths = quoted(&format!("{volume}/*"));
    format!(
        r#"{{
  "Version": "2012-10-17",
  "Statement": [
    {{
      "Sid": "OwnerOnly",
      "Effect": "Allow",
      "Principal": {{"AWS": {owner}}},
      "Action": "kmsfs:*",
      "Resource": {paths}
    }}
  ]
}}
"#
    )
}

/// Every user of `account` may do in the volume `arn:aws:kmsfs:…:volume/<id>` what modes and ACLs
/// allow.
pub fn everyone_tree_policy(volume: &str, account: &str) -> String {
    let account = quoted(account);
    let paths = quoted(&format!("{volume}/*"));
    format!(
        r#"{{
  "Version": "2012-10-17",
  "Statement": [
    {{
      "Sid": "Everyone",
      "Effect": "Allow",
      "Principal": "*",
      "Action": "kmsfs:*",
      "Resource": {paths},
      "Condition": {{"StringEquals": {{"aws:PrincipalAccount": {account}}}}}
    }}
  ]
}}
"#
    )
}

/// The policy of a key that is created without one, byte for byte what AWS KMS returns for it: it
/// delegates everything to the account's identity policies.
///
/// Source: <https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html>
pub fn default_key_policy(account: &str) -> String {
    let root = quoted(&format!("arn:aws:iam::{account}:root"));
    format!(
        r#"{{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {{
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {{
      "AWS" : {root}
    }},
    "Action" : "kms:*",
    "Resource" : "*"
  }} ]
}}"#
    )
}

/// The policy of a key made for volumes: the account's identity policies administer it, and every
/// user of the account may use it through kmsfs, whose tree policy then decides.
///
/// An [AWS managed key] is opened to a service in the same way.
///
/// [AWS managed key]: https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#aws-managed-key
pub fn kmsfs_key_policy(account: &str, region: &str) -> String {
    let root = quoted(&format!("arn:aws:iam::{account}:root"));
    let service = quoted(&format!("kmsfs.{region}.amazonaws.com"));
    let account = quoted(account);
    format!(
        r#"{{
  "Version": "2012-10-17",
  "Id": "kmsfs-key-1",
  "Statement": [
    {{
      "Sid": "EnableIAMUserPermissions",
      "Effect": "Allow",
      "Principal": {{"AWS": {root}}},
      "Action": "kms:*",
      "Resource": "*"
    }},
    {{
      "Sid": "AllowUseThroughKmsfs",
      "Effect": "Allow",
      "Principal": "*",
      "Action": ["kms:Decrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:DescribeKey"],
      "Resource": "*",
      "Condition": {{
        "StringEquals": {{
          "kms:ViaService": {service},
          "kms:CallerAccount": {account}
        }}
      }}
    }}
  ]
}}
"#
    )
}

/// The policy of the key that kmsfs itself manages, `alias/aws/kmsfs`: whoever may use kmsfs uses it
/// through kmsfs, and the account may look at it.
///
/// Its form is that of every [AWS managed key].
///
/// [AWS managed key]: https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#aws-managed-key
pub fn managed_key_policy(account: &str, region: &str) -> String {
    let root = quoted(&format!("arn:aws:iam::{account}:root"));
    let service = quoted(&format!("kmsfs.{region}.amazonaws.com"));
    let account = quoted(account);
    format!(
        r#"{{
  "Version": "2012-10-17",
  "Id": "auto-kmsfs-1",
  "Statement": [
    {{
      "Sid": "AllowUseThroughKmsfs",
      "Effect": "Allow",
      "Principal": {{"AWS": "*"}},
      "Action": [
        "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"
      ],
      "Resource": "*",
      "Condition": {{
        "StringEquals": {{
          "kms:ViaService": {service},
          "kms:CallerAccount": {account}
        }}
      }}
    }},
    {{
      "Sid": "AllowLookingAtIt",
      "Effect": "Allow",
      "Principal": {{"AWS": {root}}},
      "Action": ["kms:Describe*", "kms:Get*", "kms:List*"],
      "Resource": "*"
    }}
  ]
}}
"#
    )
}

/// The identity policy of whoever administers a home: all of the key service, none of the files.
pub fn administrator_identity_policy() -> String {
    r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "AdministerKeys",
      "Effect": "Allow",
      "Action": "kms:*",
      "Resource": "*"
    }
  ]
}
"#
    .to_owned()
}

/// `text` as a JSON string, quotes included.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
