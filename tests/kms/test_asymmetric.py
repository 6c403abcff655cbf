"""Sign, Verify, GetPublicKey, DeriveSharedSecret, Encapsulate, Decapsulate; checked by `cryptography`."""

import hashlib

import pytest
from conftest import refused
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
RSA = [f"RSASSA_{kind}_SHA_{bits}" for kind in ("PSS", "PKCS1_V1_5") for bits in HASHES]
ECDSA = {
    "ECC_NIST_P256": "ECDSA_SHA_256",
    "ECC_NIST_P384": "ECDSA_SHA_384",
    "ECC_NIST_P521": "ECDSA_SHA_512",
    "ECC_SECG_P256K1": "ECDSA_SHA_256",
}
EVERY = [("RSA_2048", algorithm) for algorithm in RSA] + list(ECDSA.items())


@pytest.fixture(scope="module")
def signer(kms):
    """Makes one signing key per spec."""
    made = {}

    def get(spec):
        if spec not in made:
            made[spec] = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]
        return made[spec]

    return get


def public_key(kms, key):
    return serialization.load_der_public_key(kms.get_public_key(KeyId=key["KeyId"])["PublicKey"])


def check(public, algorithm, signature, data, prehashed=False):
    """Raises InvalidSignature unless the independent library agrees."""
    digest = HASHES[algorithm[-3:]]
    named = utils.Prehashed(digest) if prehashed else digest
    if algorithm.startswith("ECDSA"):
        public.verify(signature, data, ec.ECDSA(named))
    elif "PSS" in algorithm:
        # AWS: the salt is as long as the digest.
        pss = padding.PSS(padding.MGF1(digest), salt_length=digest.digest_size)
        public.verify(signature, data, pss, named)
    else:
        public.verify(signature, data, padding.PKCS1v15(), named)


@pytest.mark.parametrize(("spec", "algorithm"), EVERY)
def test_a_signature_is_good_to_an_independent_library_and_to_verify(kms, signer, spec, algorithm):
    key = signer(spec)
    signed = kms.sign(KeyId=key["KeyId"], Message=b"message", SigningAlgorithm=algorithm)
    assert (signed["KeyId"], signed["SigningAlgorithm"]) == (key["Arn"], algorithm)
    check(public_key(kms, key), algorithm, signed["Signature"], b"message")
    verified = kms.verify(
        KeyId=key["KeyId"],
        Message=b"message",
        Signature=signed["Signature"],
        SigningAlgorithm=algorithm,
    )
    assert verified["SignatureValid"] is True
    assert (verified["KeyId"], verified["SigningAlgorithm"]) == (key["Arn"], algorithm)


@pytest.mark.parametrize(("spec", "algorithm"), EVERY)
def test_a_digest_is_signed_as_its_message(kms, signer, spec, algorithm):
    key = signer(spec)
    digest = hashlib.new(f"sha{algorithm[-3:]}", b"message").digest()
    signature = kms.sign(
        KeyId=key["KeyId"], Message=digest, MessageType="DIGEST", SigningAlgorithm=algorithm
    )["Signature"]
    check(public_key(kms, key), algorithm, signature, digest, prehashed=True)
    assert kms.verify(
        KeyId=key["KeyId"], Message=b"message", Signature=signature, SigningAlgorithm=algorithm
    )["SignatureValid"]
    with refused("ValidationException", f"Digest is invalid length for algorithm {algorithm}."):
        kms.sign(
            KeyId=key["KeyId"], Message=b"short", MessageType="DIGEST", SigningAlgorithm=algorithm
        )


@pytest.mark.parametrize(("spec", "algorithm"), [EVERY[0], EVERY[3], EVERY[6], EVERY[9]])
def test_a_bad_signature_is_an_error_and_never_false(kms, signer, spec, algorithm):
    key = signer(spec)
    signature = kms.sign(KeyId=key["KeyId"], Message=b"m", SigningAlgorithm=algorithm)["Signature"]
    cases = [(b"other", signature), (b"m", signature[:-1] + bytes([signature[-1] ^ 1])), (b"m", b"no")]
    for message, given in cases:
        with refused("KMSInvalidSignatureException", ""):
            kms.verify(
                KeyId=key["KeyId"], Message=message, Signature=given, SigningAlgorithm=algorithm
            )


