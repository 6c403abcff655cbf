//! The order of a decision, principals, actions and resources.
//!
//! Sources: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>,
//! <https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html>,
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>

use super::*;

fn statement(effect: &str, principal: &str) -> String {
    format!(
        r#"{{"Effect": "{effect}", "Principal": {principal}, "Action": "kms:*", "Resource": "*"}}"#
    )
}

const NAMED: &str = r#"{"AWS": "arn:aws:iam::111122223333:user/alice"}"#;
const BOB: &str = r#"{"AWS": "arn:aws:iam::111122223333:user/bob"}"#;
const ROOT: &str = r#"{"AWS": "arn:aws:iam::111122223333:root"}"#;
const ALLOW: &str = r#"{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}"#;
const DENY: &str = r#"{"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*"}"#;

/// The statements that decided, or that denied.
fn outcome(
    policy: &str,
    identity: &[&str],
    grants: &[&str],
) -> Result<Vec<String>, (DenyReason, Vec<String>)> {
    let identity: Vec<_> = identity.iter().map(|text| identity_policy(text)).collect();
    let identity: Vec<_> = identity.iter().collect();
    decrypt(&key_policy(policy), &identity, grants, &user("alice"))
        .map(|allowed| allowed.statements().to_vec())
        .map_err(|denied| (denied.reason, denied.statements))
}

fn ids(list: &[&str]) -> Vec<String> {
    list.iter().map(|&id| id.to_owned()).collect()
}

