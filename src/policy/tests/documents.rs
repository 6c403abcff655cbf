//! Documents that kmsfs writes, facts and warnings.

use super::*;

const VOLUME: &str = "arn:aws:kmsfs:us-east-1:111122223333:volume/7";

#[test]
fn the_canned_documents_parse_without_a_warning() {
    let owner = user(r#"a"\b"#).arn;
    for (kind, json) in [
        (
            DocumentKind::Tree,
            canned::owner_tree_policy(&owner, VOLUME),
        ),
        (
            DocumentKind::Tree,
            canned::everyone_tree_policy(VOLUME, ACCOUNT),
        ),
        (DocumentKind::Key, canned::default_key_policy(ACCOUNT)),
        (
            DocumentKind::Key,
            canned::kmsfs_key_policy(ACCOUNT, "us-east-1"),
        ),
        (
            DocumentKind::Identity,
            canned::administrator_identity_policy(),
        ),
    ] {
        let document = Document::parse(kind, &json).unwrap_or_else(|e| panic!("{json}: {e}"));
        assert_eq!(document.warnings(), [], "{json}");
        assert_eq!(document.source(), json);
        assert_eq!(document.facts(), Facts::empty());
    }
}

#[test]
fn the_owner_policy_allows_the_owner_only() {
    let policy = canned::owner_tree_policy(&user("alice").arn, VOLUME);
    let policy = Document::parse(DocumentKind::Tree, &policy).unwrap();
    let may = |principal: &Principal, resource: &str| {
        let context = &Keys::default();
        let request = Request {
            principal,
            action: "kmsfs:Write",
            resource,
            context,
        };
        decide(&policy, &[], &[], &request).is_ok()
    };
    let root = Principal {
        arn: format!("arn:aws:iam::{ACCOUNT}:user/root"),
        ..user("")
    };
    assert!(may(&user("alice"), FILE) && may(&user("alice"), &format!("{VOLUME}/")));
    assert!(!may(&user("bob"), FILE) && !may(&root, FILE));
    assert!(!may(&user("alice"), &FILE.replace("/7/", "/8/")));
}

#[test]
fn the_everyone_policy_allows_every_user_of_the_account() {
    let policy = canned::everyone_tree_policy(VOLUME, ACCOUNT);
    let policy = Document::parse(DocumentKind::Tree, &policy).unwrap();
    assert!(read(&policy, &Keys::default()).is_ok());
    let stranger = Principal {
        arn: "arn:aws:iam::444455556666:user/alice".into(),
        account: "444455556666".into(),
        also: vec![],
    };
    let context = &Keys::default();
    let request = Request {
        principal: &stranger,
        action: "kmsfs:Read",
        resource: FILE,
        context,
    };
    assert!(decide(&policy, &[], &[], &request).is_err());
}

#[test]
fn the_default_key_policy_only_delegates() {
    let policy = Document::parse(DocumentKind::Key, &canned::default_key_policy(ACCOUNT)).unwrap();
    let admin = canned::administrator_identity_policy();
    let admin = Document::parse(DocumentKind::Identity, &admin).unwrap();
    assert!(decrypt(&policy, &[], &[], &user("alice")).is_err());
    let allowed = decrypt(&policy, &[&admin], &[], &user("alice")).unwrap();
    let ids = ["key:Enable IAM User Permissions", "identity:AdministerKeys"];
    assert_eq!(allowed.statements(), ids);
}

#[test]
fn the_kmsfs_key_policy_opens_the_key_to_kmsfs_only() {
    let policy = canned::kmsfs_key_policy(ACCOUNT, "us-east-1");
    let policy = Document::parse(DocumentKind::Key, &policy).unwrap();
    let may = |action, service: &str, account: &str| {
        let context = &Keys::default()
            .with("kms:ViaService", &[service])
            .with("kms:CallerAccount", &[account]);
        let principal = &user("alice");
        let request = Request {
            principal,
            action,
            resource: KEY,
            context,
        };
        decide(&policy, &[], &[], &request).is_ok()
    };
    let kmsfs = "kmsfs.us-east-1.amazonaws.com";
    for action in [
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "kms:ReEncryptTo",
        "kms:DescribeKey",
    ] {
        assert!(may(action, kmsfs, ACCOUNT), "{action}");
        assert!(
            !may(action, "s3.us-east-1.amazonaws.com", ACCOUNT),
            "{action}"
        );
        assert!(!may(action, kmsfs, "444455556666"), "{action}");
    }
    assert!(!may("kms:DisableKey", kmsfs, ACCOUNT) && !may("kms:Encrypt", kmsfs, ACCOUNT));
    assert!(
        decrypt(&policy, &[], &[], &user("alice")).is_err(),
        "not without the service"
    );
}

#[test]
fn facts_tell_what_conditions_variables_and_principals_need() {
    let facts = |rest: &str| {
        let statement = format!(r#"{{"Effect": "Deny", "Action": "*", {rest}}}"#);
        document(DocumentKind::Tree, &statement).facts()
    };
    let all = r#""Principal": "*", "Resource": "*""#;
    assert_eq!(facts(all), Facts::empty());
    let condition = |condition: &str| facts(&format!(r#"{all}, "Condition": {condition}"#));
    assert_eq!(
        condition(r#"{"NumericEquals": {"kmsfs:Uid": 1}}"#),
        Facts::empty()
    );
    assert_eq!(
        condition(
            r#"{"ForAnyValue:NumericEquals": {"kmsfs:Gids": 4},
                "StringLikeIfExists": {"KMSFS:exepath": "/*", "kmsfs:ExeSha256": "a"}}"#
        ),
        Facts::GIDS | Facts::EXE_PATH | Facts::EXE_SHA256
    );
    assert_eq!(
        condition(r#"{"Null": {"kmsfs:LoginUid": false}}"#),
        Facts::LOGIN_UID
    );
    assert_eq!(
        condition(r#"{"StringLike": {"kmsfs:Path": "/${kmsfs:LoginUid, 'x'}/*"}}"#),
        Facts::LOGIN_UID
    );
    let path = r#""Principal": "*", "NotResource": "arn:aws:kmsfs:::volume/7${kmsfs:ExePath}""#;
    assert_eq!(facts(path), Facts::EXE_PATH);
    let user = r#""NotPrincipal": {"AWS": "arn:aws:iam::111122223333:user/a"}, "Resource": "*""#;
    assert_eq!(facts(user), Facts::empty());
    assert_eq!(facts(&user.replace("user/a", "group/a")), Facts::GIDS);
}

#[test]
fn what_is_probably_a_mistake_is_warned_of() {
    let rows = [
        (
            DocumentKind::Tree,
            r#""Allow", "Principal": "*""#,
            "",
            Some("allows everyone"),
        ),
        (
            DocumentKind::Tree,
            r#""Allow", "Principal": {"Service": "x.amazonaws.com"}"#,
            "",
            Some("about nobody"),
        ),
        (
            DocumentKind::Tree,
            r#""Deny", "Principal": "*""#,
            "",
            Some("locks everybody out"),
        ),
        (
            DocumentKind::Identity,
            r#""Allow""#,
            r#""ForAllValues:StringEquals": {"aws:TagKeys": "a"}"#,
            Some("ForAllValues holds when aws:TagKeys is absent"),
        ),
        (
            DocumentKind::Identity,
            r#""Allow""#,
            r#""ForAllValues:StringEquals": {"aws:TagKeys": "a"},
               "Null": {"aws:TagKeys": false}"#,
            None,
        ),
        (
            DocumentKind::Identity,
            r#""Deny""#,
            r#""StringEquals": {"kmsfs:ExePath": "/bin/sh"}"#,
            Some("requests for kms: actions do not have kmsfs:ExePath"),
        ),
    ];
    for (kind, head, condition, expected) in rows {
        let document = document(
            kind,
            &format!(
                r#"{{"Effect": {head}, "Action": "*", "Resource": "*",
                     "Condition": {{{condition}}}}}"#
            ),
        );
        let warnings = document.warnings();
        let reasons: Vec<_> = warnings.iter().map(|warning| &*warning.reason).collect();
        match expected {
            Some(part) => assert!(
                reasons.iter().any(|r| r.contains(part)),
                "{head}: {reasons:?}"
            ),
            None => assert_eq!(warnings, [], "{head} {condition}"),
        }
    }
}

#[test]
fn a_path_without_a_label_is_warned_of() {
    let warned = |path: &str, condition: &str| {
        let policy = tree_policy(&format!(
            r#"{{"Sid": "P", "Effect": "Allow", "Principal": {{"AWS": "{ACCOUNT}"}}, "Action": "*",
                 "Resource": "{VOLUME}/{path}", "Condition": {{{condition}}}}}"#
        ));
        let about_paths = |warning: &Finding| warning.reason.contains("a path does not bind");
        policy.warnings().iter().any(about_paths)
    };
    assert!(warned("hr/*", "") && !warned("*", ""));
    assert!(!warned("hr/*", r#""StringEquals": {"kmsfs:Label": "hr"}"#));
}

#[test]
fn a_variable_in_a_2008_document_is_warned_of_where_it_stands() {
    let json = r#"{"Statement": {"Effect": "Deny", "Action": "*",
  "Resource": "arn:aws:kmsfs:::volume/7/${aws:username}"}}"#;
    let warnings = Document::parse(DocumentKind::Identity, json)
        .unwrap()
        .warnings();
    assert_eq!((warnings[0].line, warnings[0].column), (1, 15), "the path");
    assert_eq!(
        (warnings[1].line, warnings[1].column),
        (2, 41),
        "the variable"
    );
    assert!(warnings[1].reason.contains("2012-10-17"));
}

#[test]
fn an_allow_that_nobody_can_use_and_a_lockout_are_warned_of() {
    let everything = |effect: &str, principal: &str, action: &str, resource: &str| {
        format!(
            r#"{{"Effect": "{effect}", "Principal": {principal}, "Action": "{action}",
                 "Resource": "{resource}"}}"#
        )
    };
    let ann = r#"{"AWS": "arn:aws:iam::111122223333:user/ann"}"#;
    let account = r#"{"AWS": "111122223333"}"#;
    let (hr, all) = (format!("{VOLUME}/hr/*"), format!("{VOLUME}/*"));
    let reasons = |kind, statements: &[String]| {
        let warnings = document(kind, &statements.join(",")).warnings();
        let reasons = warnings.into_iter().map(|warning| warning.reason);
        reasons.collect::<Vec<_>>().join("\n")
    };
    let tree = |statements: &[String]| reasons(DocumentKind::Tree, statements);
    let allow = everything("Allow", ann, "kmsfs:Read", &hr);
    for (deny, unusable) in [
        (everything("Deny", r#""*""#, "kmsfs:*", "*"), true),
        (everything("Deny", account, "kmsfs:Re*", &all), true),
        (everything("Deny", ann, "kmsfs:Read", &hr), true),
        // Another action, another user, less of the resource.
        (everything("Deny", ann, "kmsfs:Write", &hr), false),
        (
            everything("Deny", &ann.replace("ann", "bob"), "kmsfs:*", "*"),
            false,
        ),
        (
            everything("Deny", ann, "kmsfs:*", &format!("{VOLUME}/hr/?")),
            false,
        ),
        (
            everything("Deny", ann, "kmsfs:*", &format!("{VOLUME}/hr/pay*")),
            false,
        ),
    ] {
        let found = tree(&[allow.clone(), deny.clone()]);
        assert_eq!(
            found.contains("nobody can use it"),
            unusable,
            "{deny}: {found}"
        );
        assert_eq!(
            found.contains("locks everybody out"),
            unusable,
            "{deny}: {found}"
        );
    }
    let conditional = everything("Deny", ann, "kmsfs:*", "*").replace(
        r#""Resource": "*""#,
        r#""Resource": "*", "Condition": {"NumericEquals": {"kmsfs:Uid": 7}}"#,
    );
    assert!(!tree(&[allow, conditional]).contains("nobody can use it"));
    let elsewhere = everything("Allow", ann, "kmsfs:Read", KEY);
    assert!(tree(&[elsewhere]).contains("not what a tree policy decides about"));

    let key = |statements: &[String]| reasons(DocumentKind::Key, statements);
    let administer = everything("Allow", account, "kms:*", "*");
    assert!(!key(std::slice::from_ref(&administer)).contains("locks"));
    let no_change = everything("Deny", r#""*""#, "kms:PutKeyPolicy", "*");
    assert!(key(&[administer, no_change]).contains("locks itself"));
    let only_use = everything("Allow", ann, "kms:Decrypt", "*");
    assert!(key(&[only_use]).contains("locks itself"));
}
