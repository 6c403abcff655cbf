"""The filesystems that are compared: how each is made, mounted and unmounted."""

import os
import subprocess
import time
from pathlib import Path

PASSPHRASE = "correct horse battery staple"


def run(*command, **options):
    """Runs a command that has to succeed; it is quiet unless it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout}")
    return done.stdout


class Filesystem:
    """One volume of a filesystem, in a directory of its own."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.backing = self.directory / "backing"
        self.mountpoint = self.directory / "mnt"
        self.passfile = self.directory / "pass"
        self.backing.mkdir(parents=True)
        self.mountpoint.mkdir()
        self.passfile.write_text(PASSPHRASE + "\n")
        self.passfile.chmod(0o600)
        self.create()

    def create(self):
        """Makes the volume, where that takes anything."""

    def attach(self):
        """Mounts it."""
        raise NotImplementedError

    def detach(self):
        run("fusermount3", "-u", self.mountpoint)

    def processes(self):
        """The ids of the processes that serve it."""
        wanted = str(self.mountpoint).encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if wanted in arguments:
                found.append(int(entry.name))
        return found

    def mount(self):
        self.attach()
        deadline = time.monotonic() + 30
        while not os.path.ismount(self.mountpoint):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{type(self).__name__} is not mounted after 30 s")
            time.sleep(0.01)

    def unmount(self):
        served = self.processes()
        self.detach()
        deadline = time.monotonic() + 60
        while any(os.path.exists(f"/proc/{pid}") for pid in served):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{type(self).__name__} has not ended after 60 s")
            time.sleep(0.01)

    def remount(self):
        """Mounts it anew, so that neither it nor the kernel has anything of it cached."""
        self.unmount()
        run("sync")
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
        self.mount()


class Kmsfs(Filesystem):
    """With a policy that is asked at every open, and the default audit (standard, balanced)."""

    def kmsfs(self, *arguments):
        home = ["--home", self.directory / "home", "--passfile", self.passfile]
        return run("kmsfs", *home, *arguments)

    def create(self):
        self.kmsfs("init", self.backing)

    def attach(self):
        self.kmsfs("mount", self.backing, self.mountpoint)

    def detach(self):
        self.kmsfs("umount", self.mountpoint)


class Gocryptfs(Filesystem):
    def create(self):
        # Deriving the key from the passphrase is no part of any load.
        run("gocryptfs", "-init", "-q", "-scryptn", "10", "-passfile", self.passfile, self.backing)

    def attach(self):
        run("gocryptfs", "-q", "-passfile", self.passfile, self.backing, self.mountpoint)


class Securefs(Filesystem):
    def create(self):
        run("securefs", "create", "--pass", PASSPHRASE, self.backing)

    def attach(self):
        # It does not return.
        self.server = subprocess.Popen(
            ["securefs", "mount", "--pass", PASSPHRASE, str(self.backing), str(self.mountpoint)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def unmount(self):
        self.detach()
        self.server.wait(60)


class Encfs(Filesystem):
    def attach(self):
        run(
            "encfs", "--standard", "--stdinpass", self.backing, self.mountpoint,
            input=PASSPHRASE + "\n",
        )


class Cryfs(Filesystem):
    def attach(self):
        quiet = {"CRYFS_FRONTEND": "noninteractive", "CRYFS_NO_UPDATE_CHECK": "true"}
        environment = os.environ | quiet | {"CRYFS_LOCAL_STATE_DIR": str(self.directory / "state")}
        run("cryfs", self.backing, self.mountpoint, input=PASSPHRASE + "\n", env=environment)


class PassthroughLl(Filesystem):
    """libfuse's example: no encryption, each request passed on."""

    def attach(self):
        run("passthrough_ll", "-o", f"source={self.backing}", self.mountpoint)


ALL = {
    "kmsfs": Kmsfs,
    "gocryptfs": Gocryptfs,
    "securefs": Securefs,
    "encfs": Encfs,
    "cryfs": Cryfs,
    "passthrough_ll": PassthroughLl,
}
