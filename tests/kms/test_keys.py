"""CreateKey, DescribeKey, ListKeys, EnableKey, DisableKey, UpdateKeyDescription."""

import datetime
import re
import uuid

import pytest
from conftest import refused
from server import ACCOUNT, REGION

SPECS = {
    "SYMMETRIC_DEFAULT": ("ENCRYPT_DECRYPT", "EncryptionAlgorithms", ["SYMMETRIC_DEFAULT"]),
    "HMAC_224": ("GENERATE_VERIFY_MAC", "MacAlgorithms", ["HMAC_SHA_224"]),
    "HMAC_512": ("GENERATE_VERIFY_MAC", "MacAlgorithms", ["HMAC_SHA_512"]),
    "RSA_2048": (
        "ENCRYPT_DECRYPT",
        "EncryptionAlgorithms",
        ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"],
    ),
    "ECC_NIST_P256": ("SIGN_VERIFY", "SigningAlgorithms", ["ECDSA_SHA_256"]),
    "ECC_NIST_P384": ("KEY_AGREEMENT", "KeyAgreementAlgorithms", ["ECDH"]),
    "ECC_NIST_P521": ("SIGN_VERIFY", "SigningAlgorithms", ["ECDSA_SHA_512"]),
    "ECC_SECG_P256K1": ("SIGN_VERIFY", "SigningAlgorithms", ["ECDSA_SHA_256"]),
    "ECC_NIST_EDWARDS25519": (
        "SIGN_VERIFY",
        "SigningAlgorithms",
        ["ED25519_PH_SHA_512", "ED25519_SHA_512"],
    ),
    "ML_DSA_44": ("SIGN_VERIFY", "SigningAlgorithms", ["ML_DSA_SHAKE_256"]),
}


def test_a_new_key_has_the_documented_metadata(kms):
    metadata = kms.create_key(Description="payroll")["KeyMetadata"]
    assert str(uuid.UUID(metadata["KeyId"])) == metadata["KeyId"]
    assert metadata["Arn"] == f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{metadata['KeyId']}"
    assert metadata["AWSAccountId"] == ACCOUNT
    age = datetime.datetime.now(datetime.timezone.utc) - metadata["CreationDate"]
    assert abs(age) < datetime.timedelta(minutes=1)
    assert re.fullmatch("[0-9a-f]{64}", metadata["CurrentKeyMaterialId"])
    expected = {
        "Description": "payroll",
        "Enabled": True,
        "KeyState": "Enabled",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "KeyManager": "CUSTOMER",
        "Origin": "AWS_KMS",
        "MultiRegion": False,
    }
    assert {name: metadata[name] for name in expected} == expected
    for absent in ("DeletionDate", "ValidTo", "ExpirationModel", "MultiRegionConfiguration",
                   "SigningAlgorithms", "MacAlgorithms", "PendingDeletionWindowInDays"):
        assert absent not in metadata


@pytest.mark.parametrize("spec", SPECS)
def test_every_kind_of_key_says_what_it_can_do(kms, spec):
    usage, member, algorithms = SPECS[spec]
    metadata = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
    assert metadata["KeySpec"] == metadata["CustomerMasterKeySpec"] == spec
    assert metadata["KeyUsage"] == usage
    assert sorted(metadata[member]) == algorithms
    assert kms.describe_key(KeyId=metadata["KeyId"])["KeyMetadata"] == metadata


def test_rsa_signing_keys_have_six_algorithms(kms):
    metadata = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    assert sorted(metadata["SigningAlgorithms"]) == sorted(
        f"RSASSA_{padding}_SHA_{bits}" for padding in ("PSS", "PKCS1_V1_5") for bits in (256, 384, 512)
    )
    assert "EncryptionAlgorithms" not in metadata


