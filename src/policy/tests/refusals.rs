//! What is refused when a document is loaded, and how it is said.

use super::*;

#[track_caller]
fn problems(kind: DocumentKind, json: &str) -> Vec<Finding> {
    match Document::parse(kind, json) {
        Ok(_) => panic!("accepted: {json}"),
        Err(refused) => refused.problems().to_vec(),
    }
}

#[test]
fn a_refusal_says_where_in_which_statement_and_why() {
    let json = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Principal": "*", "Action": "kmsfs:Read", "Resource": "*"},
    {
      "Sid": "Hr",
      "Effect": "Allow",
      "Principal": "*",
      "Action": ["kmsfs:Read", "kmsfs:Raed"],
      "Resource": "*",
      "Condition": {"StringEqual": {"kmsfs:Label": "é"}, "Bool": {"é": "true"}}
    },
    {"Effect": "Permit", "Principal": "*", "Action": "kmsfs:Read", "Resource": "*"}
  ]
}"#;
    let refused = Document::parse(DocumentKind::Tree, json).unwrap_err();
    let expected = [
        r#"line 9, column 32, statement "Hr": unknown action "kmsfs:Raed""#,
        r#"line 11, column 21, statement "Hr": unknown condition operator "StringEqual""#,
        r#"line 11, column 67, statement "Hr": unknown condition key "é""#,
        r#"line 13, column 16, statement #3: Effect is to be "Allow" or "Deny", not "Permit""#,
    ];
    assert_eq!(refused.to_string(), expected.join("\n"));
}

