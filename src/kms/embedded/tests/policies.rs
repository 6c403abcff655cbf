use super::{Fixture, policy_for, refusal};
use crate::{
    kms::{
        Caller, CreateAliasRequest, CreateKeyRequest, DataKeySpec, EncryptionContext,
        GenerateDataKeyRequest, GetKeyPolicyRequest, KmsError, PutKeyPolicyRequest, Tag,
        testing::user,
    },
    policy::canned,
};

fn put(fixture: &Fixture, key: &str, policy: &str) -> Result<(), KmsError> {
    let (key_id, policy) = (key.to_owned(), policy.to_owned());
    let request = PutKeyPolicyRequest {
        key_id,
        policy,
        ..Default::default()
    };
    fixture
        .service()
        .put_key_policy(&fixture.admin, &request)
        .map(drop)
}

fn get(fixture: &Fixture, key: &str) -> String {
    let request = GetKeyPolicyRequest {
        key_id: key.to_owned(),
        policy_name: None,
    };
    let answer = fixture
        .service()
        .get_key_policy(&fixture.admin, &request)
        .unwrap();
    assert_eq!(answer.policy_name, "default");
    answer.policy
}

fn generate(
    fixture: &Fixture,
    caller: &Caller,
    key: &str,
    context: &[(&str, &str)],
) -> Result<(), KmsError> {
    let pairs = context
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let request = GenerateDataKeyRequest {
        key_id: key.to_owned(),
        key_spec: Some(DataKeySpec::Aes256),
        encryption_context: pairs.collect::<EncryptionContext>(),
        ..Default::default()
    };
    fixture
        .service()
        .generate_data_key(caller, &request)
        .map(drop)
}

#[test]
fn a_key_made_without_a_policy_delegates_to_the_account_and_nothing_more() {
    let fixture = Fixture::new();
    let key = fixture.key();
    assert_eq!(
        get(&fixture, &key),
        canned::default_key_policy("000000000000")
    );
    assert!(generate(&fixture, &fixture.admin, &key, &[]).is_ok());
    let refused = refusal(generate(&fixture, &user("anna"), &key, &[]));
    assert_eq!(
        refused,
        KmsError::AccessDenied(format!(
            "User: arn:aws:iam::000000000000:user/anna is not authorized to perform: \
             kms:GenerateDataKey on resource: {} because no resource-based policy allows the \
             kms:GenerateDataKey action",
            Fixture::arn(&key)
        ))
    );
}

#[test]
fn without_delegation_the_administrators_identity_policy_does_nothing() {
    let fixture = Fixture::new();
    let admin = &fixture.admin.principal.arn;
    let policy = format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow",
            "Principal": {{"AWS": "{admin}"}},
            "Action": ["kms:PutKeyPolicy", "kms:GetKeyPolicy"], "Resource": "*"}}}}"#
    );
    let key = fixture.key_with(&policy);
    let refused = refusal(generate(&fixture, &fixture.admin, &key, &[]));
    assert!(matches!(refused, KmsError::AccessDenied(_)));
    assert_eq!(get(&fixture, &key), policy);
}

#[test]
fn a_policy_takes_effect_at_once_and_survives_the_process() {
    let mut fixture = Fixture::new();
    let key = fixture.key();
    assert!(generate(&fixture, &user("anna"), &key, &[]).is_err());
    let policy = policy_for("anna", r#""kms:GenerateDataKey""#, "");
    put(&fixture, &key, &policy).unwrap();
    assert!(generate(&fixture, &user("anna"), &key, &[]).is_ok());
    fixture.reopen();
    assert_eq!(get(&fixture, &key), policy);
    assert!(generate(&fixture, &user("anna"), &key, &[]).is_ok());
}

#[test]
fn a_bad_policy_is_refused_and_the_old_one_stays() {
    let fixture = Fixture::new();
    let key = fixture.key();
    let old = get(&fixture, &key);
    let unknown_action = old.replace("kms:*", "kms:Conjure");
    for bad in ["nonsense", "{}", &*unknown_action] {
        let refused = refusal(put(&fixture, &key, bad));
        assert!(matches!(refused, KmsError::MalformedPolicy(_)), "{refused}");
    }
    let long = format!("{old}{}", " ".repeat(32 * 1024));
    assert!(matches!(
        refusal(put(&fixture, &key, &long)),
        KmsError::LimitExceeded(_)
    ));
    assert_eq!(get(&fixture, &key), old);
}

#[test]
fn a_policy_that_locks_its_author_out_takes_an_explicit_word() {
    let fixture = Fixture::new();
    let key = fixture.key();
    let policy = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::000000000000:user/anna"},
        "Action": "kms:*", "Resource": "*"}}"#;
    let locked_out = KmsError::MalformedPolicy(
        "The new key policy will not allow you to update the key policy in the future.".to_owned(),
    );
    assert_eq!(put(&fixture, &key, policy), Err(locked_out.clone()));
    let mut create = CreateKeyRequest {
        policy: Some(policy.to_owned()),
        ..CreateKeyRequest::default()
    };
    let created = fixture.service().create_key(&fixture.admin, &create);
    assert_eq!(refusal(created), locked_out);
    create.bypass_policy_lockout_safety_check = Some(true);
    let locked = fixture
        .service()
        .create_key(&fixture.admin, &create)
        .unwrap()
        .key_metadata;
    assert!(matches!(
        refusal(put(&fixture, &locked.key_id, policy)),
        KmsError::AccessDenied(_)
    ));
    assert!(generate(&fixture, &user("anna"), &locked.key_id, &[]).is_ok());
}

