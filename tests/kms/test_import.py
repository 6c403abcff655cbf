"""GetParametersForImport, ImportKeyMaterial, DeleteImportedKeyMaterial."""

import datetime
import hashlib
import hmac
import os

import pytest
from conftest import refused
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from server import wait_until

FOREVER = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
DIGESTS = {"1": hashes.SHA1(), "256": hashes.SHA256()}


def wrap(parameters, algorithm, material):
    """What the owner of the material does at home."""
    public = serialization.load_der_public_key(parameters["PublicKey"])
    digest = DIGESTS[algorithm.rsplit("_", 1)[1]]
    oaep = padding.OAEP(padding.MGF1(digest), digest, None)
    if algorithm.startswith("RSAES_OAEP"):
        return public.encrypt(material, oaep)
    aes = os.urandom(32)
    return public.encrypt(aes, oaep) + keywrap.aes_key_wrap_with_padding(aes, material)


def imported(kms, key, material, algorithm="RSAES_OAEP_SHA_256", spec="RSA_2048", **expiry):
    parameters = kms.get_parameters_for_import(
        KeyId=key["KeyId"], WrappingAlgorithm=algorithm, WrappingKeySpec=spec
    )
    return kms.import_key_material(
        KeyId=key["KeyId"],
        ImportToken=parameters["ImportToken"],
        EncryptedKeyMaterial=wrap(parameters, algorithm, material),
        **(expiry or FOREVER),
    )


@pytest.fixture
def external(kms):
    return kms.create_key(Origin="EXTERNAL")["KeyMetadata"]


def state(kms, key):
    return kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"]


def test_a_key_without_material_waits_for_it(kms, external):
    assert external["Origin"] == "EXTERNAL"
    assert external["KeyState"] == "PendingImport"
    assert external["Enabled"] is False
    assert "ExpirationModel" not in external
    with refused("KMSInvalidStateException", f"{external['Arn']} is pending import."):
        kms.encrypt(KeyId=external["KeyId"], Plaintext=b"x")
    with refused("KMSInvalidStateException"):
        kms.enable_key(KeyId=external["KeyId"])


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_the_parameters_hold_a_public_key_a_token_and_their_end(kms, external, bits):
    parameters = kms.get_parameters_for_import(
        KeyId=external["KeyId"],
        WrappingAlgorithm="RSAES_OAEP_SHA_256",
        WrappingKeySpec=f"RSA_{bits}",
    )
    assert parameters["KeyId"] == external["Arn"]
    assert serialization.load_der_public_key(parameters["PublicKey"]).key_size == bits
    left = parameters["ParametersValidTo"] - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(hours=23) < left <= datetime.timedelta(hours=24, minutes=1)
    assert parameters["ImportToken"]


@pytest.mark.parametrize(
    "algorithm",
    [
        "RSAES_OAEP_SHA_1",
        "RSAES_OAEP_SHA_256",
        "RSA_AES_KEY_WRAP_SHA_1",
        "RSA_AES_KEY_WRAP_SHA_256",
    ],
)
def test_material_is_imported_under_every_wrapping(kms, external, algorithm):
    imported(kms, external, os.urandom(32), algorithm)
    metadata = kms.describe_key(KeyId=external["KeyId"])["KeyMetadata"]
    assert (metadata["KeyState"], metadata["Enabled"]) == ("Enabled", True)
    assert metadata["ExpirationModel"] == "KEY_MATERIAL_DOES_NOT_EXPIRE"
    blob = kms.encrypt(KeyId=external["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_deleted_material_comes_back_only_as_it_was(kms, external):
    material = os.urandom(32)
    imported(kms, external, material)
    blob = kms.encrypt(KeyId=external["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    kms.delete_imported_key_material(KeyId=external["KeyId"])
    assert state(kms, external) == "PendingImport"
    with refused("KMSInvalidStateException", f"{external['Arn']} is pending import."):
        kms.decrypt(CiphertextBlob=blob)
    with refused("IncorrectKeyMaterialException"):
        imported(kms, external, os.urandom(32))
    assert state(kms, external) == "PendingImport"
    imported(kms, external, material)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_material_that_expires_does(kms, external):
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
    imported(
        kms, external, os.urandom(32), ExpirationModel="KEY_MATERIAL_EXPIRES", ValidTo=soon
    )
    metadata = kms.describe_key(KeyId=external["KeyId"])["KeyMetadata"]
    assert metadata["ExpirationModel"] == "KEY_MATERIAL_EXPIRES"
    assert abs(metadata["ValidTo"] - soon) < datetime.timedelta(seconds=1)
    assert wait_until(lambda: state(kms, external) == "PendingImport")
    with refused("KMSInvalidStateException"):
        kms.encrypt(KeyId=external["KeyId"], Plaintext=b"x")


def test_an_expiry_needs_its_date(kms, external):
    with refused(
        "ValidationException", "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"
    ):
        imported(kms, external, os.urandom(32), ExpirationModel="KEY_MATERIAL_EXPIRES")


def test_a_token_of_another_key_imports_nothing(kms, external):
    other = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]
    arguments = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
    parameters = kms.get_parameters_for_import(KeyId=other["KeyId"], **arguments)
    with refused("InvalidImportTokenException"):
        kms.import_key_material(
            KeyId=external["KeyId"],
            ImportToken=parameters["ImportToken"],
            EncryptedKeyMaterial=wrap(parameters, "RSAES_OAEP_SHA_256", os.urandom(32)),
            **FOREVER,
        )
    with refused("InvalidImportTokenException"):
        kms.import_key_material(
            KeyId=external["KeyId"], ImportToken=b"wrong", EncryptedKeyMaterial=b"x" * 256, **FOREVER
        )


def test_what_does_not_unwrap_is_invalid_ciphertext(kms, external):
    parameters = kms.get_parameters_for_import(
        KeyId=external["KeyId"], WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
    )
    with refused("InvalidCiphertextException"):
        kms.import_key_material(
            KeyId=external["KeyId"],
            ImportToken=parameters["ImportToken"],
            EncryptedKeyMaterial=b"x" * 256,
            **FOREVER,
        )


def test_material_of_another_length_is_refused(kms, external):
    with refused("IncorrectKeyMaterialException"):
        imported(kms, external, os.urandom(16))


def test_a_key_with_material_of_its_own_imports_none(kms, key):
    message = f"{key['Arn']} origin is AWS_KMS which is not valid for this operation."
    with refused("UnsupportedOperationException", message):
        kms.get_parameters_for_import(
            KeyId=key["KeyId"], WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
        )
    with refused("UnsupportedOperationException", message):
        kms.delete_imported_key_material(KeyId=key["KeyId"])


def test_an_imported_private_key_signs(kms):
    key = kms.create_key(Origin="EXTERNAL", KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    key = key["KeyMetadata"]
    mine = ec.generate_private_key(ec.SECP256R1())
    der = mine.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    imported(kms, key, der, "RSA_AES_KEY_WRAP_SHA_256")
    signed = kms.sign(KeyId=key["KeyId"], Message=b"m", SigningAlgorithm="ECDSA_SHA_256")
    mine.public_key().verify(signed["Signature"], b"m", ec.ECDSA(hashes.SHA256()))


def test_an_imported_mac_key_makes_the_same_macs_as_at_home(kms):
    key = kms.create_key(Origin="EXTERNAL", KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    key = key["KeyMetadata"]
    material = os.urandom(32)
    imported(kms, key, material)
    made = kms.generate_mac(KeyId=key["KeyId"], Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"]
    assert made == hmac.new(material, b"m", hashlib.sha256).digest()
