"""GenerateDataKey(WithoutPlaintext), GenerateDataKeyPair(WithoutPlaintext), GenerateRandom."""

import pytest
from conftest import refused
from cryptography.hazmat.primitives import serialization


@pytest.mark.parametrize(
    ("arguments", "length"),
    [
        ({"KeySpec": "AES_256"}, 32),
        ({"KeySpec": "AES_128"}, 16),
        ({"NumberOfBytes": 1}, 1),
        ({"NumberOfBytes": 1024}, 1024),
    ],
)
def test_a_data_key_has_the_length_asked_for_and_decrypts_to_itself(kms, key, arguments, length):
    context = {"for": "test"}
    made = kms.generate_data_key(KeyId=key["KeyId"], EncryptionContext=context, **arguments)
    assert made["KeyId"] == key["Arn"]
    assert len(made["Plaintext"]) == length
    assert made["KeyMaterialId"] == key["CurrentKeyMaterialId"]
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=context)
    assert opened["Plaintext"] == made["Plaintext"]
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=made["CiphertextBlob"])


def test_a_data_key_without_plaintext_has_none(kms, key):
    made = kms.generate_data_key_without_plaintext(KeyId=key["KeyId"], KeySpec="AES_256")
    assert "Plaintext" not in made
    assert len(kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"]) == 32


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"KeySpec": "AES_256", "NumberOfBytes": 32},
        {"NumberOfBytes": 0},
        {"NumberOfBytes": 1025},
        {"KeySpec": "AES_512"},
    ],
)
@pytest.mark.parametrize("operation", ["", "_without_plaintext"])
def test_a_length_is_given_once_and_within_limits(raw, key, operation, arguments):
    with refused("ValidationException"):
        getattr(raw, f"generate_data_key{operation}")(KeyId=key["KeyId"], **arguments)


def test_a_data_key_needs_a_symmetric_key(kms):
    rsa = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]
    with refused("InvalidKeyUsageException"):
        kms.generate_data_key(KeyId=rsa["KeyId"], KeySpec="AES_256")
    mac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]
    with refused("InvalidKeyUsageException"):
        kms.generate_data_key(KeyId=mac["KeyId"], KeySpec="AES_256")


PAIRS = ["RSA_2048", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1",
         "ECC_NIST_EDWARDS25519"]


@pytest.mark.parametrize("spec", PAIRS)
def test_a_data_key_pair_belongs_together(kms, key, spec):
    context = {"for": "pair"}
    made = kms.generate_data_key_pair(
        KeyId=key["KeyId"], KeyPairSpec=spec, EncryptionContext=context
    )
    assert (made["KeyId"], made["KeyPairSpec"]) == (key["Arn"], spec)
    private = serialization.load_der_private_key(made["PrivateKeyPlaintext"], None)
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert public == made["PublicKey"]
    opened = kms.decrypt(
        CiphertextBlob=made["PrivateKeyCiphertextBlob"], EncryptionContext=context
    )
    assert opened["Plaintext"] == made["PrivateKeyPlaintext"]


def test_a_data_key_pair_without_plaintext_can_be_opened_later(kms, key):
    made = kms.generate_data_key_pair_without_plaintext(
        KeyId=key["KeyId"], KeyPairSpec="ECC_NIST_P256"
    )
    assert "PrivateKeyPlaintext" not in made
    opened = kms.decrypt(CiphertextBlob=made["PrivateKeyCiphertextBlob"])["Plaintext"]
    private = serialization.load_der_private_key(opened, None)
    public = serialization.load_der_public_key(made["PublicKey"])
    assert private.public_key() == public


@pytest.mark.parametrize("length", [1, 1024])
def test_random_bytes_have_the_length_asked_for(kms, length):
    first = kms.generate_random(NumberOfBytes=length)["Plaintext"]
    assert len(first) == length
    if length > 1:
        assert first != kms.generate_random(NumberOfBytes=length)["Plaintext"]


def test_random_bytes_within_limits_only(raw):
    with refused("ValidationException", "NumberOfBytes is required."):
        raw.generate_random()
    at = "1 validation error detected: Value '{}' at 'numberOfBytes' failed to satisfy constraint: "
    with refused(
        "ValidationException", at.format(0) + "Member must have value greater than or equal to 1"
    ):
        raw.generate_random(NumberOfBytes=0)
    with refused(
        "ValidationException", at.format(1025) + "Member must have value less than or equal to 1024"
    ):
        raw.generate_random(NumberOfBytes=1025)


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("generate_data_key", {"KeySpec": "AES_256"}),
        ("generate_data_key_without_plaintext", {"KeySpec": "AES_256"}),
        ("generate_data_key_pair", {"KeyPairSpec": "ECC_NIST_P256"}),
        ("generate_data_key_pair_without_plaintext", {"KeyPairSpec": "ECC_NIST_P256"}),
    ],
)
def test_a_dry_run_makes_no_data_key(kms, key, operation, arguments):
    with refused("DryRunOperationException"):
        getattr(kms, operation)(KeyId=key["KeyId"], DryRun=True, **arguments)