/// What is put in the place of the good element, and a part of the reason.
#[test]
#[rustfmt::skip] // a table reads by its rows
fn each_malformed_element_is_refused_with_its_reason() {
    let good = r#"{"Effect": "Allow", "Principal": "*", "Action": "kmsfs:Read", "Resource": "*"}"#;
    let rows = [
        (r#""Effect": "Allow","#, "", "no Effect"),
        (r#""Allow""#, "true", "Effect is to be a string"),
        (r#""Allow""#, r#""allow""#, "not \"allow\""),
        (r#""Principal": "*","#, "", "no Principal"),
        (r#""Principal": "*""#, r#""Principal": "alice""#, "is to be \"*\""),
        (r#""Principal": "*""#, r#""Principal": {}"#, "names nobody"),
        (r#""Principal": "*""#, r#""Principal": {"AWS": []}"#, "empty list"),
        (r#""Principal": "*""#, r#""Principal": {"AWS": "alice"}"#, "fewer than six"),
        (r#""Principal": "*""#, r#""Principal": {"AWS": "arn:aws:iam::1:user/a"}"#, "12 digits"),
        (r#""Principal": "*""#, r#""Principal": {"AWS": "arn:aws:iam::111122223333:user/*"}"#, "wildcard"),
        (r#""Principal": "*""#, r#""Principal": {"AWS": "arn:aws:iam::111122223333:user/"}"#, "to name root"),
        (r#""Principal": "*""#, r#""Principal": {"Federated": "x"}"#, "unknown kind of principal"),
        (r#""Principal": "*""#, r#""Principal": {"Service": "x"}"#, "not a service"),
        (r#""Principal": "*""#, r#""NotPrincipal": "*""#, "for Deny only"),
        (r#""Principal": "*""#, r#""Principal": "*", "NotPrincipal": {"AWS": "*"}"#, "exclude each other"),
        (r#""Action": "kmsfs:Read","#, "", "no Action"),
        (r#""kmsfs:Read""#, "[]", "empty list"),
        (r#""kmsfs:Read""#, "[7]", "to hold strings"),
        (r#""kmsfs:Read""#, r#""s3:GetObject""#, "unknown action"),
        (r#""kmsfs:Read""#, r#""kmsfs:Reed*""#, "unknown action"),
        (r#""kmsfs:Read""#, r#""Read""#, "unknown action"),
        (r#""kmsfs:Read""#, r#""kms:Decrypt""#, "a tree policy does not decide"),
        (r#", "Resource": "*""#, "", "no Resource"),
        (r#""Resource": "*""#, r#""Resource": "/hr/*""#, "fewer than six"),
        (r#""Resource": "*""#, r#""Resource": "arn:aws:kmsfs:*""#, "fewer than six"),
        (r#""Resource": "*""#, r#""Resource": "arn:aws:s3:::bucket""#, "no resource of kms"),
        (r#""Resource": "*""#, r#""Resource": "arn:aws:*:::volume/*""#, "no resource of kms"),
        (r#""Resource": "*""#, r#""Resource": "arn:aws:kmsfs:::""#, "names no resource"),
        (r#""Resource": "*""#, r#""Resource": "arn:aws:kmsfs::7:volume/*""#, "12 digits"),
        (r#""Resource": "*""#, r#""Resource": "arn:aws:kmsfs:US EAST::v/*""#, "region"),
        (r#""Resource": "*""#, r#""Resource": "arn:amazon:kmsfs:::v/*""#, "partition"),
        (r#""Resource": "*""#, r#""Resource": "arn:aws:kmsfs:${aws:username}::v/*""#, "only in the resource part"),
        (r#""Resource": "*""#, r#""Resource": "arn:aws:kmsfs:::v/${who}""#, "no known condition key"),
        (r#""Resource": "*""#, r#""Resource": "arn:aws:kmsfs:::v/${kmsfs:Path""#, "without its }"),
        (r#""Resource": "*""#, r#""Resource": "arn:aws:kmsfs:::v/${kmsfs:Gids}""#, "several values"),
        (r#""Resource": "*""#, r#""Resource": "arn:aws:kmsfs:::v/${kmsfs:Path, x}""#, "single quotes"),
        (r#""Resource""#, r#""Sid": 7, "Resource""#, "Sid is to be a string"),
        (r#""Resource""#, r##""Sid": "#1", "Resource""##, "begin with #"),
        (r#""Resource""#, r#""Sid": "a\nb", "Resource""#, "control characters"),
        (r#""Resource""#, r#""Resources": "*", "Resource""#, "unknown element \"Resources\""),
        (r#""Resource""#, r#""Effect": "Deny", "Resource""#, "stands here twice"),
    ];
    for (from, to, reason) in rows {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good, "{from} is to be there");
        let found = problems(DocumentKind::Tree, &text(&changed));
        let said: Vec<_> = found.iter().map(Finding::to_string).collect();
        assert!(
            said.iter().any(|line| line.contains(reason)),
            "{to}: {said:?}"
        );
        assert!(
            found.iter().all(|finding| finding.statement.is_some()),
            "{to}: {said:?}"
        );
    }
}

#[test]
#[rustfmt::skip] // a table reads by its rows
fn each_malformed_condition_is_refused_with_its_reason() {
    let rows = [
        ("7", "JSON object"),
        (r#"{"StringEquals": 7}"#, "JSON object"),
        (r#"{"StringEquals": {}}"#, "compares no condition key"),
        (r#"{"StringEquals": {"kmsfs:Label": []}}"#, "empty list"),
        (r#"{"StringEquals": {"kmsfs:Label": null}}"#, "to hold strings"),
        (r#"{"StringEquals": {"kmsfs:Label": {"a": 1}}}"#, "to hold strings"),
        (r#"{"StringEquals": {"kmsfs:Label": "a", "kmsfs:Label": "b"}}"#, "twice"),
        (r#"{"StringEquals": {"kmsfs:Lable": "a"}}"#, "unknown condition key"),
        (r#"{"StringEquals": {"kms:ViaService": "a"}}"#, "no request that a tree policy"),
        (r#"{"NullIfExists": {"kmsfs:Label": true}}"#, "unknown condition operator"),
        (r#"{"ForAnyValue:Null": {"kmsfs:Label": true}}"#, "unknown condition operator"),
        (r#"{"ForSome:Bool": {"aws:SecureTransport": true}}"#, "unknown condition operator"),
        (r#"{"NumericLike": {"kmsfs:Uid": 1}}"#, "unknown condition operator"),
        (r#"{"NumericEquals": {"kmsfs:Label": 1}}"#, "cannot compare kmsfs:Label"),
        (r#"{"NumericEquals": {"kmsfs:Gids": 1}}"#, "ForAnyValue:NumericEquals"),
        (r#"{"NumericEquals": {"kmsfs:Uid": "alice"}}"#, "a decimal number"),
        (r#"{"NumericEquals": {"kmsfs:Uid": "${aws:username}"}}"#, "a decimal number"),
        (r#"{"DateLessThan": {"aws:CurrentTime": "tomorrow"}}"#, "a date"),
        (r#"{"Bool": {"aws:SecureTransport": "yes"}}"#, "true or false"),
        (r#"{"Null": {"kmsfs:Label": "maybe"}}"#, "true or false"),
        (r#"{"BinaryEquals": {"kmsfs:Label": "?"}}"#, "base64"),
        (r#"{"IpAddress": {"aws:SourceIp": "10.0.0.0/64"}}"#, "CIDR"),
        (r#"{"ArnLike": {"aws:PrincipalArn": "alice"}}"#, "fewer than six"),
        (r#"{"ArnLike": {"aws:PrincipalArn": "arn:aws:iam:*"}}"#, "fewer than six"),
        (r#"{"StringLike": {"kmsfs:Path": "/${x}/*"}}"#, "no known condition key"),
    ];
    for (condition, reason) in rows {
        let statement = format!(
            r#"{{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*",
                 "Condition": {condition}}}"#
        );
        let found = problems(DocumentKind::Tree, &text(&statement));
        assert!(
            found.iter().any(|f| f.reason.contains(reason)),
            "{condition}: {found:?}"
        );
    }
}

#[test]
#[rustfmt::skip] // a table reads by its rows
fn each_malformed_document_is_refused_with_its_reason() {
    let statement =
        r#"{"Sid": "A", "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}"#;
    let with = |head: &str| format!(r#"{{{head}, "Statement": {statement}}}"#);
    let rows = [
        (String::new(), "not valid JSON"),
        ("{".to_owned(), "not valid JSON"),
        (r#"{"Statement": "\ud800"}"#.to_owned(), "not valid JSON"),
        ("[]".to_owned(), "a policy is to be a JSON object"),
        (r#"{"Version": "2012-10-17"}"#.to_owned(), "no Statement"),
        (r#"{"Statement": []}"#.to_owned(), "empty list"),
        (r#"{"Statement": "Allow"}"#.to_owned(), "a statement is to be a JSON object"),
        (with(r#""Version": "2012-10-18""#), "not \"2012-10-18\""),
        (with(r#""Version": 2012"#), "Version is to be a string"),
        (with(r#""Id": 1"#), "Id is to be a string"),
        (with(r#""Name": "x""#), "unknown element \"Name\""),
        (with(r#""Statement": []"#), "twice"),
        (text(&format!("{statement}, {statement}")), "two statements have the Sid \"A\""),
        (text(&"[".repeat(50)).replace("]}", &("]".repeat(51) + "}")), "nested more deeply"),
    ];
    for (json, reason) in rows {
        let found = problems(DocumentKind::Tree, &json);
        assert!(
            found.iter().any(|f| f.reason.contains(reason)),
            "{json}: {found:?}"
        );
    }
}

#[test]
fn each_kind_has_its_own_rules() {
    let allow = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;
    let found = problems(DocumentKind::Key, &text(allow));
    assert_eq!(
        found[0].reason,
        "the statement has no Principal or NotPrincipal"
    );
    let named = allow.replace('{', r#"{"Principal": "*", "#);
    let found = problems(DocumentKind::Identity, &text(&named));
    assert!(
        found[0]
            .reason
            .contains("an identity policy has no Principal")
    );
    let read = named.replace(r#""Action": "*""#, r#""Action": "kmsfs:Read""#);
    let found = problems(DocumentKind::Key, &text(&read));
    assert!(found[0].reason.contains("a key policy does not decide"));
    let path = r#", "Condition": {"StringLike": {"kmsfs:ExePath": "/*"}}}"#;
    let found = problems(DocumentKind::Key, &text(&named.replace('}', path)));
    assert!(
        found[0]
            .reason
            .contains("no request that a key policy decides has kmsfs:ExePath")
    );
}
