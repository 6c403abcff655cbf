//! Grants: what they allow, who ends them, and that they only narrow.

use super::{Fixture, refusal};
use crate::kms::{
    Caller, CreateGrantRequest, CreateGrantResponse, CreateKeyRequest, DescribeKeyRequest,
    EncryptRequest, EncryptionContext, GrantConstraints, GrantListEntry, GrantOperation, KeySpec,
    KeyUsage, KmsError, ListGrantsRequest, ListRetirableGrantsRequest, Plaintext,
    RetireGrantRequest, RevokeGrantRequest, testing::user,
};

use GrantOperation::{CreateGrant, Decrypt, DescribeKey, Encrypt, RetireGrant, Sign};

fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn subset(pairs: &[(&str, &str)]) -> GrantConstraints {
    GrantConstraints {
        encryption_context_subset: Some(context(pairs)),
        ..Default::default()
    }
}

fn request(key: &str, grantee: &Caller, operations: &[GrantOperation]) -> CreateGrantRequest {
    CreateGrantRequest {
        key_id: key.to_owned(),
        grantee_principal: Some(grantee.principal.arn.clone()),
        operations: operations.to_vec(),
        ..Default::default()
    }
}

fn grant(fixture: &Fixture, request: &CreateGrantRequest) -> CreateGrantResponse {
    let made = fixture.service().create_grant(&fixture.admin, request);
    made.unwrap()
}

fn encrypt(
    fixture: &Fixture,
    caller: &Caller,
    key: &str,
    pairs: &[(&str, &str)],
) -> Result<(), KmsError> {
    let request = EncryptRequest {
        key_id: key.to_owned(),
        plaintext: Plaintext::new(b"x".to_vec()),
        encryption_context: context(pairs),
        ..Default::default()
    };
    fixture.service().encrypt(caller, &request).map(drop)
}

fn list(fixture: &Fixture, key: &str) -> Vec<GrantListEntry> {
    let request = ListGrantsRequest {
        key_id: key.to_owned(),
        ..Default::default()
    };
    let listed = fixture.service().list_grants(&fixture.admin, &request);
    listed.unwrap().grants
}

fn denied<T>(answer: Result<T, KmsError>) -> bool {
    matches!(answer.map(drop), Err(KmsError::AccessDenied(_)))
}

#[test]
fn a_grant_lets_in_for_its_operations_only_also_after_a_restart() {
    let mut fixture = Fixture::new();
    let (key, alice) = (fixture.key(), user("alice"));
    assert!(denied(encrypt(&fixture, &alice, &key, &[])));
    let made = grant(&fixture, &request(&key, &alice, &[Encrypt]));
    assert_eq!(made.grant_id.len(), 64);
    for reopened in [false, true] {
        if reopened {
            fixture.reopen();
        }
        encrypt(&fixture, &alice, &key, &[]).unwrap();
        assert!(denied(encrypt(&fixture, &user("bob"), &key, &[])));
        assert!(denied(fixture.describe(&alice, &key)));
        let listed = list(&fixture, &key);
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].key_id, Fixture::arn(&key));
        assert_eq!(listed[0].issuing_account, "arn:aws:iam::000000000000:root");
    }
}

#[test]
fn the_record_names_the_grant_that_let_the_caller_in() {
    let fixture = Fixture::new();
    let (key, alice) = (fixture.key(), user("alice"));
    let made = grant(&fixture, &request(&key, &alice, &[Encrypt]));
    encrypt(&fixture, &alice, &key, &[]).unwrap();
    let log = std::fs::read_to_string(fixture.place.path().join("audit/kms.jsonl")).unwrap();
    let named = format!("\"grant:{}\"", made.grant_id);
    let used = log.lines().filter(|line| line.contains(&named));
    assert_eq!(used.count(), 1);
}

#[test]
fn a_deny_beats_a_grant() {
    let fixture = Fixture::new();
    let alice = user("alice");
    let policy = super::policy_for("alice", r#""kms:DescribeKey""#, "").replace(
        r#""Sid": "User", "Effect": "Allow""#,
        r#""Sid": "User", "Effect": "Deny""#,
    );
    let key = fixture.key_with(&policy);
    grant(&fixture, &request(&key, &alice, &[Encrypt, DescribeKey]));
    encrypt(&fixture, &alice, &key, &[]).unwrap();
    assert!(denied(fixture.describe(&alice, &key)));
}

