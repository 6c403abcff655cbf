"""ScheduleKeyDeletion, CancelKeyDeletion, and what a key pending deletion refuses."""

import datetime

import pytest
from conftest import refused


def test_a_scheduled_deletion_has_its_date_and_can_be_cancelled(kms, key):
    answer = kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    assert answer["KeyId"] == key["Arn"]
    assert answer["KeyState"] == "PendingDeletion"
    assert answer["PendingWindowInDays"] == 7
    left = answer["DeletionDate"] - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(days=6, hours=23) < left < datetime.timedelta(days=7, hours=1)
    metadata = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    assert (metadata["KeyState"], metadata["Enabled"]) == ("PendingDeletion", False)
    assert metadata["DeletionDate"] == answer["DeletionDate"]
    assert kms.cancel_key_deletion(KeyId=key["KeyId"])["KeyId"] == key["Arn"]
    metadata = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    # It stays disabled until it is enabled.
    assert metadata["KeyState"] == "Disabled"
    assert "DeletionDate" not in metadata
    kms.enable_key(KeyId=key["KeyId"])


def test_thirty_days_unless_said_otherwise(kms, key):
    assert kms.schedule_key_deletion(KeyId=key["KeyId"])["PendingWindowInDays"] == 30


@pytest.mark.parametrize("days", [6, 31])
def test_a_window_outside_its_range_is_refused(raw, key, days):
    with refused("ValidationException"):
        raw.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=days)


PENDING = {
    "encrypt": {"Plaintext": b"x"},
    "generate_data_key": {"KeySpec": "AES_256"},
    "generate_data_key_without_plaintext": {"KeySpec": "AES_256"},
    "generate_data_key_pair": {"KeyPairSpec": "ECC_NIST_P256"},
    "enable_key": {},
    "disable_key": {},
    "enable_key_rotation": {},
    "disable_key_rotation": {},
    "rotate_key_on_demand": {},
    "update_key_description": {"Description": "x"},
    "schedule_key_deletion": {"PendingWindowInDays": 7},
    "create_grant": {"GranteePrincipal": "arn:aws:iam::000000000000:root", "Operations": ["Encrypt"]},
    "untag_resource": {"TagKeys": ["a"]},
}


@pytest.mark.parametrize("operation", PENDING)
def test_a_key_pending_deletion_refuses(kms, key, operation):
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    with refused("KMSInvalidStateException", f"{key['Arn']} is pending deletion."):
        getattr(kms, operation)(KeyId=key["KeyId"], **PENDING[operation])


def test_a_key_pending_deletion_decrypts_nothing(kms, key):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    with refused("KMSInvalidStateException", f"{key['Arn']} is pending deletion."):
        kms.decrypt(CiphertextBlob=blob)


@pytest.mark.parametrize(
    "operation",
    ["describe_key", "get_key_policy", "list_key_policies", "list_grants", "list_resource_tags",
     "list_key_rotations"],
)
def test_a_key_pending_deletion_can_be_looked_at(kms, key, operation):
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    getattr(kms, operation)(KeyId=key["KeyId"])


def test_what_is_not_scheduled_cannot_be_cancelled(kms, key):
    with refused("KMSInvalidStateException", f"{key['Arn']} is not pending deletion."):
        kms.cancel_key_deletion(KeyId=key["KeyId"])


def test_a_disabled_key_can_be_deleted(kms, key):
    kms.disable_key(KeyId=key["KeyId"])
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    kms.cancel_key_deletion(KeyId=key["KeyId"])
