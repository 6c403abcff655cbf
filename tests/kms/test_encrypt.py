"""Encrypt, Decrypt, ReEncrypt: round trips, the encryption context, what must not open."""

import pytest
from botocore.exceptions import ClientError
from conftest import refused

INCORRECT = "The key ID in the request does not identify a CMK that can perform this operation."


def test_a_round_trip_names_key_and_algorithm(kms, key):
    encrypted = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"attack at dawn")
    assert encrypted["KeyId"] == key["Arn"]
    assert encrypted["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    decrypted = kms.decrypt(CiphertextBlob=encrypted["CiphertextBlob"])
    assert decrypted["Plaintext"] == b"attack at dawn"
    assert decrypted["KeyId"] == key["Arn"]
    assert decrypted["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    assert decrypted["KeyMaterialId"] == key["CurrentKeyMaterialId"]


def test_the_same_plaintext_encrypts_differently_each_time(kms, key):
    blobs = {kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"] for _ in range(5)}
    assert len(blobs) == 5


@pytest.mark.parametrize("length", [1, 4096])
def test_one_to_4096_bytes_are_encrypted(kms, key, length):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"p" * length)["CiphertextBlob"]
    assert len(blob) <= 6144
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"p" * length


def test_more_than_4096_bytes_are_refused(raw, key):
    message = (
        "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: "
        "Member must have length less than or equal to 4096"
    )
    with refused("ValidationException", message):
        raw.encrypt(KeyId=key["KeyId"], Plaintext=b"p" * 4097)


def test_no_plaintext_and_too_long_a_ciphertext_are_refused(raw, key):
    with refused("ValidationException"):
        raw.encrypt(KeyId=key["KeyId"], Plaintext=b"")
    with refused("ValidationException"):
        raw.decrypt(CiphertextBlob=b"c" * 6145)
    with refused("ValidationException"):
        raw.decrypt(CiphertextBlob=b"")


CONTEXT = {"purpose": "test", "file": "/a b/ü", "empty": ""}


def test_the_encryption_context_is_needed_exactly_in_any_order(kms, key):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=CONTEXT)
    blob = blob["CiphertextBlob"]
    reordered = dict(reversed(CONTEXT.items()))
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=reordered)["Plaintext"] == b"x"


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"purpose": "test", "file": "/a b/ü"},
        CONTEXT | {"more": "1"},
        CONTEXT | {"purpose": "Test"},
        {"Purpose": "test", "file": "/a b/ü", "empty": ""},
        CONTEXT | {"file": "/a b/u"},
    ],
    ids=["none", "less", "more", "value's case", "name's case", "accent"],
)
def test_another_encryption_context_opens_nothing(kms, key, other):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=CONTEXT)
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=blob["CiphertextBlob"], EncryptionContext=other)


@pytest.mark.parametrize(
    ("made", "tried"),
    [
        ({"a": "bc"}, {"ab": "c"}),
        ({"a": "b", "c": "d"}, {"a": "bcd"}),
        ({"a": ""}, {"": "a"}),
        ({"a": "b"}, {"a": "b\0"}),
    ],
)
def test_pairs_do_not_run_together(raw, key, made, tried):
    blob = raw.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=made)
    with refused("InvalidCiphertextException", ""):
        raw.decrypt(CiphertextBlob=blob["CiphertextBlob"], EncryptionContext=tried)


def test_a_ciphertext_with_context_does_not_open_without(kms, key):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})


def test_every_altered_byte_is_found(kms, key):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x" * 20)["CiphertextBlob"]
    for position in range(0, len(blob), 5):
        altered = bytearray(blob)
        altered[position] ^= 1
        with pytest.raises(ClientError) as caught:
            kms.decrypt(CiphertextBlob=bytes(altered))
        # A blob that names a key that is not there is refused as one that its user may not know.
        code = caught.value.response["Error"]["Code"]
        assert code in ("InvalidCiphertextException", "AccessDeniedException")


@pytest.mark.parametrize("cut", [1, 16, 40])
def test_a_cut_or_extended_ciphertext_does_not_open(kms, key, cut):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x" * 20)["CiphertextBlob"]
    for other in (blob[:-cut], blob + b"\0" * cut):
        with refused("InvalidCiphertextException", ""):
            kms.decrypt(CiphertextBlob=other)


def test_noise_is_no_ciphertext(kms, key):
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=b"noise", KeyId=key["KeyId"])


def test_a_wrong_key_is_named_as_such(kms, key):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    other = kms.create_key()["KeyMetadata"]
    with refused("IncorrectKeyException", INCORRECT):
        kms.decrypt(CiphertextBlob=blob, KeyId=other["KeyId"])
    with refused("NotFoundException"):
        kms.decrypt(CiphertextBlob=blob, KeyId="f47ac10b-58cc-4372-a567-0e02b2c3d479")


