//! The condition operators.
//!
//! Sources:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>,
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html>

use super::*;

/// Whether an Allow (or a Deny) with one condition is about a request with these context values.
fn holds(effect: &str, operator: &str, key: &str, values: &str, context: Option<&[&str]>) -> bool {
    let condition = format!(r#""Condition": {{"{operator}": {{"{key}": {values}}}}}"#);
    let rest = format!(r#""Action": "*", "Resource": "*", {condition}}}"#);
    let identity = identity_policy(&format!(r#"{{"Effect": "{effect}", {rest}"#));
    let everyone =
        key_policy(r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}"#);
    let delegates = format!(
        r#"{{"Effect": "Allow", "Principal": {{"AWS": "{ACCOUNT}"}}, "Action": "kms:*", "Resource": "*"}}"#
    );
    let delegates = key_policy(&delegates);
    let keys = context.map_or_else(Keys::default, |values| Keys::default().with(key, values));
    let principal = &user("alice");
    let request = Request {
        principal,
        action: "kms:Decrypt",
        resource: KEY,
        context: &keys,
    };
    match effect {
        "Allow" => decide(&delegates, &[&identity], &[], &request).is_ok(),
        _ => decide(&everyone, &[&identity], &[], &request).is_err(),
    }
}

/// Operator, key, policy values, context values, and whether that holds, for either effect.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    Option<&'static [&'static str]>,
    bool,
);

#[track_caller]
fn check(rows: &[Row]) {
    for (operator, key, values, context, expected) in rows {
        for effect in ["Allow", "Deny"] {
            let found = holds(effect, operator, key, values, *context);
            assert_eq!(
                found, *expected,
                "{effect} {operator} {key} {values} in {context:?}"
            );
        }
    }
}

const TEXT: &str = "kms:EncryptionContext:Department";

#[test]
#[rustfmt::skip] // a table reads by its rows
fn strings_are_compared_as_documented() {
    check(&[
        ("StringEquals", TEXT, r#""Hr""#, Some(&["Hr"]), true),
        ("StringEquals", TEXT, r#""Hr""#, Some(&["hr"]), false),
        ("StringEquals", TEXT, r#""H*""#, Some(&["Hr"]), false),
        ("StringEquals", TEXT, r#""H*""#, Some(&["H*"]), true),
        ("StringEquals", TEXT, r#"["It", "Hr"]"#, Some(&["Hr"]), true),
        ("StringEquals", TEXT, "7", Some(&["7"]), true),
        ("StringNotEquals", TEXT, r#"["It", "Hr"]"#, Some(&["Hr"]), false),
        ("StringNotEquals", TEXT, r#"["It", "Hr"]"#, Some(&["Law"]), true),
        ("StringEqualsIgnoreCase", TEXT, r#""HÄR""#, Some(&["här"]), true),
        ("StringEqualsIgnoreCase", TEXT, r#""Hr""#, Some(&["Hrs"]), false),
        ("StringNotEqualsIgnoreCase", TEXT, r#""Hr""#, Some(&["hR"]), false),
        ("StringNotEqualsIgnoreCase", TEXT, r#""Hr""#, Some(&["It"]), true),
        ("StringLike", TEXT, r#""H*r?""#, Some(&["Human resources"]), false),
        ("StringLike", TEXT, r#""H*r??ces""#, Some(&["Human resources"]), false),
        ("StringLike", TEXT, r#""H*r*ces""#, Some(&["Human resources"]), true),
        ("StringLike", TEXT, r#""?r""#, Some(&["Är"]), true),
        ("StringLike", TEXT, r#""*""#, Some(&[""]), true),
        ("StringNotLike", TEXT, r#""H*""#, Some(&["Hr"]), false),
        ("StringNotLike", TEXT, r#""H*""#, Some(&["It"]), true),
    ]);
}

#[test]
#[rustfmt::skip] // a table reads by its rows
fn numbers_are_compared_as_documented() {
    check(&[
        ("NumericEquals", "kmsfs:Uid", "1000", Some(&["1000"]), true),
        ("NumericEquals", "kmsfs:Uid", r#""1000.0""#, Some(&["1000"]), true),
        ("NumericEquals", "kmsfs:Uid", "[1, 1000]", Some(&["1000"]), true),
        ("NumericNotEquals", "kmsfs:Uid", "[1, 1000]", Some(&["1000"]), false),
        ("NumericNotEquals", "kmsfs:Uid", "0", Some(&["1000"]), true),
        ("NumericLessThan", "kmsfs:Uid", "1000", Some(&["999"]), true),
        ("NumericLessThan", "kmsfs:Uid", "1000", Some(&["1000"]), false),
        ("NumericLessThanEquals", "kmsfs:Uid", "1000", Some(&["1000"]), true),
        ("NumericGreaterThan", "kmsfs:Uid", "1000", Some(&["1000"]), false),
        ("NumericGreaterThan", "kmsfs:Uid", "999", Some(&["1000"]), true),
        ("NumericGreaterThanEquals", "kmsfs:Uid", "1000", Some(&["1000"]), true),
    ]);
}

#[test]
#[rustfmt::skip] // a table reads by its rows
fn dates_are_compared_as_documented() {
    let noon = Some(&["2026-01-31T12:00:00Z"][..]);
    check(&[
        ("DateEquals", "aws:CurrentTime", r#""2026-01-31T13:00:00+01:00""#, noon, true),
        ("DateNotEquals", "aws:CurrentTime", r#""2026-01-31""#, noon, true),
        ("DateLessThan", "aws:CurrentTime", r#""2026-02""#, noon, true),
        ("DateLessThanEquals", "aws:CurrentTime", r#""2026-01-31T12:00:00Z""#, noon, true),
        ("DateGreaterThan", "aws:CurrentTime", r#""2026""#, noon, true),
        ("DateGreaterThan", "aws:CurrentTime", "1769860800", noon, false),
        ("DateGreaterThanEquals", "aws:CurrentTime", "1769860800", noon, true),
        ("DateLessThan", "aws:EpochTime", r#""2026""#, Some(&["1700000000"]), true),
        ("NumericGreaterThan", "aws:EpochTime", "1700000000", Some(&["1700000001"]), true),
    ]);
}

#[test]
#[rustfmt::skip] // a table reads by its rows
fn other_types_are_compared_as_documented() {
    let (v4, v6) = (Some(&["203.0.113.9"][..]), Some(&["2001:db8::9"][..]));
    let arn = Some(&["arn:aws:iam::111122223333:role/hr/clerk"][..]);
    let grantee = "kms:GranteePrincipal";
    check(&[
        ("Bool", "aws:SecureTransport", "true", Some(&["true"]), true),
        ("Bool", "aws:SecureTransport", r#""False""#, Some(&["false"]), true),
        ("Bool", "aws:SecureTransport", "true", Some(&["false"]), false),
        ("BinaryEquals", TEXT, r#""QmluYXJ5""#, Some(&["QmluYXJ5"]), true),
        ("BinaryEquals", TEXT, r#""QmluYXJ5""#, Some(&["QmluYXJ6"]), false),
        ("IpAddress", "aws:SourceIp", r#""203.0.113.0/24""#, v4, true),
        ("IpAddress", "aws:SourceIp", r#"["10.0.0.0/8", "2001:db8::/32"]"#, v6, true),
        ("IpAddress", "aws:SourceIp", r#""203.0.113.10""#, v4, false),
        ("NotIpAddress", "aws:SourceIp", r#""203.0.113.0/24""#, v4, false),
        ("NotIpAddress", "aws:SourceIp", r#""10.0.0.0/8""#, v4, true),
        ("ArnEquals", grantee, r#""arn:aws:iam::111122223333:role/hr/clerk""#, arn, true),
        ("ArnEquals", grantee, r#""arn:aws:iam::*:role/hr/*""#, arn, true),
        ("ArnLike", grantee, r#""arn:aws:iam::11112222333?:role/*""#, arn, true),
        ("ArnLike", grantee, r#""arn:aws:iam::444455556666:role/*""#, arn, false),
        ("ArnLike", grantee, r#""arn:aws:*:role:*:*""#, arn, false),
        ("ArnNotEquals", grantee, r#""arn:aws:iam::*:role/hr/*""#, arn, false),
        ("ArnNotLike", grantee, r#""arn:aws:iam::*:user/*""#, arn, true),
        ("ArnLike", grantee, r#""arn:aws:iam::*:role/*""#, Some(&["clerk"]), false),
        ("Null", TEXT, "true", None, true),
        ("Null", TEXT, "true", Some(&["Hr"]), false),
        ("Null", TEXT, "false", None, false),
        ("Null", TEXT, r#""false""#, Some(&["Hr"]), true),
        ("Null", "aws:TagKeys", "true", Some(&[]), true),
    ]);
}

#[test]
#[rustfmt::skip] // a table reads by its rows
fn a_missing_key_fails_a_condition_unless_it_is_negated_or_if_exists() {
    check(&[
        ("StringEquals", TEXT, r#""Hr""#, None, false),
        ("StringLike", TEXT, r#""*""#, None, false),
        ("StringNotEquals", TEXT, r#""Hr""#, None, true),
        ("StringNotEqualsIgnoreCase", TEXT, r#""Hr""#, None, true),
        ("StringNotLike", TEXT, r#""*""#, None, true),
        ("StringEqualsIfExists", TEXT, r#""Hr""#, None, true),
        ("StringEqualsIfExists", TEXT, r#""Hr""#, Some(&["It"]), false),
        ("NumericEquals", "kmsfs:Uid", "1", None, false),
        ("NumericNotEquals", "kmsfs:Uid", "1", None, true),
        ("NumericGreaterThanIfExists", "kmsfs:Uid", "1", None, true),
        ("DateLessThan", "aws:CurrentTime", r#""2026""#, None, false),
        ("DateNotEquals", "aws:CurrentTime", r#""2026""#, None, true),
        ("Bool", "aws:SecureTransport", "false", None, false),
        ("BoolIfExists", "aws:SecureTransport", "true", None, true),
        ("BinaryEquals", TEXT, r#""QQ==""#, None, false),
        ("IpAddress", "aws:SourceIp", r#""0.0.0.0/0""#, None, false),
        ("NotIpAddress", "aws:SourceIp", r#""10.0.0.0/8""#, None, true),
        ("ArnLike", "kms:GranteePrincipal", r#""arn:aws:iam::*:*""#, None, false),
        ("ArnNotLike", "kms:GranteePrincipal", r#""arn:aws:iam::*:*""#, None, true),
        ("ArnNotLikeIfExists", "kms:GranteePrincipal", r#""arn:aws:iam::*:*""#, None, true),
    ]);
}

#[test]
#[rustfmt::skip] // a table reads by its rows
fn set_operators_take_several_values_together_as_documented() {
    let (all, any) = ("ForAllValues:StringEquals", "ForAnyValue:StringEquals");
    let (key, values) = ("aws:TagKeys", r#"["environment", "webserver"]"#);
    check(&[
        (all, key, values, Some(&["environment"]), true),
        (all, key, values, Some(&["environment", "webserver"]), true),
        (all, key, values, Some(&["environment", "costcenter"]), false),
        (all, key, values, Some(&[]), true),
        (all, key, values, None, true),
        (any, key, values, Some(&["environment", "costcenter"]), true),
        (any, key, values, Some(&["costcenter"]), false),
        (any, key, values, Some(&[]), false),
        (any, key, values, None, false),
        ("ForAnyValue:StringEqualsIfExists", key, values, None, true),
        ("ForAnyValue:StringNotEquals", key, values, Some(&["webserver", "x"]), true),
        ("ForAnyValue:StringNotEquals", key, values, Some(&["webserver"]), false),
        ("ForAnyValue:StringNotEquals", key, values, None, false),
        ("ForAllValues:StringNotEquals", key, values, Some(&["x", "y"]), true),
        ("ForAllValues:StringNotEquals", key, values, Some(&["x", "webserver"]), false),
        ("ForAllValues:StringLike", key, r#""env*""#, Some(&["env", "environment"]), true),
        ("ForAnyValue:NumericEquals", "kmsfs:Gids", "[4, 27]", Some(&["1000", "27"]), true),
        ("ForAnyValue:NumericEquals", "kmsfs:Gids", "[4, 27]", Some(&["1000"]), false),
        (any, TEXT, r#""Hr""#, Some(&["Hr"]), true),
    ]);
}

#[test]
fn what_cannot_be_answered_fails_an_allow_and_fulfils_a_deny() {
    let unknown = |operator, key, values, context| {
        let row = format!("{operator} {key} {values} in {context:?}");
        assert!(
            !holds("Allow", operator, key, values, context),
            "Allow {row}"
        );
        assert!(holds("Deny", operator, key, values, context), "Deny {row}");
    };
    let shell = r#""/bin/sh""#;
    for operator in [
        "StringEquals",
        "StringNotEquals",
        "StringNotLikeIfExists",
        "StringLike",
    ] {
        unknown(operator, "kmsfs:ExePath", shell, None);
    }
    unknown("Null", "kmsfs:ExeSha256", "true", None);
    unknown("Null", "kmsfs:ExeSha256", "false", None);
    unknown("NumericNotEquals", "kmsfs:LoginUid", "0", None);
    unknown("ForAllValues:NumericEquals", "kmsfs:Gids", "4", None);
    for operator in [
        "NumericLessThan",
        "NumericNotEquals",
        "DateNotEquals",
        "NotIpAddress",
    ] {
        let values = if operator == "NotIpAddress" {
            r#""10.0.0.0/8""#
        } else {
            "5"
        };
        unknown(operator, TEXT, values, Some(&["five"]));
    }
    unknown("Bool", TEXT, "true", Some(&["yes"]));
    for operator in ["StringEquals", "StringNotEquals"] {
        unknown(operator, TEXT, r#""Hr""#, Some(&["Hr", "It"]));
    }
    unknown("BinaryEquals", TEXT, r#""QQ==""#, Some(&["?"]));
}

#[test]
fn all_operators_and_keys_of_a_condition_are_to_hold() {
    let policy = tree_policy(
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kmsfs:Read", "Resource": "*",
            "Condition": {"StringEquals": {"kmsfs:Label": "hr"},
                          "NumericEquals": {"kmsfs:Uid": 1000, "kmsfs:LoginUid": 1000}}}"#,
    );
    let keys = |label, uid, login| {
        let keys = Keys::default()
            .with("kmsfs:Label", &[label])
            .with("kmsfs:Uid", &[uid]);
        keys.with("kmsfs:LoginUid", &[login])
    };
    assert!(read(&policy, &keys("hr", "1000", "1000")).is_ok());
    assert!(read(&policy, &keys("it", "1000", "1000")).is_err());
    assert!(read(&policy, &keys("hr", "1001", "1000")).is_err());
    assert!(read(&policy, &keys("hr", "1000", "0")).is_err());
}
