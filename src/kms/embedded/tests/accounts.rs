//! Identity policies, and callers of other accounts.

use std::sync::Arc;

use super::{Fixture, policy_for};
use crate::{
    kms::{
        Administration, Caller, CreateKeyRequest, CreateUserRequest, EncryptRequest, KmsError,
        Plaintext, UserRef, administration::Administrator, embedded::Change, state::Write,
        testing::user,
    },
    policy::{Document, DocumentKind, Principal},
};

pub(super) fn attach(fixture: &Fixture, principal: &str, policy: &str) {
    let document = Document::parse(DocumentKind::Identity, policy).unwrap();
    let write = Write::IdentityPolicy(principal.to_owned(), "p".to_owned(), Arc::new(document));
    let service = fixture.embedded();
    let change = Change::write(service, service.changing(), vec![write]);
    change.ok().unwrap().commit().unwrap();
}

fn encrypt(fixture: &Fixture, caller: &Caller, key: &str) -> Result<(), KmsError> {
    let request = EncryptRequest {
        key_id: key.to_owned(),
        plaintext: Plaintext::new(b"x".to_vec()),
        ..Default::default()
    };
    fixture.service().encrypt(caller, &request).map(drop)
}

fn denied<T>(answer: Result<T, KmsError>) -> bool {
    matches!(answer.map(drop), Err(KmsError::AccessDenied(_)))
}

const ALLOW: &str = r#"{"Version": "2012-10-17", "Statement":
    [{"Effect": "Allow", "Action": ["kms:Encrypt", "kms:CreateKey"], "Resource": "*"}]}"#;

#[test]
fn an_identity_policy_counts_where_the_key_delegates_also_after_a_restart() {
    let mut fixture = Fixture::new();
    let alice = user("alice");
    let key = fixture.key();
    assert!(denied(encrypt(&fixture, &alice, &key)));
    attach(&fixture, &alice.principal.arn, ALLOW);
    fixture.reopen();
    encrypt(&fixture, &alice, &key).unwrap();
    assert!(denied(fixture.describe(&alice, &key)));
    // The default policy does not let her administer her key, but the account can still.
    let made = fixture
        .service()
        .create_key(&alice, &CreateKeyRequest::default());
    made.unwrap();
    let bob = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::000000000000:user/bob"}, "Action": "kms:*",
        "Resource": "*"}]}"#;
    let undelegated = CreateKeyRequest {
        policy: Some(bob.to_owned()),
        bypass_policy_lockout_safety_check: Some(true),
        ..Default::default()
    };
    let made = fixture.service().create_key(&fixture.admin, &undelegated);
    let undelegated = made.unwrap().key_metadata.key_id;
    assert!(denied(encrypt(&fixture, &alice, &undelegated)));
    encrypt(&fixture, &user("bob"), &undelegated).unwrap();
}

#[test]
fn a_groups_policy_is_its_members() {
    let fixture = Fixture::new();
    let key = fixture.key();
    let group = "arn:aws:iam::000000000000:group/staff";
    attach(&fixture, group, ALLOW);
    let alice = user("alice");
    assert!(denied(encrypt(&fixture, &alice, &key)));
    let member = Principal {
        also: vec![group.to_owned()],
        ..(*alice.principal).clone()
    };
    encrypt(&fixture, &Caller::new(Arc::new(member)), &key).unwrap();
}

#[test]
fn a_group_that_the_service_keeps_counts_however_its_member_comes() {
    let fixture = Fixture::new();
    let alice = user("alice");
    let key = fixture.key_with(&policy_for("alice", r#""kms:Encrypt""#, ""));
    let user = UserRef {
        user_name: "alice".to_owned(),
        account: None,
    };
    let create = CreateUserRequest {
        user,
        admin: false,
        policy: None,
        groups: vec!["barred".to_owned()],
        mount: false,
    };
    let administrator = Administrator::in_this_process();
    let administered = fixture.embedded().administer(&administrator);
    administered.create_user(&fixture.admin, &create).unwrap();
    // As the socket and mounts name her: without the groups of the service.
    encrypt(&fixture, &alice, &key).unwrap();
    let deny = ALLOW.replace("Allow", "Deny");
    attach(&fixture, "arn:aws:iam::000000000000:group/barred", &deny);
    assert!(denied(encrypt(&fixture, &alice, &key)));
}

#[test]
fn an_identity_deny_always_counts() {
    let fixture = Fixture::new();
    let alice = user("alice");
    let key = fixture.key_with(&policy_for("alice", r#""kms:Encrypt""#, ""));
    encrypt(&fixture, &alice, &key).unwrap();
    let deny = ALLOW.replace("Allow", "Deny");
    attach(&fixture, &alice.principal.arn, &deny);
    assert!(denied(encrypt(&fixture, &alice, &key)));
}

#[test]
fn a_caller_of_another_account_needs_the_key_policy_and_his_own() {
    let fixture = Fixture::new();
    let stranger = Caller::new(Arc::new(Principal {
        arn: "arn:aws:iam::111122223333:user/eve".to_owned(),
        account: "111122223333".to_owned(),
        also: Vec::new(),
    }));
    let own = fixture.key();
    let policy = policy_for("alice", r#""kms:Encrypt""#, "");
    let named = policy.replace(
        "000000000000:user/alice",
        &format!("{}:user/eve", stranger.principal.account),
    );
    let open = fixture.key_with(&named);
    let to_account = policy.replace("000000000000:user/alice", "111122223333:root");
    let delegating = fixture.key_with(&to_account);
    for key in [&own, &open, &delegating] {
        assert!(denied(encrypt(&fixture, &stranger, &Fixture::arn(key))));
    }
    attach(&fixture, &stranger.principal.arn, ALLOW);
    assert!(denied(encrypt(&fixture, &stranger, &Fixture::arn(&own))));
    encrypt(&fixture, &stranger, &Fixture::arn(&open)).unwrap();
    encrypt(&fixture, &stranger, &Fixture::arn(&delegating)).unwrap();
    let create = fixture
        .service()
        .create_key(&stranger, &CreateKeyRequest::default());
    assert!(denied(create), "the account is not his");
}
