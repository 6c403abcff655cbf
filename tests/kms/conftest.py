"""Fixtures: one server for the whole run, an administrator, and users whom only policies and grants let in."""

import itertools
import json
from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError

from server import ACCOUNT, Server

counter = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"), "--allow-reset").start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def admin(server):
    return server.user("admin", "--admin")


@pytest.fixture(scope="session")
def kms(server, admin):
    """The administrator's client in the first Region."""
    return server.client(admin)


@pytest.fixture(scope="session")
def raw(server, admin):
    """The same without the client's own parameter checks: the server's are what is tested."""
    return server.client(admin, validate=False)


@pytest.fixture
def user(server):
    """A fresh user with neither --admin nor a policy."""
    return server.user(f"user-{next(counter)}")


@pytest.fixture
def theirs(server, user):
    """That user's client."""
    return server.client(user)


@pytest.fixture
def key(kms):
    """A symmetric encryption key; its metadata."""
    return kms.create_key()["KeyMetadata"]


@pytest.fixture
def alias():
    """A name that no other test uses."""
    return f"alias/test-{next(counter)}"


@contextmanager
def refused(code, message=None):
    """What is inside must be refused with this exception and, if given, exactly this message."""
    with pytest.raises(ClientError) as caught:
        yield caught
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    if message is not None:
        assert error.get("Message", "") == message


def key_policy(*statements):
    """A key policy: the account's root everything, and `statements`."""
    root = {
        "Sid": "root",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [root, *statements]})


def allow(principal, *actions, effect="Allow", **conditions):
    statement = {
        "Effect": effect,
        "Principal": {"AWS": principal},
        "Action": list(actions),
        "Resource": "*",
    }
    if conditions:
        statement["Condition"] = conditions["condition"]
    return statement