def test_reencrypt_moves_a_ciphertext_to_another_key_and_context(kms, key):
    other = kms.create_key()["KeyMetadata"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext={"v": "1"})
    moved = kms.re_encrypt(
        CiphertextBlob=blob["CiphertextBlob"],
        SourceEncryptionContext={"v": "1"},
        SourceKeyId=key["KeyId"],
        DestinationKeyId=other["KeyId"],
        DestinationEncryptionContext={"v": "2"},
    )
    assert moved["SourceKeyId"] == key["Arn"]
    assert moved["KeyId"] == other["Arn"]
    assert moved["SourceEncryptionAlgorithm"] == moved["DestinationEncryptionAlgorithm"]
    assert moved["SourceKeyMaterialId"] == key["CurrentKeyMaterialId"]
    assert moved["DestinationKeyMaterialId"] == other["CurrentKeyMaterialId"]
    answer = kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"v": "2"})
    assert (answer["Plaintext"], answer["KeyId"]) == (b"x", other["Arn"])


def test_reencrypt_checks_context_and_key_of_the_source(kms, key):
    other = kms.create_key()["KeyMetadata"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    with refused("InvalidCiphertextException", ""):
        kms.re_encrypt(
            CiphertextBlob=blob,
            SourceEncryptionContext={"no": "such"},
            DestinationKeyId=other["KeyId"],
        )
    with refused("IncorrectKeyException"):
        kms.re_encrypt(
            CiphertextBlob=blob, SourceKeyId=other["KeyId"], DestinationKeyId=other["KeyId"]
        )


def test_reencrypt_to_a_disabled_key_is_refused(kms, key):
    other = kms.create_key()["KeyMetadata"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    kms.disable_key(KeyId=other["KeyId"])
    with refused("DisabledException"):
        kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other["KeyId"])


@pytest.mark.parametrize(
    ("algorithm", "largest"), [("RSAES_OAEP_SHA_1", 214), ("RSAES_OAEP_SHA_256", 190)]
)
def test_rsa_encrypts_up_to_its_limit(kms, rsa, algorithm, largest):
    blob = kms.encrypt(
        KeyId=rsa["KeyId"], Plaintext=b"p" * largest, EncryptionAlgorithm=algorithm
    )["CiphertextBlob"]
    answer = kms.decrypt(KeyId=rsa["KeyId"], CiphertextBlob=blob, EncryptionAlgorithm=algorithm)
    assert answer["Plaintext"] == b"p" * largest
    message = (
        f"Algorithm {algorithm} and key spec RSA_2048 cannot encrypt data larger than "
        f"{largest} bytes."
    )
    with refused("ValidationException", message):
        kms.encrypt(
            KeyId=rsa["KeyId"], Plaintext=b"p" * (largest + 1), EncryptionAlgorithm=algorithm
        )


@pytest.fixture(scope="module")
def rsa(kms):
    return kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]


def test_rsa_needs_the_key_and_the_same_algorithm_to_decrypt(kms, rsa):
    blob = kms.encrypt(
        KeyId=rsa["KeyId"], Plaintext=b"x", EncryptionAlgorithm="RSAES_OAEP_SHA_256"
    )["CiphertextBlob"]
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(
            KeyId=rsa["KeyId"], CiphertextBlob=blob, EncryptionAlgorithm="RSAES_OAEP_SHA_1"
        )
    with refused("ValidationException"):
        kms.decrypt(CiphertextBlob=blob, EncryptionAlgorithm="RSAES_OAEP_SHA_256")
    with refused("InvalidKeyUsageException"):
        kms.encrypt(KeyId=rsa["KeyId"], Plaintext=b"x", EncryptionAlgorithm="SYMMETRIC_DEFAULT")


def test_an_asymmetric_key_takes_no_encryption_context(kms, rsa):
    with refused("ValidationException"):
        kms.encrypt(
            KeyId=rsa["KeyId"],
            Plaintext=b"x",
            EncryptionAlgorithm="RSAES_OAEP_SHA_256",
            EncryptionContext={"a": "b"},
        )


def test_a_symmetric_key_takes_no_other_algorithm(kms, key):
    with refused("InvalidKeyUsageException"):
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionAlgorithm="RSAES_OAEP_SHA_256")


def test_a_symmetric_ciphertext_moves_to_rsa(kms, key, rsa):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext={"a": "b"})
    moved = kms.re_encrypt(
        CiphertextBlob=blob["CiphertextBlob"],
        SourceEncryptionContext={"a": "b"},
        DestinationKeyId=rsa["KeyId"],
        DestinationEncryptionAlgorithm="RSAES_OAEP_SHA_256",
    )
    answer = kms.decrypt(
        KeyId=rsa["KeyId"],
        CiphertextBlob=moved["CiphertextBlob"],
        EncryptionAlgorithm="RSAES_OAEP_SHA_256",
    )
    assert answer["Plaintext"] == b"x"


@pytest.mark.parametrize("operation", ["encrypt", "decrypt", "re_encrypt"])
def test_a_dry_run_says_that_it_would_have_worked(kms, key, operation):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    arguments = {
        "encrypt": {"KeyId": key["KeyId"], "Plaintext": b"x"},
        "decrypt": {"CiphertextBlob": blob},
        "re_encrypt": {"CiphertextBlob": blob, "DestinationKeyId": key["KeyId"]},
    }[operation]
    with refused("DryRunOperationException"):
        getattr(kms, operation)(**arguments, DryRun=True)


def test_a_dry_run_fails_as_the_call_would(kms, key):
    kms.disable_key(KeyId=key["KeyId"])
    with refused("DisabledException"):
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", DryRun=True)
