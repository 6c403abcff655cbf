"""Signatures, clocks, malformed requests, health, reset: what lies below the operations."""

import datetime
import json
import socket
import urllib.request
from http.client import HTTPConnection
from urllib.error import HTTPError

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from conftest import refused
from server import REGION, Server, User


def signed(server, user, body=b"{}", target="TrentService.ListKeys", region=REGION, service="kms",
           headers=None, later=datetime.timedelta(0)):
    """The headers of a signed request."""
    import botocore.auth
    from botocore.compat import get_current_datetime

    request = AWSRequest("POST", server.url + "/", data=body, headers={
        "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target, **(headers or {})
    })
    signer = SigV4Auth(Credentials(user.access_key, user.secret_key), service, region)
    real = botocore.auth.get_current_datetime
    botocore.auth.get_current_datetime = lambda *a, **k: get_current_datetime(*a, **k) + later
    try:
        signer.add_auth(request)
    finally:
        botocore.auth.get_current_datetime = real
    return dict(request.headers.items())


def post(server, headers, body=b"{}"):
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    connection.request("POST", "/", body, headers)
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    return response, json.loads(answer) if answer else None


def code(answer):
    return answer["__type"].rsplit("#", 1)[-1]


def test_a_signed_request_is_answered_with_a_request_id(server, admin):
    response, answer = post(server, signed(server, admin))
    assert response.status == 200, answer
    assert response.headers["Content-Type"] == "application/x-amz-json-1.1"
    assert response.headers["x-amzn-RequestId"]
    assert "Keys" in answer


def test_a_wrong_secret_is_told_from_an_unknown_key(server, admin):
    with refused("InvalidSignatureException"):
        server.client(admin, secret="wrong").list_keys()
    stranger = User(
        {"UserName": "", "Arn": "", "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "x"}
    )
    with refused("UnrecognizedClientException"):
        server.client(stranger).list_keys()


def test_an_altered_body_does_not_fit_its_signature(server, admin):
    response, answer = post(server, signed(server, admin, b"{}"), b'{"Limit":1}')
    assert response.status == 400
    assert code(answer) == "InvalidSignatureException"


def test_an_altered_header_does_not_fit_its_signature(server, admin):
    headers = signed(server, admin) | {"X-Amz-Target": "TrentService.CreateKey"}
    response, answer = post(server, headers)
    assert (response.status, code(answer)) == (400, "InvalidSignatureException")


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_clock_that_is_minutes_off_is_refused(server, admin, minutes):
    late = signed(server, admin, later=datetime.timedelta(minutes=minutes))
    response, answer = post(server, late)
    assert response.status == 400
    assert code(answer) == "InvalidSignatureException"
    assert "Signature" in answer["message"]


@pytest.mark.parametrize("minutes", [-4, 4])
def test_a_clock_that_is_a_little_off_is_not(server, admin, minutes):
    response, _ = post(server, signed(server, admin, later=datetime.timedelta(minutes=minutes)))
    assert response.status == 200


def test_an_unsigned_request_is_refused(server):
    response, answer = post(server, {"X-Amz-Target": "TrentService.ListKeys"})
    assert response.status == 400
    assert code(answer) == "MissingAuthenticationTokenException"


@pytest.mark.parametrize("header", ["nonsense", "AWS4-HMAC-SHA256 Credential=x", ""])
def test_a_malformed_signature_is_refused(server, header):
    response, answer = post(
        server, {"X-Amz-Target": "TrentService.ListKeys", "Authorization": header}
    )
    assert response.status in (400, 403)
    assert code(answer) in ("IncompleteSignatureException", "MissingAuthenticationTokenException")


def test_a_signature_for_another_service_is_refused(server, admin):
    response, answer = post(server, signed(server, admin, service="s3"))
    assert (response.status, code(answer)) == (400, "InvalidSignatureException")


@pytest.mark.parametrize("target", ["TrentService.MakeCoffee", "Other.ListKeys", "nonsense"])
def test_an_unknown_operation_is_told_so(server, admin, target):
    response, answer = post(server, signed(server, admin, target=target))
    assert response.status == 400
    assert code(answer) == "UnknownOperationException"


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"nonsense", b'{"Limit":"many"}', b'{"Limit":1}x', b"\xff\xfe"]
)
def test_a_body_that_is_no_request_is_a_serialization_error(server, admin, body):
    response, answer = post(server, signed(server, admin, body), body)
    assert (response.status, code(answer)) == (400, "SerializationException")