#[test]
fn the_order_of_a_decision_is_aws_s() {
    let allow = |principal: &str| statement("Allow", principal);
    let deny = |principal: &str| statement("Deny", principal);
    let nothing = || Err((DenyReason::NoAllow, vec![]));
    let refused = |list: &[&str]| Err((DenyReason::ExplicitDeny, ids(list)));
    let allowed = |list: &[&str]| Ok(ids(list));
    let rows: [(&str, &[&str], &[&str], _); 15] = [
        // Nothing, or nothing about the caller: implicit deny.
        (&allow(BOB), &[], &[], nothing()),
        // The key policy names the caller, or everyone.
        (&allow(NAMED), &[], &[], allowed(&["key:#1"])),
        (&allow(r#""*""#), &[], &[], allowed(&["key:#1"])),
        (&allow(r#"{"AWS": "*"}"#), &[], &[], allowed(&["key:#1"])),
        // It delegates to the account: only with an identity policy.
        (&allow(ROOT), &[], &[], nothing()),
        (
            &allow(ROOT),
            &[ALLOW],
            &[],
            allowed(&["key:#1", "identity:#1"]),
        ),
        (
            &allow(r#"{"AWS": "111122223333"}"#),
            &[ALLOW],
            &[],
            allowed(&["key:#1", "identity:#1"]),
        ),
        // An identity policy alone is not enough for a key.
        (&allow(BOB), &[ALLOW], &[], nothing()),
        (
            &allow(r#"{"AWS": "444455556666"}"#),
            &[ALLOW],
            &[],
            nothing(),
        ),
        // A grant, when nothing else allows.
        (&allow(BOB), &[], &["g1"], allowed(&["grant:g1"])),
        (&allow(NAMED), &[], &["g1"], allowed(&["key:#1"])),
        // An explicit Deny anywhere beats all of it.
        (
            &format!("{},{}", allow(NAMED), deny(NAMED)),
            &[],
            &["g1"],
            refused(&["key:#2"]),
        ),
        (
            &allow(NAMED),
            &[ALLOW, DENY],
            &["g1"],
            refused(&["identity:#1"]),
        ),
        (
            &format!("{},{}", deny(ROOT), allow(NAMED)),
            &[],
            &[],
            refused(&["key:#1"]),
        ),
        (
            &format!("{},{}", allow(NAMED), deny(BOB)),
            &[],
            &[],
            allowed(&["key:#1"]),
        ),
    ];
    for (policy, identity, grants, expected) in rows {
        let found = outcome(policy, identity, grants);
        assert_eq!(found, expected, "{policy} with {identity:?} and {grants:?}");
    }
}

#[test]
fn statements_are_named_by_their_sid() {
    let policy = statement("Deny", r#""*""#).replacen('{', r#"{"Sid": "No one", "#, 1);
    let denied = outcome(&policy, &[DENY], &[]);
    assert_eq!(
        denied,
        Err((
            DenyReason::ExplicitDeny,
            ids(&["key:No one", "identity:#1"])
        ))
    );
    let error = Denied {
        reason: DenyReason::ExplicitDeny,
        statements: ids(&["key:No one"]),
    };
    assert_eq!(error.to_string(), "denied by key:No one");
}

#[test]
fn a_principal_matches_the_caller_s_roles_and_groups() {
    let role = "arn:aws:iam::111122223333:role/clerks";
    let policy = key_policy(&statement("Allow", &format!(r#"{{"AWS": ["{role}"]}}"#)));
    let mut alice = user("alice");
    assert!(decrypt(&policy, &[], &[], &alice).is_err());
    alice.also.push(role.to_owned());
    assert!(decrypt(&policy, &[], &[], &alice).is_ok());
    assert_eq!(policy.facts(), Facts::GIDS, "roles come from groups");
}

#[test]
fn the_root_of_an_account_is_named_by_the_account() {
    let root = Principal {
        arn: format!("arn:aws:iam::{ACCOUNT}:root"),
        ..user("")
    };
    assert!(decrypt(&key_policy(&statement("Allow", ROOT)), &[], &[], &root).is_ok());
}

#[test]
fn a_service_principal_is_nobody_here() {
    let policy = statement("Allow", r#"{"Service": "logs.amazonaws.com"}"#);
    assert!(outcome(&policy, &[ALLOW], &[]).is_err());
}

#[test]
fn not_principal_denies_all_but_those_it_names() {
    let policy = |exempt: &str| {
        let deny = statement("Deny", exempt).replace(r#""Principal""#, r#""NotPrincipal""#);
        key_policy(&format!("{}, {deny}", statement("Allow", r#""*""#)))
    };
    let may = |exempt: &str, name| decrypt(&policy(exempt), &[], &[], &user(name)).is_ok();
    assert!(may(NAMED, "alice") && !may(NAMED, "bob"));
    let with_account = r#"{"AWS": ["arn:aws:iam::111122223333:user/alice",
                                   "arn:aws:iam::111122223333:root"]}"#;
    assert!(may(with_account, "alice") && !may(with_account, "bob"));
    assert!(
        !may(ROOT, "alice"),
        "the account alone exempts nobody in it"
    );
    assert!(may(r#""*""#, "bob"));
}

#[test]
fn actions_match_in_any_case_and_not_action_is_all_the_others() {
    let may = |action: &str, asked: &str| {
        let policy = key_policy(&format!(
            r#"{{"Effect": "Allow", "Principal": "*", {action}, "Resource": "*"}}"#
        ));
        let (principal, context) = (&user("alice"), &Keys::default());
        let request = Request {
            principal,
            action: asked,
            resource: KEY,
            context,
        };
        decide(&policy, &[], &[], &request).is_ok()
    };
    assert!(may(r#""Action": "KMS:decrypt""#, "kms:Decrypt"));
    assert!(may(
        r#""Action": ["kms:Sign", "kms:De*"]"#,
        "kms:DescribeKey"
    ));
    assert!(!may(r#""Action": "kms:De*""#, "kms:Encrypt"));
    assert!(may(r#""NotAction": "kms:De*""#, "kms:Encrypt"));
    assert!(!may(r#""NotAction": "kms:De*""#, "kms:Decrypt"));
    assert!(
        !may(r#""Action": "*""#, "kms:NoSuchAction"),
        "an unknown action is denied"
    );
}

#[test]
fn resources_match_component_by_component() {
    let may = |resource: &str, asked: &str| {
        let policy = tree_policy(&format!(
            r#"{{"Effect": "Allow", "Principal": "*", "Action": "*", {resource}}}"#
        ));
        let (principal, context) = (&user("alice"), &Keys::default());
        let request = Request {
            principal,
            action: "kmsfs:Read",
            resource: asked,
            context,
        };
        decide(&policy, &[], &[], &request).is_ok()
    };
    let volume = "arn:aws:kmsfs:us-east-1:111122223333:volume/7";
    let hr = format!(r#""Resource": "{volume}/hr/*""#);
    assert!(may(&hr, FILE) && may(&hr, &format!("{volume}/hr/a/b:c")));
    assert!(!may(&hr, &format!("{volume}/it/hr/")) && !may(&hr, &format!("{volume}/hr")));
    let not_hr = hr.replace("Resource", "NotResource");
    assert!(!may(&not_hr, FILE) && may(&not_hr, &format!("{volume}/it/x")));
    let lists = format!(r#""Resource": ["{volume}/it/*", "{volume}/hr/pay.?ds"]"#);
    assert!(may(&lists, FILE));
    let any_region = r#""Resource": "arn:aws:kmsfs:*:111122223333:volume/7/*""#;
    assert!(may(any_region, FILE));
    let crossing = "arn:aws:kmsfs:us-east-1:444455556666:volume/8/:111122223333:volume/7/x";
    assert!(
        !may(any_region, crossing),
        "a wildcard does not reach across a colon"
    );
    assert!(may(r#""Resource": "*""#, "*") && !may(&hr, "*"));
}

#[test]
fn a_document_in_another_s_place_allows_nothing() {
    let identity = identity_policy(ALLOW);
    let policy = key_policy(&statement("Allow", r#""*""#));
    let alice = user("alice");
    assert!(decrypt(&identity, &[], &[], &alice).is_err());
    assert!(decrypt(&policy, &[&policy], &[], &alice).is_err());
    assert!(decrypt(&policy, &[&identity], &[], &alice).is_ok());
}
