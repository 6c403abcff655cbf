"""Kills the server again and again while several clients change things: no acknowledged change is lost.

KMSFS_KILLS is how many times; 10 unless given.
"""

import itertools
import os
import random
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from server import Server

KILLS = int(os.environ.get("KMSFS_KILLS", "10"))
CLIENTS = 4


class Lost(Exception):
    """No answer came: nobody knows whether it was done."""


class Key:
    """What a client was told of one key. A value is a set of what it may be: more than one after a
    change whose answer was lost."""

    def __init__(self, metadata):
        self.id = metadata["KeyId"]
        self.description = {""}
        self.state = {"Enabled"}
        self.tag = {None}
        self.alias = {None}
        self.rotations = {0}
        self.grants = set()
        self.blobs = []


class Worker:
    """Changes keys of its own until told to stop, and remembers what was acknowledged."""

    def __init__(self, number, client):
        self.number = number
        self.client = client
        self.random = random.Random(number)
        self.keys = []
        self.names = itertools.count()
        self.done = 0

    def call(self, operation, **arguments):
        try:
            answer = getattr(self.client, operation)(**arguments)
        except ClientError:
            raise
        except BotoCoreError as error:
            raise Lost from error
        self.done += 1
        return answer

    def change(self, key, attribute, new, operation, **arguments):
        """Does it; afterwards `attribute` is `new`, or, if no answer came, either."""
        known = getattr(key, attribute)
        try:
            self.call(operation, **arguments)
        except Lost:
            setattr(key, attribute, known | {new})
            raise
        setattr(key, attribute, {new})

    def step(self):
        if len(self.keys) < 3 or self.random.random() < 0.1:
            self.keys.append(Key(self.call("create_key")["KeyMetadata"]))
            return
        key = self.random.choice(self.keys)
        name = f"{self.number}-{next(self.names)}"
        match self.random.randrange(8):
            case 0 | 1:
                self.change(key, "description", name, "update_key_description",
                            KeyId=key.id, Description=name)
            case 2:
                self.change(key, "tag", name, "tag_resource",
                            KeyId=key.id, Tags=[{"TagKey": "t", "TagValue": name}])
            case 3:
                self.change(key, "state", "Disabled", "disable_key", KeyId=key.id)
            case 4:
                self.change(key, "state", "Enabled", "enable_key", KeyId=key.id)
            case 5 if key.alias == {None}:
                self.change(key, "alias", f"alias/{name}", "create_alias",
                            AliasName=f"alias/{name}", TargetKeyId=key.id)
            case 6 if key.state == {"Enabled"} and len(key.rotations) == 1 and max(key.rotations) < 20:
                self.change(key, "rotations", max(key.rotations) + 1, "rotate_key_on_demand",
                            KeyId=key.id)
            case 7 if key.state == {"Enabled"}:
                grant = self.call("create_grant", KeyId=key.id, Operations=["Encrypt"],
                                  GranteePrincipal="arn:aws:iam::000000000000:root")
                key.grants.add(grant["GrantId"])
            case _ if key.state == {"Enabled"}:
                blob = self.call("encrypt", KeyId=key.id, Plaintext=name.encode())
                key.blobs.append((name.encode(), blob["CiphertextBlob"]))

    def run(self, stop):
        while not stop.is_set():
            try:
                self.step()
            except Lost:
                return

    def check(self):
        """Compares the server with what is remembered, and settles what was in doubt."""
        for key in self.keys:
            metadata = self.client.describe_key(KeyId=key.id)["KeyMetadata"]
            tags = {
                tag["TagKey"]: tag["TagValue"]
                for tag in self.client.list_resource_tags(KeyId=key.id)["Tags"]
            }
            aliases = self.client.list_aliases(KeyId=key.id)["Aliases"]
            rotations = self.client.list_key_rotations(KeyId=key.id, Limit=100)["Rotations"]
            seen = {
                "description": metadata["Description"],
                "state": metadata["KeyState"],
                "tag": tags.get("t"),
                "alias": aliases[0]["AliasName"] if aliases else None,
                "rotations": len(rotations),
            }
            for attribute, value in seen.items():
                assert value in getattr(key, attribute), (key.id, attribute)
                setattr(key, attribute, {value})
            grants = {grant["GrantId"] for grant in self.client.list_grants(KeyId=key.id)["Grants"]}
            assert key.grants <= grants
            if metadata["KeyState"] == "Enabled":
                for plaintext, blob in key.blobs[-3:]:
                    assert self.client.decrypt(CiphertextBlob=blob)["Plaintext"] == plaintext


@pytest.mark.skipif(KILLS == 0, reason="KMSFS_KILLS=0")
def test_kills_lose_no_acknowledged_change(tmp_path):
    server = Server(tmp_path).start()
    try:
        admin = server.user("admin", "--admin")
        workers = [Worker(n, server.client(admin)) for n in range(CLIENTS)]
        pause = random.Random(1)
        for kill in range(KILLS):
            stop = threading.Event()
            threads = [threading.Thread(target=worker.run, args=(stop,)) for worker in workers]
            before = sum(worker.done for worker in workers)
            for thread in threads:
                thread.start()
            # The kill comes in the middle of work, however slow the machine is.
            deadline = time.monotonic() + 60
            while sum(worker.done for worker in workers) == before:
                assert time.monotonic() < deadline, f"nothing is answered before kill {kill}"
                time.sleep(0.01)
            time.sleep(pause.uniform(0.0, 0.5))
            assert all(thread.is_alive() for thread in threads), f"before kill {kill}"
            server.kill()
            stop.set()
            for thread in threads:
                thread.join()
            server.start()
            for worker in workers:
                worker.client = server.client(admin)
                worker.check()
            # Few keys, so that checking them does not take longer and longer.
            for worker in workers:
                worker.keys = worker.keys[-6:]
        verified = server.kmsfs("audit", "verify", check=False)
        assert verified.returncode in (0, 5), verified.stdout + verified.stderr
    finally:
        server.kill()