#[test]
fn constraints_bind_the_encryption_context_and_nothing_else() {
    let fixture = Fixture::new();
    let (key, alice) = (fixture.key(), user("alice"));
    let constrained = CreateGrantRequest {
        constraints: Some(subset(&[("team", "pay")])),
        ..request(&key, &alice, &[Encrypt, DescribeKey])
    };
    grant(&fixture, &constrained);
    for pairs in [&[("team", "pay")][..], &[("a", "b"), ("team", "pay")]] {
        encrypt(&fixture, &alice, &key, pairs).unwrap();
    }
    for pairs in [&[][..], &[("team", "hr")], &[("Team", "pay")]] {
        assert!(denied(encrypt(&fixture, &alice, &key, pairs)), "{pairs:?}");
    }
    fixture.describe(&alice, &key).unwrap();

    let bob = user("bob");
    let constrained = CreateGrantRequest {
        constraints: Some(GrantConstraints {
            encryption_context_equals: Some(context(&[("team", "pay")])),
            ..Default::default()
        }),
        ..request(&key, &bob, &[Encrypt])
    };
    grant(&fixture, &constrained);
    encrypt(&fixture, &bob, &key, &[("team", "pay")]).unwrap();
    let more = [("a", "b"), ("team", "pay")];
    assert!(denied(encrypt(&fixture, &bob, &key, &more)));
}

#[test]
fn a_repeated_request_with_a_name_is_the_same_grant() {
    let fixture = Fixture::new();
    let (key, alice) = (fixture.key(), user("alice"));
    let named = CreateGrantRequest {
        name: Some("once".to_owned()),
        ..request(&key, &alice, &[Encrypt])
    };
    let (first, again) = (grant(&fixture, &named), grant(&fixture, &named));
    assert_eq!(first.grant_id, again.grant_id);
    assert_ne!(first.grant_token, again.grant_token);
    let other = CreateGrantRequest {
        operations: vec![Encrypt, Decrypt],
        ..named
    };
    assert_ne!(grant(&fixture, &other).grant_id, first.grant_id);
    let unnamed = request(&key, &alice, &[Encrypt]);
    assert_ne!(
        grant(&fixture, &unnamed).grant_id,
        grant(&fixture, &unnamed).grant_id
    );
    assert_eq!(list(&fixture, &key).len(), 4);
}

#[test]
fn a_grantee_grants_no_more_than_the_grant_gives() {
    let fixture = Fixture::new();
    let (key, alice, bob) = (fixture.key(), user("alice"), user("bob"));
    let constrained = CreateGrantRequest {
        constraints: Some(subset(&[("team", "pay")])),
        ..request(&key, &alice, &[CreateGrant, Encrypt])
    };
    grant(&fixture, &constrained);
    let create = |child: &CreateGrantRequest| fixture.service().create_grant(&alice, child);
    let within = CreateGrantRequest {
        constraints: Some(subset(&[("team", "pay"), ("year", "26")])),
        ..request(&key, &bob, &[Encrypt])
    };
    create(&within).unwrap();
    encrypt(&fixture, &bob, &key, &[("team", "pay"), ("year", "26")]).unwrap();
    for beyond in [
        CreateGrantRequest {
            operations: vec![Encrypt, Decrypt],
            ..within.clone()
        },
        CreateGrantRequest {
            constraints: None,
            ..within.clone()
        },
        CreateGrantRequest {
            constraints: Some(subset(&[("team", "hr")])),
            ..within.clone()
        },
    ] {
        assert!(denied(create(&beyond)), "{beyond:?}");
    }
    assert!(denied(fixture.service().create_grant(&bob, &within)));
}

#[test]
fn a_grant_is_retired_by_who_may_and_by_nobody_else() {
    let fixture = Fixture::new();
    let (key, alice, bob) = (fixture.key(), user("alice"), user("bob"));
    let by_id = |id: &str| RetireGrantRequest {
        key_id: Some(Fixture::arn(&key)),
        grant_id: Some(id.to_owned()),
        ..Default::default()
    };
    let retire = |caller: &Caller, request: &RetireGrantRequest| {
        fixture.service().retire_grant(caller, request)
    };

    let retirable = CreateGrantRequest {
        retiring_principal: Some(bob.principal.arn.clone()),
        ..request(&key, &alice, &[Encrypt])
    };
    let made = grant(&fixture, &retirable);
    assert!(denied(retire(&alice, &by_id(&made.grant_id))));
    retire(&bob, &by_id(&made.grant_id)).unwrap();
    assert!(denied(encrypt(&fixture, &alice, &key, &[])));

    let made = grant(&fixture, &request(&key, &alice, &[Encrypt, RetireGrant]));
    let by_token = RetireGrantRequest {
        grant_token: Some(made.grant_token),
        ..Default::default()
    };
    assert!(denied(retire(&bob, &by_token)));
    retire(&alice, &by_token).unwrap();
    assert!(list(&fixture, &key).is_empty());

    // Whoever has the permission by the account's policies retires as well.
    let made = grant(&fixture, &request(&key, &alice, &[Encrypt]));
    assert!(denied(retire(&alice, &by_id(&made.grant_id))));
    retire(&fixture.admin, &by_id(&made.grant_id)).unwrap();
    let gone = refusal(retire(&fixture.admin, &by_id(&made.grant_id)));
    assert!(matches!(gone, KmsError::NotFound(_)), "{gone}");
}

