"""A real `kmsfs kms serve` with a home of its own, and clients for it."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import boto3
from botocore.config import Config

ACCOUNT = "000000000000"
REGION = "us-east-1"
START_SECONDS = 60


def binary():
    """The program under test: KMSFS, or the newest build of this checkout."""
    if "KMSFS" in os.environ:
        return os.environ["KMSFS"]
    target = Path(os.environ.get("CARGO_TARGET_DIR", Path(__file__).parents[2] / "target"))
    builds = [path for path in target.glob("*/kmsfs") if path.parent.name in ("debug", "release")]
    return str(max(builds, key=lambda path: path.stat().st_mtime))


class User:
    """An IAM user with an access key, as `kms user create` made it."""

    def __init__(self, made):
        self.name = made["UserName"]
        self.arn = made["Arn"]
        self.access_key = made["AccessKeyId"]
        self.secret_key = made["SecretAccessKey"]


class Server:
    """`kmsfs kms serve` on a port of 127.0.0.1. Stopped by its pid."""

    def __init__(self, directory, *options, listen="127.0.0.1:0"):
        self.directory = Path(directory)
        self.home = self.directory / "home"
        self.options = options
        self.listen = listen
        self.process = None
        self.url = None

    def kmsfs(self, *arguments, check=True):
        """Runs another `kmsfs` command on the same home."""
        command = [binary(), "--home", self.home, "--keyfile", self.directory / "key", *arguments]
        return subprocess.run(
            command, check=check, capture_output=True, text=True, timeout=START_SECONDS
        )

    def start(self):
        command = [binary(), "--home", self.home, "--keyfile", self.directory / "key"]
        command += ["kms", "serve", "--listen", self.listen, *self.options]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = []
        listening = threading.Event()

        def read():
            for line in self.process.stdout:
                self.said.append(line)
                found = re.search(r"127\.0\.0\.1:(\d+)", line)
                if found and self.url is None:
                    self.url = f"http://127.0.0.1:{found[1]}"
                    listening.set()
            listening.set()

        self.url = None
        threading.Thread(target=read, daemon=True).start()
        if not listening.wait(START_SECONDS) or self.url is None:
            self.kill()
            raise RuntimeError("the server did not start: " + "".join(self.said))
        # From here on the same port again, so that clients survive a restart.
        self.listen = self.url.removeprefix("http://")
        return self

    def stop(self):
        """SIGTERM: requests under way are answered."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=30) == 0, "".join(self.said)

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=30)

    def user(self, name, *options):
        made = self.kmsfs("kms", "user", "create", name, *options)
        return User(json.loads(made.stdout))

    def client(self, user, region=REGION, *, validate=True, attempts=1, secret=None, **config):
        """A boto3 client. It does not try again, so that every error is seen."""
        return boto3.session.Session().client(
            "kms",
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=user.access_key,
            aws_secret_access_key=secret or user.secret_key,
            config=Config(
                retries={"total_max_attempts": attempts},
                parameter_validation=validate,
                connect_timeout=10,
                read_timeout=30,
                **config,
            ),
        )


def wait_until(condition, seconds=20, every=0.05):
    """Whether `condition()` came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(every)
    return False
