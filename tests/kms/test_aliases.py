"""CreateAlias, UpdateAlias, DeleteAlias, ListAliases, and aliases in place of key ids."""

import pytest
from conftest import refused
from server import ACCOUNT, REGION


def listed(kms, name):
    pages = kms.get_paginator("list_aliases").paginate()
    return [entry for page in pages for entry in page["Aliases"] if entry["AliasName"] == name]


def test_an_alias_is_listed_with_its_target(kms, key, alias):
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    (entry,) = listed(kms, alias)
    assert entry["AliasArn"] == f"arn:aws:kms:{REGION}:{ACCOUNT}:{alias}"
    assert entry["TargetKeyId"] == key["KeyId"]
    assert entry["CreationDate"] and entry["LastUpdatedDate"]
    assert kms.list_aliases(KeyId=key["KeyId"])["Aliases"] == [entry]
    assert kms.list_aliases(KeyId=key["Arn"])["Aliases"] == [entry]


def test_an_alias_and_its_arn_name_the_key(kms, key, alias):
    kms.create_alias(AliasName=alias, TargetKeyId=key["Arn"])
    arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:{alias}"
    for name in (alias, arn):
        assert kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == key["KeyId"]
        answer = kms.encrypt(KeyId=name, Plaintext=b"x")
        # The answer names the key, not the alias.
        assert answer["KeyId"] == key["Arn"]
        assert kms.decrypt(KeyId=name, CiphertextBlob=answer["CiphertextBlob"])["Plaintext"] == b"x"


def test_an_updated_alias_means_the_other_key(kms, key, alias):
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    other = kms.create_key()["KeyMetadata"]
    kms.update_alias(AliasName=alias, TargetKeyId=other["KeyId"])
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"] == other["KeyId"]
    assert kms.list_aliases(KeyId=key["KeyId"])["Aliases"] == []


def test_a_deleted_alias_is_gone_and_the_key_stays(kms, key, alias):
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    kms.delete_alias(AliasName=alias)
    message = f"Alias arn:aws:kms:{REGION}:{ACCOUNT}:{alias} is not found."
    with refused("NotFoundException", message):
        kms.describe_key(KeyId=alias)
    with refused("NotFoundException", message):
        kms.delete_alias(AliasName=alias)
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Enabled"]


def test_a_name_is_given_once(kms, key, alias):
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    message = f"An alias with the name arn:aws:kms:{REGION}:{ACCOUNT}:{alias} already exists"
    with refused("AlreadyExistsException", message):
        kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])


def test_an_alias_needs_its_prefix(kms, key):
    message = (
        'Alias must start with the prefix "alias/". Please see '
        "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
    )
    with refused("ValidationException", message):
        kms.create_alias(AliasName="payroll", TargetKeyId=key["KeyId"])


@pytest.mark.parametrize("name", ["alias/aws/mine", "alias/aws/kmsfs"])
def test_the_names_of_aws_are_its_own(kms, key, name):
    with refused("NotAuthorizedException"):
        kms.create_alias(AliasName=name, TargetKeyId=key["KeyId"])


@pytest.mark.parametrize("name", ["alias/with space", "alias/ümlaut", "alias/a:b", "alias/semi;"])
def test_a_name_has_only_the_permitted_characters(raw, key, name):
    with refused("ValidationException"):
        raw.create_alias(AliasName=name, TargetKeyId=key["KeyId"])


def test_a_name_may_have_256_characters(raw, kms, key):
    longest = "alias/" + "n" * 250
    kms.create_alias(AliasName=longest, TargetKeyId=key["KeyId"])
    kms.delete_alias(AliasName=longest)
    with refused("ValidationException"):
        raw.create_alias(AliasName=longest + "n", TargetKeyId=key["KeyId"])


def test_an_alias_cannot_point_at_an_alias(kms, key, alias):
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    with refused("ValidationException"):
        kms.create_alias(AliasName=alias + "-2", TargetKeyId=alias)


def test_an_alias_needs_a_key_that_is_there(kms, alias):
    with refused("NotFoundException"):
        kms.create_alias(AliasName=alias, TargetKeyId="f47ac10b-58cc-4372-a567-0e02b2c3d479")


def test_an_alias_moves_only_between_keys_of_one_kind(kms, key, alias):
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    mac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]
    with refused("ValidationException"):
        kms.update_alias(AliasName=alias, TargetKeyId=mac["KeyId"])


def test_management_takes_no_alias(kms, key, alias):
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    with refused("InvalidArnException"):
        kms.disable_key(KeyId=alias)


def test_an_alias_of_a_key_pending_deletion_cannot_be_made(kms, key, alias):
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    with refused("KMSInvalidStateException", f"{key['Arn']} is pending deletion."):
        kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])


def test_a_key_may_have_fifty_aliases(kms, key, alias):
    for number in range(50):
        kms.create_alias(AliasName=f"{alias}/{number}", TargetKeyId=key["KeyId"])
    assert len(kms.list_aliases(KeyId=key["KeyId"], Limit=100)["Aliases"]) == 50
    with refused("LimitExceededException"):
        kms.create_alias(AliasName=f"{alias}/50", TargetKeyId=key["KeyId"])