def test_ed25519_signs_messages(kms, signer):
    key = signer("ECC_NIST_EDWARDS25519")
    signed = kms.sign(KeyId=key["KeyId"], Message=b"m", SigningAlgorithm="ED25519_SHA_512")
    public_key(kms, key).verify(signed["Signature"], b"m")
    assert kms.verify(
        KeyId=key["KeyId"],
        Message=b"m",
        Signature=signed["Signature"],
        SigningAlgorithm="ED25519_SHA_512",
    )["SignatureValid"]
    with refused("KMSInvalidSignatureException", ""):
        kms.verify(
            KeyId=key["KeyId"],
            Message=b"n",
            Signature=signed["Signature"],
            SigningAlgorithm="ED25519_SHA_512",
        )


def test_ed25519ph_signs_digests(kms, signer):
    key = signer("ECC_NIST_EDWARDS25519")
    arguments = {
        "KeyId": key["KeyId"],
        "Message": hashlib.sha512(b"m").digest(),
        "MessageType": "DIGEST",
        "SigningAlgorithm": "ED25519_PH_SHA_512",
    }
    signature = kms.sign(**arguments)["Signature"]
    assert len(signature) == 64
    assert kms.verify(**arguments, Signature=signature)["SignatureValid"]


@pytest.mark.parametrize("spec", ["ML_DSA_44", "ML_DSA_65", "ML_DSA_87"])
def test_ml_dsa_signs_messages(kms, signer, spec):
    key = signer(spec)
    signed = kms.sign(KeyId=key["KeyId"], Message=b"m", SigningAlgorithm="ML_DSA_SHAKE_256")
    public = public_key(kms, key)
    public.verify(signed["Signature"], b"m")
    assert kms.verify(
        KeyId=key["KeyId"],
        Message=b"m",
        Signature=signed["Signature"],
        SigningAlgorithm="ML_DSA_SHAKE_256",
    )["SignatureValid"]


def test_ml_dsa_takes_a_message_representative(kms, signer):
    key = signer("ML_DSA_44")
    der = kms.get_public_key(KeyId=key["KeyId"])["PublicKey"]
    # FIPS 204: mu = SHAKE256(SHAKE256(pk, 64) || 0 || 0 || message, 64), without a context. The
    # last 1312 bytes of the SubjectPublicKeyInfo are the public key.
    tr = hashlib.shake_256(der[-1312:]).digest(64)
    mu = hashlib.shake_256(tr + b"\0\0" + b"m").digest(64)
    signature = kms.sign(
        KeyId=key["KeyId"],
        Message=mu,
        MessageType="EXTERNAL_MU",
        SigningAlgorithm="ML_DSA_SHAKE_256",
    )["Signature"]
    public_key(kms, key).verify(signature, b"m")


def test_a_public_key_comes_with_what_it_is_for(kms, signer):
    key = signer("ECC_NIST_P256")
    answer = kms.get_public_key(KeyId=key["KeyId"])
    assert answer["KeyId"] == key["Arn"]
    assert answer["KeySpec"] == answer["CustomerMasterKeySpec"] == "ECC_NIST_P256"
    assert answer["KeyUsage"] == "SIGN_VERIFY"
    assert answer["SigningAlgorithms"] == ["ECDSA_SHA_256"]
    assert isinstance(serialization.load_der_public_key(answer["PublicKey"]).curve, ec.SECP256R1)


def test_a_message_has_at_most_4096_bytes(raw, signer):
    with refused("ValidationException"):
        raw.sign(
            KeyId=signer("ECC_NIST_P256")["KeyId"],
            Message=b"m" * 4097,
            SigningAlgorithm="ECDSA_SHA_256",
        )


def test_an_algorithm_of_another_kind_of_key_is_refused(kms, signer):
    with refused("InvalidKeyUsageException"):
        kms.sign(
            KeyId=signer("ECC_NIST_P256")["KeyId"], Message=b"m", SigningAlgorithm="ECDSA_SHA_384"
        )


