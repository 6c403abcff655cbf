"""Keys, ciphertexts, signatures and secrets cross the border both ways: made by `cryptography` outside
and used inside, and the other way round."""

import os

import pytest
from conftest import refused
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, padding, rsa

DER, PKCS8 = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
SHA256 = hashes.SHA256()
OAEP = padding.OAEP(padding.MGF1(SHA256), SHA256, None)


def public_key(kms, key):
    return serialization.load_der_public_key(kms.get_public_key(KeyId=key["KeyId"])["PublicKey"])


def bring_in(kms, spec, usage, private, wrapping="RSA_AES_KEY_WRAP_SHA_256"):
    """A KMS key with the private key `private` of ours."""
    key = kms.create_key(Origin="EXTERNAL", KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
    parameters = kms.get_parameters_for_import(
        KeyId=key["KeyId"], WrappingAlgorithm=wrapping, WrappingKeySpec="RSA_2048"
    )
    material = private.private_bytes(DER, PKCS8, serialization.NoEncryption())
    wrapping_key = serialization.load_der_public_key(parameters["PublicKey"])
    if wrapping.startswith("RSA_AES"):
        aes = os.urandom(32)
        wrapped = wrapping_key.encrypt(aes, OAEP)
        wrapped += keywrap.aes_key_wrap_with_padding(aes, material)
    else:
        wrapped = wrapping_key.encrypt(material, OAEP)
    kms.import_key_material(
        KeyId=key["KeyId"],
        ImportToken=parameters["ImportToken"],
        EncryptedKeyMaterial=wrapped,
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )
    public = kms.get_public_key(KeyId=key["KeyId"])["PublicKey"]
    assert public == private.public_key().public_bytes(DER, SPKI)
    return key


SIGNERS = {
    "RSA_3072": (
        lambda: rsa.generate_private_key(65537, 3072),
        "RSASSA_PSS_SHA_256",
        (padding.PSS(padding.MGF1(SHA256), 32), SHA256),
    ),
    "ECC_NIST_P384": (
        lambda: ec.generate_private_key(ec.SECP384R1()),
        "ECDSA_SHA_384",
        (ec.ECDSA(hashes.SHA384()),),
    ),
    "ECC_NIST_P521": (
        lambda: ec.generate_private_key(ec.SECP521R1()),
        "ECDSA_SHA_512",
        (ec.ECDSA(hashes.SHA512()),),
    ),
    "ECC_SECG_P256K1": (
        lambda: ec.generate_private_key(ec.SECP256K1()),
        "ECDSA_SHA_256",
        (ec.ECDSA(SHA256),),
    ),
    "ECC_NIST_EDWARDS25519": (ed25519.Ed25519PrivateKey.generate, "ED25519_SHA_512", ()),
    "ML_DSA_44": (mldsa.MLDSA44PrivateKey.generate, "ML_DSA_SHAKE_256", ()),
    "ML_DSA_65": (mldsa.MLDSA65PrivateKey.generate, "ML_DSA_SHAKE_256", ()),
    "ML_DSA_87": (mldsa.MLDSA87PrivateKey.generate, "ML_DSA_SHAKE_256", ()),
}


@pytest.mark.parametrize("spec", SIGNERS)
def test_a_private_key_of_ours_signs_inside_what_verifies_outside_and_back(kms, spec):
    generate, algorithm, how = SIGNERS[spec]
    private = generate()
    key = bring_in(kms, spec, "SIGN_VERIFY", private)
    arguments = {"KeyId": key["KeyId"], "Message": b"message", "SigningAlgorithm": algorithm}
    inside = kms.sign(**arguments)["Signature"]
    private.public_key().verify(inside, b"message", *how)
    with pytest.raises(InvalidSignature):
        private.public_key().verify(inside, b"another", *how)
    outside = private.sign(b"message", *how)
    assert kms.verify(**arguments, Signature=outside)["SignatureValid"]


@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "ECC_NIST_EDWARDS25519", "ML_DSA_65"])
def test_short_private_keys_are_wrapped_without_an_aes_key_too(kms, spec):
    generate = {
        "ECC_NIST_P256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ECC_NIST_EDWARDS25519": ed25519.Ed25519PrivateKey.generate,
        "ML_DSA_65": mldsa.MLDSA65PrivateKey.generate,
    }
    bring_in(kms, spec, "SIGN_VERIFY", generate[spec](), "RSAES_OAEP_SHA_256")


