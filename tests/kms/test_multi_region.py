"""Several Regions in one server: separate worlds, and keys that cross them."""

import pytest
from conftest import key_policy, refused
from server import ACCOUNT, REGION, wait_until

OTHER = "eu-west-1"
THIRD = "ap-southeast-1"


@pytest.fixture(scope="module")
def there(server, admin):
    return server.client(admin, OTHER)


@pytest.fixture(scope="module")
def third(server, admin):
    return server.client(admin, THIRD)


@pytest.fixture
def primary(kms):
    return kms.create_key(MultiRegion=True, Description="first")["KeyMetadata"]


def test_a_key_is_invisible_in_another_region(kms, there, key):
    message = f"Key 'arn:aws:kms:{OTHER}:{ACCOUNT}:key/{key['KeyId']}' does not exist"
    with refused("NotFoundException", message):
        there.describe_key(KeyId=key["KeyId"])
    with refused("NotFoundException", f"Invalid arn {REGION}"):
        there.describe_key(KeyId=key["Arn"])
    pages = there.get_paginator("list_keys").paginate()
    assert key["KeyId"] not in {entry["KeyId"] for page in pages for entry in page["Keys"]}


def test_an_alias_belongs_to_its_region(kms, there, key, alias):
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    with refused("NotFoundException"):
        there.describe_key(KeyId=alias)
    mine = there.create_key()["KeyMetadata"]
    there.create_alias(AliasName=alias, TargetKeyId=mine["KeyId"])
    assert there.describe_key(KeyId=alias)["KeyMetadata"]["Arn"] == mine["Arn"]


def test_a_ciphertext_does_not_open_in_another_region(kms, there, key):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    message = (
        "The ciphertext refers to a customer master key that does not exist, does not exist in this "
        "region, or you are not allowed to access."
    )
    with refused("AccessDeniedException", message):
        there.decrypt(CiphertextBlob=blob)


def test_a_multi_region_key_says_so(primary):
    assert primary["MultiRegion"] is True
    assert primary["KeyId"].startswith("mrk-")
    assert len(primary["KeyId"]) == 36
    assert primary["MultiRegionConfiguration"] == {
        "MultiRegionKeyType": "PRIMARY",
        "PrimaryKey": {"Arn": primary["Arn"], "Region": REGION},
        "ReplicaKeys": [],
    }


def ready(client, key):
    """AWS makes replicas in the background; here they are ready at once or soon."""
    assert wait_until(
        lambda: client.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
    )


def test_a_replica_has_the_same_id_and_opens_the_same_ciphertexts(kms, there, primary):
    answer = kms.replicate_key(
        KeyId=primary["KeyId"], ReplicaRegion=OTHER, Description="second",
        Tags=[{"TagKey": "a", "TagValue": "b"}],
    )
    replica = answer["ReplicaKeyMetadata"]
    assert replica["KeyId"] == primary["KeyId"]
    assert replica["Arn"] == f"arn:aws:kms:{OTHER}:{ACCOUNT}:key/{primary['KeyId']}"
    assert replica["Description"] == "second"
    assert answer["ReplicaTags"] == [{"TagKey": "a", "TagValue": "b"}]
    assert "key-default-1" in answer["ReplicaPolicy"]
    configuration = replica["MultiRegionConfiguration"]
    assert configuration["MultiRegionKeyType"] == "REPLICA"
    assert configuration["PrimaryKey"] == {"Arn": primary["Arn"], "Region": REGION}
    assert {"Arn": replica["Arn"], "Region": OTHER} in configuration["ReplicaKeys"]
    ready(there, primary["KeyId"])
    blob = kms.encrypt(KeyId=primary["KeyId"], Plaintext=b"x", EncryptionContext={"a": "b"})
    opened = there.decrypt(CiphertextBlob=blob["CiphertextBlob"], EncryptionContext={"a": "b"})
    assert opened["Plaintext"] == b"x"
    assert opened["KeyId"] == replica["Arn"]
    seen = kms.describe_key(KeyId=primary["KeyId"])["KeyMetadata"]["MultiRegionConfiguration"]
    assert seen["ReplicaKeys"] == [{"Arn": replica["Arn"], "Region": OTHER}]


def test_replicas_share_neither_state_nor_policy(kms, there, primary):
    kms.replicate_key(KeyId=primary["KeyId"], ReplicaRegion=OTHER)
    ready(there, primary["KeyId"])
    there.disable_key(KeyId=primary["KeyId"])
    kms.encrypt(KeyId=primary["KeyId"], Plaintext=b"x")
    there.put_key_policy(KeyId=primary["KeyId"], Policy=key_policy())
    assert "key-default-1" in kms.get_key_policy(KeyId=primary["KeyId"])["Policy"]


def test_a_region_has_one_replica(kms, there, primary):
    kms.replicate_key(KeyId=primary["KeyId"], ReplicaRegion=OTHER)
    with refused("AlreadyExistsException"):
        kms.replicate_key(KeyId=primary["KeyId"], ReplicaRegion=OTHER)


def test_only_a_primary_is_replicated(kms, there, key, primary):
    with refused("UnsupportedOperationException"):
        kms.replicate_key(KeyId=key["KeyId"], ReplicaRegion=OTHER)
    kms.replicate_key(KeyId=primary["KeyId"], ReplicaRegion=OTHER)
    ready(there, primary["KeyId"])
    with refused("UnsupportedOperationException"):
        there.replicate_key(KeyId=primary["KeyId"], ReplicaRegion=THIRD)


def test_the_primary_role_can_move(kms, there, primary):
    kms.replicate_key(KeyId=primary["KeyId"], ReplicaRegion=OTHER)
    ready(there, primary["KeyId"])
    kms.update_primary_region(KeyId=primary["KeyId"], PrimaryRegion=OTHER)
    ready(there, primary["KeyId"])
    kinds = [
        client.describe_key(KeyId=primary["KeyId"])["KeyMetadata"]["MultiRegionConfiguration"][
            "MultiRegionKeyType"
        ]
        for client in (kms, there)
    ]
    assert kinds == ["REPLICA", "PRIMARY"]


def test_a_rotation_of_the_primary_reaches_the_replicas(kms, there, primary):
    kms.replicate_key(KeyId=primary["KeyId"], ReplicaRegion=OTHER)
    ready(there, primary["KeyId"])
    kms.rotate_key_on_demand(KeyId=primary["KeyId"])
    blob = kms.encrypt(KeyId=primary["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    assert there.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_a_primary_with_replicas_waits_for_them_to_go(kms, there, primary):
    kms.replicate_key(KeyId=primary["KeyId"], ReplicaRegion=OTHER)
    ready(there, primary["KeyId"])
    answer = kms.schedule_key_deletion(KeyId=primary["KeyId"], PendingWindowInDays=7)
    assert answer["KeyState"] == "PendingReplicaDeletion"
    assert "DeletionDate" not in answer
    kms.cancel_key_deletion(KeyId=primary["KeyId"])
