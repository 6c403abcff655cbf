"""Key policies, identity policies, and who is let in."""

import json

import pytest
from conftest import allow, key_policy, refused
from server import ACCOUNT, REGION

ROOT = f"arn:aws:iam::{ACCOUNT}:root"


def test_the_default_policy_delegates_to_the_account(kms, key):
    answer = kms.get_key_policy(KeyId=key["KeyId"])
    assert answer["PolicyName"] == "default"
    assert json.loads(answer["Policy"]) == {
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [
            {
                "Sid": "Enable IAM User Permissions",
                "Effect": "Allow",
                "Principal": {"AWS": ROOT},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }


def test_a_policy_is_kept_as_it_was_given(kms, key):
    policy = key_policy(allow("*", "kms:DescribeKey"))
    kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", Policy=policy)
    assert json.loads(kms.get_key_policy(KeyId=key["KeyId"])["Policy"]) == json.loads(policy)


def test_a_user_whom_nothing_lets_in_is_refused_by_name(theirs, user, key):
    message = (
        f"User: {user.arn} is not authorized to perform: kms:Encrypt on resource: {key['Arn']} "
        "because no identity-based policy allows the kms:Encrypt action"
    )
    with refused("AccessDeniedException") as caught:
        theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    assert caught.value.response["Error"]["Message"].startswith(message[: message.index(" because")])


@pytest.mark.parametrize("operation", ["list_keys", "list_aliases", "create_key", "generate_random"])
def test_a_user_without_policy_does_nothing_in_the_account(theirs, operation):
    arguments = {"NumberOfBytes": 8} if operation == "generate_random" else {}
    with refused("AccessDeniedException"):
        getattr(theirs, operation)(**arguments)


def test_a_key_policy_lets_a_user_in_without_more(kms, theirs, user, key):
    kms.put_key_policy(KeyId=key["KeyId"], Policy=key_policy(allow(user.arn, "kms:Encrypt")))
    theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    with refused("AccessDeniedException"):
        theirs.describe_key(KeyId=key["KeyId"])


def test_a_deny_beats_every_allow(kms, theirs, user, key):
    policy = key_policy(
        allow(user.arn, "kms:*"), allow(user.arn, "kms:Encrypt", effect="Deny")
    )
    kms.put_key_policy(KeyId=key["KeyId"], Policy=policy)
    theirs.describe_key(KeyId=key["KeyId"])
    with refused("AccessDeniedException"):
        theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x")


def test_without_delegation_an_identity_policy_does_nothing(kms, raw, admin, key, user, theirs):
    only = json.dumps({
        "Version": "2012-10-17",
        "Statement": [allow(user.arn, "kms:*")],
    })
    kms.put_key_policy(
        KeyId=key["KeyId"], Policy=only, BypassPolicyLockoutSafetyCheck=True
    )
    with refused("AccessDeniedException"):
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x")


def test_a_policy_that_locks_its_writer_out_is_refused(kms, key, user):
    only = json.dumps({"Version": "2012-10-17", "Statement": [allow(user.arn, "kms:*")]})
    with refused("MalformedPolicyDocumentException"):
        kms.put_key_policy(KeyId=key["KeyId"], Policy=only)
    with refused("MalformedPolicyDocumentException"):
        kms.create_key(Policy=only)


@pytest.mark.parametrize(
    "policy",
    ["", "not json", "[]", "{}", '{"Version":"2012-10-17"}',
     '{"Version":"2012-10-17","Statement":[{"Effect":"Maybe","Principal":"*","Action":"kms:*","Resource":"*"}]}',
     '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}'],
)
def test_a_malformed_policy_is_refused_and_changes_nothing(raw, kms, key, policy):
    before = kms.get_key_policy(KeyId=key["KeyId"])["Policy"]
    code = "MalformedPolicyDocumentException" if policy else "ValidationException"
    with refused(code):
        raw.put_key_policy(KeyId=key["KeyId"], Policy=policy)
    assert kms.get_key_policy(KeyId=key["KeyId"])["Policy"] == before


def test_a_key_has_the_policy_default_only(kms, key):
    with refused("NotFoundException"):
        kms.get_key_policy(KeyId=key["KeyId"], PolicyName="other")
    with refused("NotFoundException", "No such policy exists"):
        kms.put_key_policy(KeyId=key["KeyId"], PolicyName="other", Policy=key_policy())


def conditional(kms, key, user, operator, name, value, *actions):
    condition = {operator: {name: value}}
    statement = allow(user.arn, *(actions or ("kms:Encrypt", "kms:Decrypt")), condition=condition)
    kms.put_key_policy(KeyId=key["KeyId"], Policy=key_policy(statement))


def test_a_condition_on_the_encryption_context(kms, theirs, user, key):
    conditional(kms, key, user, "StringEquals", "kms:EncryptionContext:team", "pay")
    theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext={"team": "pay"})
    for context in ({"team": "hr"}, {"Team": "hr"}, {}):
        with refused("AccessDeniedException"):
            theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=context)


def test_a_condition_on_the_names_in_the_context(kms, theirs, user, key):
    conditional(
        kms, key, user, "ForAllValues:StringEquals", "kms:EncryptionContextKeys", ["a", "b"]
    )
    theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext={"a": "1"})
    with refused("AccessDeniedException"):
        theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext={"a": "1", "c": "2"})


def test_a_condition_on_the_alias_that_was_used(kms, theirs, user, key, alias):
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    conditional(kms, key, user, "StringEquals", "kms:RequestAlias", alias)
    theirs.encrypt(KeyId=alias, Plaintext=b"x")
    with refused("AccessDeniedException"):
        theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x")


def test_a_condition_on_the_tags_of_a_key(kms, theirs, user, key):
    conditional(kms, key, user, "StringEquals", "aws:ResourceTag/team", "pay")
    with refused("AccessDeniedException"):
        theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": "team", "TagValue": "pay"}])
    theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x")


def test_a_condition_on_the_account_and_the_address(kms, theirs, user, key):
    conditional(kms, key, user, "StringEquals", "kms:CallerAccount", ACCOUNT)
    theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    conditional(kms, key, user, "IpAddress", "aws:SourceIp", "127.0.0.0/8")
    theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    conditional(kms, key, user, "IpAddress", "aws:SourceIp", "10.0.0.0/8")
    with refused("AccessDeniedException"):
        theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x")


def test_a_condition_that_only_a_mount_fulfils(kms, theirs, user, key):
    conditional(
        kms, key, user, "StringEquals", "kms:ViaService", f"kmsfs.{REGION}.amazonaws.com"
    )
    with refused("AccessDeniedException"):
        theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x")


def test_an_identity_policy_lets_its_user_in_where_the_key_delegates(server, kms, key, tmp_path):
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["kms:Encrypt", "kms:ListKeys"], "Resource": "*"},
            {"Effect": "Deny", "Action": "kms:Decrypt", "Resource": key["Arn"]},
        ],
    }))
    user = server.user("with-identity-policy", "--policy", policy)
    theirs = server.client(user)
    theirs.list_keys()
    blob = theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    # An identity Deny counts also where the key's own policy allows.
    kms.put_key_policy(KeyId=key["KeyId"], Policy=key_policy(allow(user.arn, "kms:Decrypt")))
    with refused("AccessDeniedException"):
        theirs.decrypt(CiphertextBlob=blob)
    with refused("AccessDeniedException"):
        theirs.create_key()
