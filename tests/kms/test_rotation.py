"""Automatic and on-demand rotation."""

import datetime

import pytest
from conftest import refused


def test_rotation_is_off_until_it_is_switched_on(kms, key):
    status = kms.get_key_rotation_status(KeyId=key["KeyId"])
    assert status["KeyRotationEnabled"] is False
    kms.enable_key_rotation(KeyId=key["KeyId"])
    status = kms.get_key_rotation_status(KeyId=key["KeyId"])
    assert status["KeyRotationEnabled"] is True
    assert status["RotationPeriodInDays"] == 365
    assert status["KeyId"] in (key["KeyId"], key["Arn"])
    due = status["NextRotationDate"] - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(days=364) < due < datetime.timedelta(days=366)
    kms.disable_key_rotation(KeyId=key["KeyId"])
    status = kms.get_key_rotation_status(KeyId=key["KeyId"])
    assert status["KeyRotationEnabled"] is False
    assert "NextRotationDate" not in status


@pytest.mark.parametrize("days", [90, 2560])
def test_a_period_can_be_chosen(kms, key, days):
    kms.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=days)
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["RotationPeriodInDays"] == days


@pytest.mark.parametrize("days", [89, 2561])
def test_a_period_outside_its_range_is_refused(raw, key, days):
    with refused("ValidationException"):
        raw.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=days)


def test_a_rotation_on_demand_makes_new_material_and_keeps_the_old(kms, key):
    old = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"old")["CiphertextBlob"]
    assert kms.rotate_key_on_demand(KeyId=key["KeyId"])["KeyId"] == key["Arn"]
    now = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["CurrentKeyMaterialId"]
    assert now != key["CurrentKeyMaterialId"]
    opened = kms.decrypt(CiphertextBlob=old)
    assert opened["Plaintext"] == b"old"
    assert opened["KeyMaterialId"] == key["CurrentKeyMaterialId"]
    new = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"new")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=new)["KeyMaterialId"] == now
    (rotation,) = kms.list_key_rotations(KeyId=key["KeyId"])["Rotations"]
    assert rotation["RotationType"] == "ON_DEMAND"
    assert rotation["RotationDate"]


def test_all_material_can_be_listed(kms, key):
    kms.rotate_key_on_demand(KeyId=key["KeyId"])
    listed = kms.list_key_rotations(KeyId=key["KeyId"], IncludeKeyMaterial="ALL_KEY_MATERIAL")
    assert len(listed["Rotations"]) == 2
    ids = {rotation["KeyMaterialId"] for rotation in listed["Rotations"]}
    assert key["CurrentKeyMaterialId"] in ids
    states = [rotation["KeyMaterialState"] for rotation in listed["Rotations"]]
    assert sorted(states) == ["CURRENT", "NON_CURRENT"]


def test_a_key_rotates_on_demand_25_times(kms, key):
    for _ in range(25):
        kms.rotate_key_on_demand(KeyId=key["KeyId"])
    with refused("LimitExceededException"):
        kms.rotate_key_on_demand(KeyId=key["KeyId"])


@pytest.mark.parametrize(
    "arguments",
    [
        {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"},
        {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
    ],
    ids=["asymmetric", "hmac"],
)
def test_only_symmetric_keys_rotate(kms, arguments):
    key = kms.create_key(**arguments)["KeyMetadata"]
    with refused("UnsupportedOperationException"):
        kms.enable_key_rotation(KeyId=key["KeyId"])
    with refused("UnsupportedOperationException"):
        kms.rotate_key_on_demand(KeyId=key["KeyId"])


def test_a_disabled_key_does_not_rotate(kms, key):
    kms.disable_key(KeyId=key["KeyId"])
    with refused("DisabledException"):
        kms.rotate_key_on_demand(KeyId=key["KeyId"])
    with refused("DisabledException"):
        kms.enable_key_rotation(KeyId=key["KeyId"])


def test_a_new_key_was_not_used_yet(kms, key):
    before = kms.get_key_last_usage(KeyId=key["KeyId"])
    kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    after = kms.get_key_last_usage(KeyId=key["KeyId"])
    assert before["KeyId"] == after["KeyId"]
    assert before != after
