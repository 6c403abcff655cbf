"""GenerateMac and VerifyMac."""

import pytest
from conftest import refused

SIZES = {"HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64}


@pytest.fixture(scope="module")
def mac_key(kms):
    made = {}

    def get(spec):
        if spec not in made:
            made[spec] = kms.create_key(KeySpec=spec, KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]
        return made[spec]

    return get


@pytest.mark.parametrize("spec", SIZES)
def test_a_mac_has_its_length_and_verifies(kms, mac_key, spec):
    key = mac_key(spec)
    algorithm = spec.replace("HMAC_", "HMAC_SHA_")
    arguments = {"KeyId": key["KeyId"], "Message": b"m", "MacAlgorithm": algorithm}
    made = kms.generate_mac(**arguments)
    assert (made["KeyId"], made["MacAlgorithm"]) == (key["Arn"], algorithm)
    assert len(made["Mac"]) == SIZES[spec]
    assert made["Mac"] == kms.generate_mac(**arguments)["Mac"]
    verified = kms.verify_mac(**arguments, Mac=made["Mac"])
    assert verified["MacValid"] is True
    assert (verified["KeyId"], verified["MacAlgorithm"]) == (key["Arn"], algorithm)


def test_a_wrong_mac_is_an_error_and_never_false(kms, mac_key):
    arguments = {
        "KeyId": mac_key("HMAC_256")["KeyId"],
        "Message": b"m",
        "MacAlgorithm": "HMAC_SHA_256",
    }
    mac = kms.generate_mac(**arguments)["Mac"]
    for wrong in (bytes([mac[0] ^ 1]) + mac[1:], mac[:-1], b"x"):
        with refused("KMSInvalidMacException", ""):
            kms.verify_mac(**arguments, Mac=wrong)
    with refused("KMSInvalidMacException", ""):
        kms.verify_mac(**(arguments | {"Message": b"n"}), Mac=mac)


def test_an_algorithm_of_another_length_is_refused(kms, mac_key):
    with refused(
        "InvalidKeyUsageException", "Algorithm HMAC_SHA_256 is incompatible with key spec HMAC_224."
    ):
        kms.generate_mac(
            KeyId=mac_key("HMAC_224")["KeyId"], Message=b"m", MacAlgorithm="HMAC_SHA_256"
        )
    with refused(
        "InvalidKeyUsageException", "Algorithm HMAC_SHA_512 is incompatible with key spec HMAC_256."
    ):
        kms.verify_mac(
            KeyId=mac_key("HMAC_256")["KeyId"],
            Message=b"m",
            MacAlgorithm="HMAC_SHA_512",
            Mac=b"x" * 64,
        )


def test_a_mac_needs_a_mac_key(kms, key):
    with refused(
        "InvalidKeyUsageException",
        f"{key['Arn']} key usage is ENCRYPT_DECRYPT which is not valid for GenerateMac.",
    ):
        kms.generate_mac(KeyId=key["KeyId"], Message=b"m", MacAlgorithm="HMAC_SHA_256")


def test_an_unknown_algorithm_is_refused(kms, mac_key):
    with refused("ValidationException"):
        kms.generate_mac(
            KeyId=mac_key("HMAC_256")["KeyId"], Message=b"m", MacAlgorithm="INVALID"
        )


def test_a_message_has_one_to_4096_bytes(kms, raw, mac_key):
    arguments = {"KeyId": mac_key("HMAC_256")["KeyId"], "MacAlgorithm": "HMAC_SHA_256"}
    kms.generate_mac(**arguments, Message=b"m" * 4096)
    for message in (b"", b"m" * 4097):
        with refused("ValidationException"):
            raw.generate_mac(**arguments, Message=message)


def test_dry_runs(kms, mac_key):
    arguments = {
        "KeyId": mac_key("HMAC_256")["KeyId"],
        "Message": b"m",
        "MacAlgorithm": "HMAC_SHA_256",
    }
    with refused("DryRunOperationException"):
        kms.generate_mac(**arguments, DryRun=True)
    mac = kms.generate_mac(**arguments)["Mac"]
    with refused("DryRunOperationException"):
        kms.verify_mac(**arguments, Mac=mac, DryRun=True)