#[test]
fn a_revoked_grant_lets_nobody_in_also_with_its_token() {
    let fixture = Fixture::new();
    let (key, alice) = (fixture.key(), user("alice"));
    let made = grant(&fixture, &request(&key, &alice, &[Encrypt]));
    let revoke = RevokeGrantRequest {
        key_id: key.clone(),
        grant_id: made.grant_id.clone(),
        dry_run: None,
    };
    fixture
        .service()
        .revoke_grant(&fixture.admin, &revoke)
        .unwrap();
    let with_token = EncryptRequest {
        key_id: key.clone(),
        plaintext: Plaintext::new(b"x".to_vec()),
        grant_tokens: vec![made.grant_token],
        ..Default::default()
    };
    assert!(denied(fixture.service().encrypt(&alice, &with_token)));
    assert_eq!(
        refusal(fixture.service().revoke_grant(&fixture.admin, &revoke)),
        KmsError::NotFound(format!("Grant ID {} not found", made.grant_id))
    );
}

#[test]
fn a_token_that_was_not_made_here_is_refused() {
    let fixture = Fixture::new();
    let (key, alice) = (fixture.key(), user("alice"));
    let token = grant(&fixture, &request(&key, &alice, &[DescribeKey])).grant_token;
    let describe = |token: String| {
        let request = DescribeKeyRequest {
            key_id: key.clone(),
            grant_tokens: vec![token],
        };
        fixture.service().describe_key(&alice, &request)
    };
    describe(token.clone()).unwrap();
    let mut forged = token.into_bytes();
    forged[10] = if forged[10] == b'A' { b'B' } else { b'A' };
    for bad in ["invented".to_owned(), String::from_utf8(forged).unwrap()] {
        let refused = refusal(describe(bad));
        assert!(
            matches!(refused, KmsError::InvalidGrantToken(_)),
            "{refused}"
        );
    }
}

#[test]
fn retirable_grants_are_listed_in_pages_over_all_keys() {
    let fixture = Fixture::new();
    let (alice, bob) = (user("alice"), user("bob"));
    let mut made = Vec::new();
    for _ in 0..3 {
        let key = fixture.key();
        grant(&fixture, &request(&key, &alice, &[Encrypt]));
        let retirable = CreateGrantRequest {
            retiring_principal: Some(bob.principal.arn.clone()),
            ..request(&key, &alice, &[Encrypt])
        };
        made.push(grant(&fixture, &retirable).grant_id);
    }
    let mut request = ListRetirableGrantsRequest {
        retiring_principal: Some(bob.principal.arn.clone()),
        limit: Some(2),
        ..Default::default()
    };
    let mut found = Vec::new();
    loop {
        let listed = fixture
            .service()
            .list_retirable_grants(&fixture.admin, &request);
        let page = listed.unwrap();
        found.extend(page.grants.into_iter().map(|grant| grant.grant_id));
        if !page.truncated {
            break;
        }
        request.marker = page.next_marker;
    }
    made.sort();
    found.sort();
    assert_eq!(found, made);
}

#[test]
fn grants_that_make_no_sense_are_refused() {
    let fixture = Fixture::new();
    let (key, alice) = (fixture.key(), user("alice"));
    let create = |request: CreateGrantRequest| {
        refusal(fixture.service().create_grant(&fixture.admin, &request))
    };
    let good = || request(&key, &alice, &[Encrypt]);
    let mac = CreateKeyRequest {
        key_spec: Some(KeySpec::Hmac256),
        key_usage: Some(KeyUsage::GenerateVerifyMac),
        ..Default::default()
    };
    let mac = fixture.service().create_key(&fixture.admin, &mac);
    let mac = mac.unwrap().key_metadata.key_id;
    for invalid in [
        CreateGrantRequest {
            operations: vec![],
            ..good()
        },
        CreateGrantRequest {
            operations: vec![Sign],
            ..good()
        },
        CreateGrantRequest {
            grantee_principal: None,
            ..good()
        },
        CreateGrantRequest {
            name: Some("no spaces".to_owned()),
            ..good()
        },
        CreateGrantRequest {
            key_id: mac.clone(),
            operations: vec![GrantOperation::GenerateMac],
            constraints: Some(subset(&[("a", "b")])),
            ..good()
        },
    ] {
        let refused = create(invalid);
        assert!(matches!(refused, KmsError::Validation(_)), "{refused}");
    }
    for principal in ["alice", "arn:aws:s3:::bucket", "arn:aws:iam::1:user/a"] {
        let refused = create(CreateGrantRequest {
            grantee_principal: Some(principal.to_owned()),
            ..good()
        });
        assert!(matches!(refused, KmsError::InvalidArn(_)), "{refused}");
    }
    let dry = create(CreateGrantRequest {
        dry_run: Some(true),
        ..good()
    });
    assert!(matches!(dry, KmsError::DryRun(_)), "{dry}");
    assert!(list(&fixture, &key).is_empty());
}
