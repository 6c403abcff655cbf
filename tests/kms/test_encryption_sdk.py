"""The AWS Encryption SDK for Python as a client, with the keyrings of the material providers library."""

import aws_encryption_sdk
import botocore.session
import pytest
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import (
    CreateAwsKmsDiscoveryKeyringInput,
    CreateAwsKmsKeyringInput,
    CreateAwsKmsMrkKeyringInput,
    CreateAwsKmsMultiKeyringInput,
    CreateAwsKmsRsaKeyringInput,
    DiscoveryFilter,
)
from aws_cryptographic_material_providers.mpl.references import IClientSupplier
from aws_encryption_sdk import CommitmentPolicy
from aws_encryption_sdk.identifiers import AlgorithmSuite
from cryptography.hazmat.primitives import serialization
from server import ACCOUNT, REGION
from test_multi_region import ready

DATA = bytes(range(256)) * 500
CONTEXT = {"purpose": "test"}


@pytest.fixture(scope="module")
def sdk():
    return aws_encryption_sdk.EncryptionSDKClient(
        commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    )


@pytest.fixture(scope="module")
def providers():
    return AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())


def keyring(providers, kms, key):
    return providers.create_aws_kms_keyring(
        CreateAwsKmsKeyringInput(kms_key_id=key["Arn"], kms_client=kms)
    )


def test_a_message_comes_back_with_its_context(sdk, providers, kms, key):
    ring = keyring(providers, kms, key)
    sealed, _ = sdk.encrypt(source=DATA, keyring=ring, encryption_context=CONTEXT)
    assert DATA[:64] not in sealed
    opened, header = sdk.decrypt(source=sealed, keyring=ring, encryption_context=CONTEXT)
    assert opened == DATA
    assert CONTEXT.items() <= header.encryption_context.items()


def test_a_stream_is_encrypted_in_frames(sdk, providers, kms, key, tmp_path):
    ring = keyring(providers, kms, key)
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(DATA)
    with plain.open("rb") as source, sealed.open("wb") as target:
        with sdk.stream(mode="e", source=source, keyring=ring, frame_length=4096) as stream:
            for chunk in stream:
                target.write(chunk)
    with sealed.open("rb") as source:
        with sdk.stream(mode="d", source=source, keyring=ring) as stream:
            assert b"".join(stream) == DATA


def test_another_key_opens_nothing(sdk, providers, kms, key):
    sealed, _ = sdk.encrypt(source=b"x", keyring=keyring(providers, kms, key))
    other = kms.create_key()["KeyMetadata"]
    with pytest.raises(Exception):  # noqa: B017, PT011: the library's own types differ by version
        sdk.decrypt(source=sealed, keyring=keyring(providers, kms, other))


def test_a_disabled_key_opens_nothing_until_it_is_enabled(sdk, providers, kms, key):
    ring = keyring(providers, kms, key)
    sealed, _ = sdk.encrypt(source=b"x", keyring=ring)
    kms.disable_key(KeyId=key["KeyId"])
    with pytest.raises(Exception):  # noqa: B017, PT011
        sdk.decrypt(source=sealed, keyring=ring)
    kms.enable_key(KeyId=key["KeyId"])
    assert sdk.decrypt(source=sealed, keyring=ring)[0] == b"x"


def test_an_altered_message_is_refused(sdk, providers, kms, key):
    ring = keyring(providers, kms, key)
    sealed, _ = sdk.encrypt(source=DATA, keyring=ring)
    altered = sealed[:-100] + bytes([sealed[-100] ^ 1]) + sealed[-99:]
    with pytest.raises(Exception):  # noqa: B017, PT011
        sdk.decrypt(source=altered, keyring=ring)


def test_a_discovery_keyring_finds_the_key(sdk, providers, kms, key):
    sealed, _ = sdk.encrypt(source=b"x", keyring=keyring(providers, kms, key))
    found = providers.create_aws_kms_discovery_keyring(
        CreateAwsKmsDiscoveryKeyringInput(
            kms_client=kms, discovery_filter=DiscoveryFilter(account_ids=[ACCOUNT], partition="aws")
        )
    )
    assert sdk.decrypt(source=sealed, keyring=found)[0] == b"x"


def test_each_key_of_a_multi_keyring_opens_the_message(sdk, providers, kms, key):
    other = kms.create_key()["KeyMetadata"]

    # By default the library makes clients of its own, for AWS itself.
    class Clients(IClientSupplier):
        def get_client(self, param):
            return kms

    both = providers.create_aws_kms_multi_keyring(
        CreateAwsKmsMultiKeyringInput(
            generator=key["Arn"], kms_key_ids=[other["Arn"]], client_supplier=Clients()
        )
    )
    sealed, _ = sdk.encrypt(source=b"x", keyring=both)
    for one in (key, other):
        assert sdk.decrypt(source=sealed, keyring=keyring(providers, kms, one))[0] == b"x"


def test_a_replica_opens_what_the_primary_sealed(sdk, providers, kms, server, admin):
    primary = kms.create_key(MultiRegion=True)["KeyMetadata"]
    replica = kms.replicate_key(KeyId=primary["KeyId"], ReplicaRegion="eu-west-1")
    replica = replica["ReplicaKeyMetadata"]
    there = server.client(admin, "eu-west-1")
    ready(there, replica["KeyId"])

    def ring(client, arn):
        return providers.create_aws_kms_mrk_keyring(
            CreateAwsKmsMrkKeyringInput(kms_key_id=arn, kms_client=client)
        )

    sealed, _ = sdk.encrypt(source=b"x", keyring=ring(kms, primary["Arn"]))
    assert sdk.decrypt(source=sealed, keyring=ring(there, replica["Arn"]))[0] == b"x"


def test_an_rsa_keyring_encrypts_with_the_public_key_alone(sdk, providers, kms):
    key = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]
    der = kms.get_public_key(KeyId=key["KeyId"])["PublicKey"]
    pem = serialization.load_der_public_key(der).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    ring = providers.create_aws_kms_rsa_keyring(
        CreateAwsKmsRsaKeyringInput(
            public_key=pem,
            kms_key_id=key["Arn"],
            encryption_algorithm="RSAES_OAEP_SHA_256",
            kms_client=kms,
        )
    )
    sealed, _ = sdk.encrypt(
        source=DATA,
        keyring=ring,
        algorithm=AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
    )
    assert sdk.decrypt(source=sealed, keyring=ring)[0] == DATA


def test_data_keys_can_be_cached(sdk, kms, key, server, admin):
    # The master key providers of older programs. They make clients of their own, from a session.
    session = botocore.session.Session()
    session.set_credentials(admin.access_key, admin.secret_key)
    session.get_component("config_store").set_config_variable("region", REGION)
    real = session.create_client

    def create_client(*arguments, **more):
        return real(*arguments, **(more | {"endpoint_url": server.url}))

    session.create_client = create_client
    provider = aws_encryption_sdk.StrictAwsKmsMasterKeyProvider(
        key_ids=[key["Arn"]], botocore_session=session
    )
    manager = aws_encryption_sdk.CachingCryptoMaterialsManager(
        master_key_provider=provider,
        cache=aws_encryption_sdk.LocalCryptoMaterialsCache(10),
        max_age=60.0,
        max_messages_encrypted=5,
    )
    for _ in range(7):
        sealed, _ = sdk.encrypt(source=b"x", materials_manager=manager)
        assert sdk.decrypt(source=sealed, materials_manager=manager)[0] == b"x"