def test_a_member_that_is_missing_is_named(raw):
    with refused(
        "ValidationException",
        "1 validation error detected: Value null at 'keyId' failed to satisfy constraint: "
        "Member must not be null",
    ):
        raw.describe_key()


def test_an_unknown_member_is_passed_over(server, admin):
    body = b'{"Limit":1,"NotOfThisVersion":{"a":[1]}}'
    response, _ = post(server, signed(server, admin, body), body)
    assert response.status == 200


def test_a_body_beyond_the_limit_is_refused_and_the_server_lives(server, admin, kms):
    body = b" " * (4 << 20)
    try:
        response, _ = post(server, signed(server, admin, body), body)
        assert response.status in (400, 413)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the server need not read to the end what it refuses
    kms.list_keys(Limit=1)


def test_half_a_request_holds_up_nobody(server, kms):
    address = server.url.removeprefix("http://").split(":")
    held = [socket.create_connection((address[0], int(address[1])), 5) for _ in range(20)]
    for connection in held:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    kms.list_keys(Limit=1)
    for connection in held:
        connection.close()


def test_health_and_metrics_need_no_signature(server):
    for path in ("/health", "/ready", "/metrics"):
        with urllib.request.urlopen(server.url + path, timeout=10) as answer:
            assert answer.status == 200
            text = answer.read().decode()
    assert "# TYPE" in text


def test_another_path_is_no_part_of_the_service(server):
    with pytest.raises(HTTPError):
        urllib.request.urlopen(server.url + "/etc/passwd", timeout=10)


def test_a_deleted_user_is_refused_from_then_on(server):
    user = server.user("leaving", "--admin")
    client = server.client(user)
    client.list_keys(Limit=1)
    server.kmsfs("kms", "user", "delete", "leaving")
    with refused("UnrecognizedClientException"):
        client.list_keys(Limit=1)
    assert "leaving" not in server.kmsfs("kms", "user", "list").stdout


def test_a_users_secret_is_shown_once(server, admin):
    listed = server.kmsfs("kms", "user", "list").stdout
    assert "admin" in listed
    assert admin.secret_key not in listed


def test_a_name_is_given_once(server, admin):
    again = server.kmsfs("kms", "user", "create", admin.name, check=False)
    assert again.returncode != 0
    assert "admin" in again.stderr


def test_a_reset_removes_keys_and_keeps_users(tmp_path):
    server = Server(tmp_path, "--allow-reset").start()
    try:
        admin = server.user("admin", "--admin")
        kms = server.client(admin)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName="alias/x", TargetKeyId=key)
        request = urllib.request.Request(server.url + "/reset", method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
        assert kms.list_keys()["Keys"] == []
        with refused("NotFoundException"):
            kms.describe_key(KeyId="alias/x")
        kms.create_key()
    finally:
        server.stop()


def test_without_the_option_there_is_no_reset_and_a_restart_keeps_everything(tmp_path):
    server = Server(tmp_path).start()
    admin = server.user("admin", "--admin")
    kms = server.client(admin)
    key = kms.create_key(Description="kept")["KeyMetadata"]
    request = urllib.request.Request(server.url + "/reset", method="POST")
    with pytest.raises(HTTPError):
        urllib.request.urlopen(request, timeout=10)
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    server.stop()
    server.start()
    kms = server.client(admin)
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] == key
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    server.stop()


def test_a_server_can_be_narrowed_to_some_regions(tmp_path):
    server = Server(tmp_path, "--region", "eu-west-1,eu-central-1").start()
    try:
        admin = server.user("admin", "--admin")
        for region in ("eu-west-1", "eu-central-1"):
            server.client(admin, region).list_keys()
        with pytest.raises(boto3.exceptions.botocore.exceptions.ClientError):
            server.client(admin, "us-east-1").list_keys()
    finally:
        server.stop()


def test_the_account_is_fixed_by_the_first_command_that_names_it(tmp_path):
    server = Server(tmp_path, "--account", "123456789012").start()
    admin = server.user("admin", "--admin")
    assert admin.arn == "arn:aws:iam::123456789012:user/admin"
    key = server.client(admin).create_key()["KeyMetadata"]
    assert key["AWSAccountId"] == "123456789012"
    server.stop()
    other = server.kmsfs("kms", "user", "create", "x", "--account", "210987654321", check=False)
    assert other.returncode != 0
