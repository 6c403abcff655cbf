//! Policy variables.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>

use super::*;

const HOME: &str = "arn:aws:kmsfs:us-east-1:111122223333:volume/7/home";

/// Whether `name` may read `path` under an Allow (or is denied under a Deny) of `resource`.
fn reached(effect: &str, resource: &str, caller: &Principal, path: &str, keys: &Keys) -> bool {
    let everyone = r#"{"Effect": "Allow", "Principal": "*", "Action": "kmsfs:*", "Resource": "*"}"#;
    let statement = format!(
        r#"{{"Effect": "{effect}", "Principal": "*", "Action": "kmsfs:Read", {resource}}}"#
    );
    let policy = match effect {
        "Allow" => tree_policy(&statement),
        _ => tree_policy(&format!("{everyone}, {statement}")),
    };
    let request = Request {
        principal: caller,
        action: "kmsfs:Read",
        resource: path,
        context: keys,
    };
    decide(&policy, &[], &[], &request).is_ok() == (effect == "Allow")
}

#[test]
fn a_variable_stands_for_the_value_of_its_key() {
    let own = format!(r#""Resource": "{HOME}/${{aws:UserName}}/*""#);
    let read = |name: &str, file: &str| {
        reached(
            "Allow",
            &own,
            &user(name),
            &format!("{HOME}/{file}"),
            &Keys::default(),
        )
    };
    assert!(read("alice", "alice/notes"));
    assert!(!read("alice", "bob/notes"));
    assert!(!read("alice", "alice"));
    assert!(
        read("b${aws:username}b", "b${aws:username}b/x"),
        "a value is not expanded again"
    );
}

#[test]
fn a_substituted_wildcard_is_a_literal() {
    let own = format!(r#""Resource": "{HOME}/${{aws:username}}/*""#);
    let read = |file: &str| {
        reached(
            "Allow",
            &own,
            &user("*"),
            &format!("{HOME}/{file}"),
            &Keys::default(),
        )
    };
    assert!(!read("bob/notes"));
    assert!(read("*/notes"));
}

#[test]
fn the_principal_answers_for_its_own_keys_and_the_context_is_not_asked() {
    let own = format!(r#""Resource": "{HOME}/${{aws:username}}/*""#);
    let lie = Keys::default().with("aws:username", &["bob"]);
    assert!(!reached(
        "Allow",
        &own,
        &user("alice"),
        &format!("{HOME}/bob/x"),
        &lie
    ));
    assert!(reached(
        "Allow",
        &own,
        &user("alice"),
        &format!("{HOME}/alice/x"),
        &lie
    ));
}

#[test]
fn the_escapes_stand_for_the_characters_themselves() {
    let path = |text: &str| format!("{HOME}/{text}");
    let read = |pattern: &str, file: &str| {
        let resource = format!(r#""Resource": "{HOME}/{pattern}""#);
        reached(
            "Allow",
            &resource,
            &user("alice"),
            &path(file),
            &Keys::default(),
        )
    };
    assert!(read("a${*}b", "a*b") && !read("a${*}b", "axb"));
    assert!(read("a${?}b", "a?b") && !read("a${?}b", "axb"));
    assert!(read("${$}{aws:username}", "${aws:username}"));
    assert!(read("a$b", "a$b"));
}

#[test]
fn a_default_stands_in_for_a_missing_value() {
    let resource = format!(r#""Resource": "{HOME}/${{kmsfs:Label, 'public * x'}}/*""#);
    let read = |file: &str, keys: &Keys| {
        reached(
            "Allow",
            &resource,
            &user("alice"),
            &format!("{HOME}/{file}"),
            keys,
        )
    };
    assert!(read("public * x/a", &Keys::default()));
    assert!(
        !read("public secret x/a", &Keys::default()),
        "a default is a literal"
    );
    let labelled = Keys::default().with("kmsfs:Label", &["hr"]);
    assert!(read("hr/a", &labelled) && !read("public * x/a", &labelled));
}

#[test]
fn a_variable_without_a_value_matches_nothing_and_never_helps_an_allow() {
    let role = Principal {
        arn: format!("arn:aws:iam::{ACCOUNT}:role/clerk"),
        ..user("")
    };
    let keys = Keys::default();
    let path = format!("{HOME}/alice/x");
    let resource = format!(r#""Resource": "{HOME}/${{aws:username}}/*""#);
    assert!(!reached("Allow", &resource, &role, &path, &keys));
    assert!(!reached("Deny", &resource, &role, &path, &keys));
    let all_but = format!(r#""NotResource": "{HOME}/${{aws:username}}/*""#);
    assert!(!reached("Allow", &all_but, &role, &path, &keys));
    assert!(reached("Deny", &all_but, &role, &path, &keys));
    let other = r#""Resource": "*",
        "Condition": {"StringNotEquals": {"kmsfs:Path": "${aws:username}"}}"#;
    let keys = keys.with("kmsfs:Path", &["/a"]);
    assert!(!reached("Allow", other, &role, &path, &keys));
    assert!(reached("Deny", other, &role, &path, &keys));
    assert!(reached("Allow", other, &user("alice"), &path, &keys));
}

#[test]
fn a_value_is_compared_in_conditions_as_well() {
    let condition = |operator: &str| {
        format!(
            r#""Resource": "*", "Condition": {{"{operator}": {{"kmsfs:Label": "${{aws:username}}"}}}}"#
        )
    };
    let labelled = |operator, name: &str, label| {
        let keys = Keys::default().with("kmsfs:Label", &[label]);
        reached("Allow", &condition(operator), &user(name), FILE, &keys)
    };
    assert!(labelled("StringEquals", "alice", "alice"));
    assert!(!labelled("StringEquals", "alice", "Alice"));
    assert!(labelled("StringEqualsIgnoreCase", "alice", "Alice"));
    assert!(!labelled("StringLike", "*", "alice"));
    assert!(!labelled("StringNotEquals", "alice", "alice"));
}

#[test]
fn a_2008_document_has_no_variables() {
    let json = format!(
        r#"{{"Version": "2008-10-17", "Statement": {{"Effect": "Allow", "Principal": "*",
             "Action": "kmsfs:Read", "Resource": "{HOME}/${{aws:username}}"}}}}"#
    );
    let versions = [
        json.clone(),
        json.replace(r#""Version": "2008-10-17", "#, ""),
    ];
    for json in versions {
        let policy = Document::parse(DocumentKind::Tree, &json).unwrap();
        let alice = user("alice");
        let read = |file: &str| {
            let resource = &format!("{HOME}/{file}");
            let context = &Keys::default();
            let request = Request {
                principal: &alice,
                action: "kmsfs:Read",
                resource,
                context,
            };
            decide(&policy, &[], &[], &request).is_ok()
        };
        assert!(read("${aws:username}") && !read("alice"));
    }
}