#[test]
fn the_only_policy_name_is_default() {
    let fixture = Fixture::new();
    let request = GetKeyPolicyRequest {
        key_id: fixture.key(),
        policy_name: Some("other".to_owned()),
    };
    let refused = refusal(fixture.service().get_key_policy(&fixture.admin, &request));
    assert_eq!(
        refused,
        KmsError::NotFound("No such policy exists".to_owned())
    );
}

/// Whether `caller` may make a data key under a policy that lets in the user anna on a condition.
fn let_in(
    fixture: &Fixture,
    key: &str,
    (operator, name, value): (&str, &str, &str),
    caller: &Caller,
    context: &[(&str, &str)],
) -> bool {
    let condition = format!(r#", "Condition": {{"{operator}": {{"{name}": "{value}"}}}}"#);
    let policy = policy_for("anna", r#""kms:GenerateDataKey""#, &condition);
    put(fixture, key, &policy).unwrap();
    generate(fixture, caller, key, context).is_ok()
}

#[test]
fn conditions_see_who_uses_a_key_and_through_what() {
    let fixture = Fixture::new();
    let key = fixture.key();
    let anna = user("anna");
    let through_kmsfs = Caller {
        via_kmsfs: true,
        ..anna.clone()
    };
    let as_1000 = Caller {
        uid: Some(1000),
        ..anna.clone()
    };
    for (condition, caller, allowed) in [
        (
            (
                "StringEquals",
                "kms:ViaService",
                "kmsfs.us-east-1.amazonaws.com",
            ),
            &anna,
            false,
        ),
        (
            (
                "StringEquals",
                "kms:ViaService",
                "kmsfs.us-east-1.amazonaws.com",
            ),
            &through_kmsfs,
            true,
        ),
        (("Bool", "aws:ViaAWSService", "true"), &through_kmsfs, true),
        (("Bool", "aws:ViaAWSService", "true"), &anna, false),
        (
            ("StringEquals", "kms:CallerAccount", "000000000000"),
            &anna,
            true,
        ),
        (
            ("StringEquals", "kms:CallerAccount", "111122223333"),
            &anna,
            false,
        ),
        (("StringEquals", "aws:PrincipalType", "User"), &anna, true),
        (("NumericEquals", "kmsfs:Uid", "1000"), &as_1000, true),
        (("NumericEquals", "kmsfs:Uid", "1000"), &anna, false),
        (
            ("DateGreaterThan", "aws:CurrentTime", "2020-01-01T00:00:00Z"),
            &anna,
            true,
        ),
        (
            ("DateLessThan", "aws:EpochTime", "2020-01-01T00:00:00Z"),
            &anna,
            false,
        ),
    ] {
        assert_eq!(
            let_in(&fixture, &key, condition, caller, &[]),
            allowed,
            "{condition:?}"
        );
    }
}

#[test]
fn conditions_see_what_a_key_is_and_what_it_is_used_for() {
    let fixture = Fixture::new();
    let key = fixture.key();
    let file = [("kmsfs:file", "1")];
    for (condition, context, allowed) in [
        (
            ("StringEquals", "kms:EncryptionContext:kmsfs:file", "1"),
            &file[..],
            true,
        ),
        (
            ("StringEquals", "kms:EncryptionContext:kmsfs:File", "1"),
            &file[..],
            true,
        ),
        (
            ("StringEquals", "kms:EncryptionContext:kmsfs:file", "2"),
            &file[..],
            false,
        ),
        (
            ("StringEquals", "kms:EncryptionContext:kmsfs:file", "1"),
            &[],
            false,
        ),
        (
            (
                "ForAnyValue:StringEquals",
                "kms:EncryptionContextKeys",
                "kmsfs:file",
            ),
            &file[..],
            true,
        ),
        (
            (
                "ForAnyValue:StringEquals",
                "kms:EncryptionContextKeys",
                "kmsfs:File",
            ),
            &file[..],
            false,
        ),
        (
            (
                "StringEquals",
                "kms:EncryptionAlgorithm",
                "SYMMETRIC_DEFAULT",
            ),
            &[],
            true,
        ),
        (
            ("StringEquals", "kms:KeySpec", "SYMMETRIC_DEFAULT"),
            &[],
            true,
        ),
        (("StringEquals", "kms:KeyUsage", "SIGN_VERIFY"), &[], false),
        (("StringEquals", "kms:KeyOrigin", "EXTERNAL"), &[], false),
        (("Bool", "kms:MultiRegion", "false"), &[], true),
        (
            ("StringEquals", "aws:RequestedRegion", "us-east-1"),
            &[],
            true,
        ),
    ] {
        let let_in = let_in(&fixture, &key, condition, &user("anna"), context);
        assert_eq!(let_in, allowed, "{condition:?} {context:?}");
    }
}

#[test]
fn conditions_see_aliases_and_tags() {
    let fixture = Fixture::new();
    let tag = Tag {
        tag_key: "team".to_owned(),
        tag_value: "blue".to_owned(),
    };
    let create = CreateKeyRequest {
        tags: Some(vec![tag]),
        ..CreateKeyRequest::default()
    };
    let made = fixture
        .service()
        .create_key(&fixture.admin, &create)
        .unwrap();
    let key = made.key_metadata.key_id;
    let alias = CreateAliasRequest {
        alias_name: "alias/blue".to_owned(),
        target_key_id: key.clone(),
    };
    fixture
        .service()
        .create_alias(&fixture.admin, &alias)
        .unwrap();
    let anna = user("anna");
    let requested = ("StringEquals", "kms:RequestAlias", "alias/blue");
    assert!(!let_in(&fixture, &key, requested, &anna, &[]));
    // The policy stands now; by the alias it lets her in.
    assert!(generate(&fixture, &anna, "alias/blue", &[]).is_ok());
    for (condition, allowed) in [
        (
            (
                "ForAnyValue:StringEquals",
                "kms:ResourceAliases",
                "alias/blue",
            ),
            true,
        ),
        (
            (
                "ForAnyValue:StringEquals",
                "kms:ResourceAliases",
                "alias/red",
            ),
            false,
        ),
        (("StringEquals", "aws:ResourceTag/team", "blue"), true),
        (("StringEquals", "aws:ResourceTag/team", "red"), false),
    ] {
        assert_eq!(
            let_in(&fixture, &key, condition, &anna, &[]),
            allowed,
            "{condition:?}"
        );
    }
}

#[test]
fn an_explicit_deny_stops_the_administrator_too_and_says_where_it_stands() {
    let fixture = Fixture::new();
    let policy = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "000000000000"}, "Action": "kms:*",
         "Resource": "*"},
        {"Effect": "Deny", "Principal": "*", "Action": "kms:GenerateDataKey", "Resource": "*"}]}"#;
    let key = fixture.key_with(policy);
    let refused = refusal(generate(&fixture, &fixture.admin, &key, &[]));
    let KmsError::AccessDenied(message) = refused else {
        panic!("{refused}")
    };
    assert!(
        message.ends_with("with an explicit deny in a resource-based policy"),
        "{message}"
    );
}

#[test]
fn the_policy_of_volumes_keys_lets_every_user_in_through_kmsfs_only() {
    let fixture = Fixture::new();
    let key = fixture.key_with(&canned::kmsfs_key_policy("000000000000", "us-east-1"));
    let anna = user("anna");
    assert!(generate(&fixture, &anna, &key, &[]).is_err());
    let through_kmsfs = Caller {
        via_kmsfs: true,
        ..anna
    };
    assert!(generate(&fixture, &through_kmsfs, &key, &[]).is_ok());
}