def test_the_usage_of_a_key_is_kept(kms, key, signer):
    with refused(
        "InvalidKeyUsageException",
        f"{key['Arn']} key usage is ENCRYPT_DECRYPT which is not valid for Sign.",
    ):
        kms.sign(KeyId=key["KeyId"], Message=b"m", SigningAlgorithm="ECDSA_SHA_256")
    arn = signer("RSA_2048")["Arn"]
    with refused(
        "InvalidKeyUsageException",
        f"{arn} key usage is SIGN_VERIFY which is not valid for Encrypt.",
    ):
        kms.encrypt(KeyId=arn, Plaintext=b"m", EncryptionAlgorithm="RSAES_OAEP_SHA_256")


def test_only_asymmetric_keys_have_a_public_key(kms, key):
    with refused("UnsupportedOperationException"):
        kms.get_public_key(KeyId=key["KeyId"])


def test_data_encrypted_outside_decrypts_inside(kms):
    key = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    blob = public_key(kms, key).encrypt(b"from outside", oaep)
    answer = kms.decrypt(
        KeyId=key["KeyId"], CiphertextBlob=blob, EncryptionAlgorithm="RSAES_OAEP_SHA_256"
    )
    assert answer["Plaintext"] == b"from outside"


@pytest.mark.parametrize(
    ("spec", "curve"),
    [
        ("ECC_NIST_P256", ec.SECP256R1()),
        ("ECC_NIST_P384", ec.SECP384R1()),
        ("ECC_NIST_P521", ec.SECP521R1()),
    ],
)
def test_both_sides_derive_the_same_secret(kms, spec, curve):
    key = kms.create_key(KeySpec=spec, KeyUsage="KEY_AGREEMENT")["KeyMetadata"]
    mine = ec.generate_private_key(curve)
    der = mine.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    answer = kms.derive_shared_secret(
        KeyId=key["KeyId"], KeyAgreementAlgorithm="ECDH", PublicKey=der
    )
    assert answer["KeyId"] == key["Arn"]
    assert answer["KeyAgreementAlgorithm"] == "ECDH"
    assert answer["SharedSecret"] == mine.exchange(ec.ECDH(), public_key(kms, key))


def test_a_point_of_another_curve_derives_nothing(kms):
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]
    other = ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with refused("ValidationException"):
        kms.derive_shared_secret(KeyId=key["KeyId"], KeyAgreementAlgorithm="ECDH", PublicKey=other)


@pytest.mark.parametrize("spec", ["ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"])
def test_a_capsule_opens_to_the_secret_it_was_made_with(kms, spec):
    usages = kms.meta.service_model.shape_for("KeyUsageType").enum
    (usage,) = [usage for usage in usages if "ENCAPS" in usage]
    key = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
    algorithms = kms.meta.service_model.shape_for("EncapsulationAlgorithmSpec").enum
    (algorithm,) = [name for name in algorithms if name in key["EncapsulationAlgorithms"]]
    made = kms.encapsulate(KeyId=key["KeyId"], EncapsulationAlgorithm=algorithm)
    outputs = kms.meta.service_model.operation_model("Encapsulate").output_shape.members
    secret = next(name for name in outputs if "Plaintext" in name or name == "SharedSecret")
    blob = next(name for name in outputs if "Ciphertext" in name)
    opened = kms.decapsulate(
        KeyId=key["KeyId"],
        EncapsulationAlgorithm=algorithm,
        SharedSecretCiphertextBlob=made[blob],
    )
    assert len(made[secret]) == 32
    assert opened[secret] == made[secret]


@pytest.mark.parametrize("operation", ["sign", "verify"])
def test_a_dry_run_signs_and_verifies_nothing(kms, signer, operation):
    key = signer("ECC_NIST_P256")
    arguments = {"KeyId": key["KeyId"], "Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"}
    if operation == "verify":
        arguments["Signature"] = kms.sign(**arguments)["Signature"]
    with refused("DryRunOperationException"):
        getattr(kms, operation)(**arguments, DryRun=True)