@pytest.mark.parametrize("spec", ["ML_DSA_44", "ML_DSA_65", "ML_DSA_87"])
def test_a_representative_of_the_message_made_outside_is_signed_and_verified_inside(kms, spec):
    key = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    public = public_key(kms, key)
    hasher = mldsa.MLDSAMuHasher(public)
    hasher.update(b"message")
    arguments = {
        "KeyId": key["KeyId"],
        "Message": hasher.finalize(),
        "MessageType": "EXTERNAL_MU",
        "SigningAlgorithm": "ML_DSA_SHAKE_256",
    }
    signature = kms.sign(**arguments)["Signature"]
    public.verify(signature, b"message")
    assert kms.verify(**arguments, Signature=signature)["SignatureValid"]
    with refused("ValidationException"):
        kms.sign(**(arguments | {"Message": b"not 64 bytes"}))


def test_an_rsa_key_of_ours_decrypts_inside_what_was_encrypted_outside_and_back(kms):
    private = rsa.generate_private_key(65537, 2048)
    key = bring_in(kms, "RSA_2048", "ENCRYPT_DECRYPT", private)
    arguments = {"KeyId": key["KeyId"], "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    outside = private.public_key().encrypt(b"secret", OAEP)
    assert kms.decrypt(CiphertextBlob=outside, **arguments)["Plaintext"] == b"secret"
    inside = kms.encrypt(Plaintext=b"secret", **arguments)["CiphertextBlob"]
    assert private.decrypt(inside, OAEP) == b"secret"


def test_a_key_of_ours_agrees_inside_on_what_it_agrees_on_outside(kms):
    private = ec.generate_private_key(ec.SECP384R1())
    key = bring_in(kms, "ECC_NIST_P384", "KEY_AGREEMENT", private)
    peer = ec.generate_private_key(ec.SECP384R1()).public_key()
    inside = kms.derive_shared_secret(
        KeyId=key["KeyId"], KeyAgreementAlgorithm="ECDH", PublicKey=peer.public_bytes(DER, SPKI)
    )
    assert inside["SharedSecret"] == private.exchange(ec.ECDH(), peer)
    assert inside["KeyOrigin"] == "EXTERNAL"


@pytest.mark.parametrize("spec", ["ML_KEM_768", "ML_KEM_1024"])
def test_a_secret_encapsulated_outside_opens_inside(kms, spec):
    key = kms.create_key(KeySpec=spec, KeyUsage="ENCAPSULATE_DECAPSULATE")["KeyMetadata"]
    secret, ciphertext = public_key(kms, key).encapsulate()
    arguments = {"KeyId": key["KeyId"], "EncapsulationAlgorithm": "ML_KEM"}
    opened = kms.decapsulate(**arguments, SharedSecretCiphertextBlob=ciphertext)
    assert opened["SharedSecret"] == secret
    # Implicit rejection: an altered ciphertext gives another secret, one of another length none.
    altered = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    opened = kms.decapsulate(**arguments, SharedSecretCiphertextBlob=altered)
    assert len(opened["SharedSecret"]) == 32
    assert opened["SharedSecret"] != secret
    with refused("InvalidCiphertextException"):
        kms.decapsulate(**arguments, SharedSecretCiphertextBlob=ciphertext[1:])


@pytest.mark.parametrize(
    ("spec", "generate"),
    [("ML_KEM_768", mlkem.MLKEM768PrivateKey.generate), ("ML_KEM_1024", mlkem.MLKEM1024PrivateKey.generate)],
)
def test_a_secret_encapsulated_inside_opens_outside(kms, spec, generate):
    private = generate()
    key = bring_in(kms, spec, "ENCAPSULATE_DECAPSULATE", private)
    made = kms.encapsulate(KeyId=key["KeyId"], EncapsulationAlgorithm="ML_KEM")
    assert private.decapsulate(made["SharedSecretCiphertextBlob"]) == made["SharedSecret"]


@pytest.mark.parametrize("spec", ["RSA_3072", "RSA_4096", "ML_KEM_768", "ML_KEM_1024"])
def test_a_data_key_pair_is_used_outside(kms, key, spec):
    made = kms.generate_data_key_pair(KeyId=key["KeyId"], KeyPairSpec=spec)
    private = serialization.load_der_private_key(made["PrivateKeyPlaintext"], None)
    public = serialization.load_der_public_key(made["PublicKey"])
    if spec.startswith("RSA"):
        assert private.decrypt(public.encrypt(b"secret", OAEP), OAEP) == b"secret"
    else:
        # In the seed format, as AWS has it: of the same length for all parameter sets.
        assert len(made["PrivateKeyPlaintext"]) == 86
        secret, ciphertext = public.encapsulate()
        assert private.decapsulate(ciphertext) == secret
