"""The AWS CLI as a client: a test through each group of operations."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from server import REGION


@pytest.fixture(scope="module")
def aws(server, admin, tmp_path_factory):
    """Runs `aws kms ...`; the parsed answer, or the error's text."""
    home = tmp_path_factory.mktemp("aws")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": admin.access_key,
        "AWS_SECRET_ACCESS_KEY": admin.secret_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_PAGER": "",
        "AWS_MAX_ATTEMPTS": "1",
    }
    program = Path(sys.executable).parent / "aws"

    def run(*arguments, fails=False):
        command = [sys.executable, program, "--endpoint-url", server.url, "kms", *arguments]
        done = subprocess.run(
            command, env=environment, cwd=home, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode != 0) == fails, done.stderr
        if fails:
            return done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    run.directory = home
    return run


@pytest.fixture(scope="module")
def cli_key(aws):
    return aws("create-key", "--description", "of the CLI", "--tags", "TagKey=a,TagValue=b")[
        "KeyMetadata"
    ]


def test_the_cli_manages_keys(aws, cli_key):
    assert aws("describe-key", "--key-id", cli_key["Arn"])["KeyMetadata"]["KeyId"] == cli_key["KeyId"]
    aws("disable-key", "--key-id", cli_key["KeyId"])
    error = aws("encrypt", "--key-id", cli_key["KeyId"], "--plaintext", "x", fails=True)
    assert "(DisabledException)" in error
    aws("enable-key", "--key-id", cli_key["KeyId"])
    assert cli_key["KeyId"] in json.dumps(aws("list-keys"))
    assert "(NotFoundException)" in aws("describe-key", "--key-id", "alias/none", fails=True)


def test_the_cli_encrypts_and_decrypts_files(aws, cli_key):
    (aws.directory / "plain").write_bytes(bytes(range(256)))
    made = aws(
        "encrypt", "--key-id", cli_key["KeyId"], "--plaintext", "fileb://plain",
        "--encryption-context", "purpose=cli",
    )
    (aws.directory / "blob").write_bytes(base64.b64decode(made["CiphertextBlob"]))
    opened = aws(
        "decrypt", "--ciphertext-blob", "fileb://blob", "--encryption-context", "purpose=cli"
    )
    assert base64.b64decode(opened["Plaintext"]) == bytes(range(256))
    error = aws("decrypt", "--ciphertext-blob", "fileb://blob", fails=True)
    assert "(InvalidCiphertextException)" in error


def test_the_cli_makes_data_keys(aws, cli_key):
    made = aws("generate-data-key", "--key-id", cli_key["KeyId"], "--key-spec", "AES_256")
    assert len(base64.b64decode(made["Plaintext"])) == 32
    assert len(base64.b64decode(aws("generate-random", "--number-of-bytes", "5")["Plaintext"])) == 5


def test_the_cli_manages_aliases_and_tags(aws, cli_key):
    aws("create-alias", "--alias-name", "alias/cli", "--target-key-id", cli_key["KeyId"])
    names = [entry["AliasName"] for entry in aws("list-aliases")["Aliases"]]
    assert "alias/cli" in names
    aws("delete-alias", "--alias-name", "alias/cli")
    aws("tag-resource", "--key-id", cli_key["KeyId"], "--tags", "TagKey=c,TagValue=d")
    tags = aws("list-resource-tags", "--key-id", cli_key["KeyId"])["Tags"]
    assert {tag["TagKey"] for tag in tags} == {"a", "c"}
    aws("untag-resource", "--key-id", cli_key["KeyId"], "--tag-keys", "a", "c")


def test_the_cli_manages_policies_and_grants(aws, cli_key, user):
    policy = aws("get-key-policy", "--key-id", cli_key["KeyId"], "--policy-name", "default")
    assert "key-default-1" in policy["Policy"]
    (aws.directory / "policy").write_text(policy["Policy"])
    aws("put-key-policy", "--key-id", cli_key["KeyId"], "--policy-name", "default",
        "--policy", "file://policy")
    made = aws("create-grant", "--key-id", cli_key["KeyId"], "--grantee-principal", user.arn,
               "--operations", "Encrypt", "Decrypt")
    (grant,) = aws("list-grants", "--key-id", cli_key["KeyId"])["Grants"]
    assert grant["GrantId"] == made["GrantId"]
    aws("revoke-grant", "--key-id", cli_key["KeyId"], "--grant-id", made["GrantId"])


def test_the_cli_signs_and_makes_macs(aws):
    key = aws("create-key", "--key-spec", "ECC_NIST_P256", "--key-usage", "SIGN_VERIFY")
    key = key["KeyMetadata"]["KeyId"]
    (aws.directory / "message").write_bytes(b"m")
    message = ("--message", "fileb://message")
    signed = aws("sign", "--key-id", key, *message, "--signing-algorithm", "ECDSA_SHA_256")
    (aws.directory / "signature").write_bytes(base64.b64decode(signed["Signature"]))
    verified = aws("verify", "--key-id", key, *message, "--signing-algorithm", "ECDSA_SHA_256",
                   "--signature", "fileb://signature")
    assert verified["SignatureValid"] is True
    assert aws("get-public-key", "--key-id", key)["KeySpec"] == "ECC_NIST_P256"
    key = aws("create-key", "--key-spec", "HMAC_256", "--key-usage", "GENERATE_VERIFY_MAC")
    key = key["KeyMetadata"]["KeyId"]
    made = aws("generate-mac", "--key-id", key, *message, "--mac-algorithm", "HMAC_SHA_256")
    (aws.directory / "mac").write_bytes(base64.b64decode(made["Mac"]))
    checked = aws("verify-mac", "--key-id", key, *message, "--mac-algorithm", "HMAC_SHA_256",
                  "--mac", "fileb://mac")
    assert checked["MacValid"] is True


def test_the_cli_rotates_replicates_imports_and_deletes(aws):
    key = aws("create-key", "--multi-region")["KeyMetadata"]["KeyId"]
    aws("enable-key-rotation", "--key-id", key)
    assert aws("get-key-rotation-status", "--key-id", key)["KeyRotationEnabled"] is True
    aws("rotate-key-on-demand", "--key-id", key)
    assert len(aws("list-key-rotations", "--key-id", key)["Rotations"]) == 1
    replica = aws("replicate-key", "--key-id", key, "--replica-region", "eu-west-3")
    assert ":eu-west-3:" in replica["ReplicaKeyMetadata"]["Arn"]
    external = aws("create-key", "--origin", "EXTERNAL")["KeyMetadata"]["KeyId"]
    parameters = aws("get-parameters-for-import", "--key-id", external, "--wrapping-algorithm",
                     "RSAES_OAEP_SHA_256", "--wrapping-key-spec", "RSA_2048")
    assert parameters["ImportToken"]
    pending = aws("schedule-key-deletion", "--key-id", external, "--pending-window-in-days", "7")
    assert pending["KeyState"] == "PendingDeletion"
    aws("cancel-key-deletion", "--key-id", external)