def test_the_old_name_of_the_key_spec_still_works(kms):
    metadata = kms.create_key(CustomerMasterKeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    assert metadata["KeyMetadata"]["KeySpec"] == "HMAC_256"


def test_a_key_usage_is_required_for_everything_but_symmetric_encryption(kms):
    message = (
        "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
    )
    with refused("ValidationException", message):
        kms.create_key(KeySpec="HMAC_256")


@pytest.mark.parametrize(
    ("spec", "usage"),
    [
        ("SYMMETRIC_DEFAULT", "SIGN_VERIFY"),
        ("HMAC_256", "ENCRYPT_DECRYPT"),
        ("ECC_NIST_P256", "ENCRYPT_DECRYPT"),
        ("ECC_SECG_P256K1", "KEY_AGREEMENT"),
        ("RSA_2048", "KEY_AGREEMENT"),
        ("ML_DSA_44", "ENCRYPT_DECRYPT"),
    ],
)
def test_a_usage_that_does_not_fit_the_spec_is_refused(kms, spec, usage):
    with refused("ValidationException"):
        kms.create_key(KeySpec=spec, KeyUsage=usage)


@pytest.mark.parametrize(
    ("member", "value", "named"),
    [
        ("KeySpec", "HMAC_random", "keySpec"),
        ("KeyUsage", "RANDOM", "keyUsage"),
        ("Origin", "MARS", "origin"),
    ],
)
def test_a_name_outside_its_set_is_refused_with_the_set(kms, member, value, named):
    with refused("ValidationException") as caught:
        kms.create_key(**{member: value})
    message = caught.value.response["Error"]["Message"]
    start = (
        f"1 validation error detected: Value '{value}' at '{named}' failed to satisfy constraint: "
        "Member must satisfy enum value set: ["
    )
    assert message.startswith(start)


@pytest.mark.parametrize("form", ["KeyId", "Arn"])
def test_a_key_is_found_by_id_and_arn(kms, key, form):
    assert kms.describe_key(KeyId=key[form])["KeyMetadata"] == key


def test_a_key_that_is_not_there_is_named_by_its_arn(kms):
    missing = str(uuid.uuid4())
    message = f"Key 'arn:aws:kms:{REGION}:{ACCOUNT}:key/{missing}' does not exist"
    with refused("NotFoundException", message):
        kms.describe_key(KeyId=missing)
    with refused("NotFoundException", message):
        kms.describe_key(KeyId=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{missing}")


@pytest.mark.parametrize(
    "malformed", ["fake-key-id", "134f2428cec14b25a1ae9048164dba47", "mrk-fake-key-id"]
)
def test_what_is_no_key_id_is_told_so(kms, malformed):
    with refused("NotFoundException", f"Invalid keyId '{malformed}'"):
        kms.describe_key(KeyId=malformed)


def test_a_well_formed_multi_region_id_is_looked_up(kms):
    missing = "mrk-d3b95762d3b95762d3b95762d3b95762"
    message = f"Key 'arn:aws:kms:{REGION}:{ACCOUNT}:key/{missing}' does not exist"
    with refused("NotFoundException", message):
        kms.describe_key(KeyId=missing)


def test_a_malformed_arn_is_refused(kms):
    with refused("InvalidArnException"):
        kms.disable_key(KeyId="arn:aws:kms:us-east-1")


def test_disabling_and_enabling_change_the_state(kms, key):
    kms.disable_key(KeyId=key["KeyId"])
    disabled = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    assert (disabled["KeyState"], disabled["Enabled"]) == ("Disabled", False)
    with refused("DisabledException", f"{key['Arn']} is disabled."):
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    kms.enable_key(KeyId=key["Arn"])
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] == key


def test_switching_a_key_twice_is_no_error(kms, key):
    for _ in range(2):
        kms.disable_key(KeyId=key["KeyId"])
    for _ in range(2):
        kms.enable_key(KeyId=key["KeyId"])


def test_a_disabled_key_still_decrypts_nothing_and_its_ciphertext_waits(kms, key):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"later")["CiphertextBlob"]
    kms.disable_key(KeyId=key["KeyId"])
    with refused("DisabledException"):
        kms.decrypt(CiphertextBlob=blob)
    kms.enable_key(KeyId=key["KeyId"])
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"later"


def test_the_description_can_be_changed_up_to_8192_characters(kms, raw, key):
    text = "ü" * 8192
    kms.update_key_description(KeyId=key["KeyId"], Description=text)
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Description"] == text
    with refused("ValidationException"):
        raw.update_key_description(KeyId=key["KeyId"], Description=text + "!")
    kms.update_key_description(KeyId=key["KeyId"], Description="")
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Description"] == ""


def test_a_new_key_is_listed(kms, key):
    pages = kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1000})
    found = [entry for page in pages for entry in page["Keys"] if entry["KeyId"] == key["KeyId"]]
    assert found == [{"KeyId": key["KeyId"], "KeyArn": key["Arn"]}]


@pytest.mark.parametrize("operation", ["create_custom_key_store", "describe_custom_key_stores"])
def test_custom_key_stores_are_refused_by_their_documented_exception(kms, operation):
    arguments = {"CustomKeyStoreName": "store"} if operation.startswith("create") else {}
    with refused("UnsupportedOperationException"):
        getattr(kms, operation)(**arguments)


def test_an_aws_managed_key_comes_with_its_alias_and_cannot_be_changed(kms):
    metadata = kms.describe_key(KeyId="alias/aws/kmsfs")["KeyMetadata"]
    assert metadata["KeyManager"] == "AWS"
    with refused("AccessDeniedException"):
        kms.schedule_key_deletion(KeyId=metadata["KeyId"])
    with refused("AccessDeniedException"):
        kms.disable_key(KeyId=metadata["KeyId"])
