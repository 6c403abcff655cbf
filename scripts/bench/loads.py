"""The loads. Each is given a mounted filesystem and answers how much was done in a second."""

import json
import os
import random
import sqlite3
import subprocess
import tarfile
import time
from pathlib import Path

from filesystems import run

MIB = 1 << 20
BIG = 512 * MIB
SMALL_FILES = 5000
TREE_FILES = 25_000
TREE_BYTES = 315 * MIB


def timed(amount, work):
    start = time.perf_counter()
    work()
    return amount / (time.perf_counter() - start)


def fio(filesystem, *options):
    """Runs fio on the big file; its report of the one job group."""
    text = run(
        "fio", "--name=load", f"--filename={filesystem.mountpoint / 'big'}", "--ioengine=psync",
        "--output-format=json", "--group_reporting", "--invalidate=0", "--randseed=1", *options,
    )
    return json.loads(text[text.index("{"):])["jobs"][0]


def sequential_write(filesystem):
    data = random.Random(1).randbytes(MIB)

    def write():
        with open(filesystem.mountpoint / "big", "wb", buffering=0) as file:
            for _ in range(BIG // MIB):
                file.write(data)
            os.fsync(file.fileno())

    return timed(BIG / 1e6, write)


def sequential_read(filesystem):
    filesystem.remount()

    def read():
        buffer = bytearray(MIB)
        with open(filesystem.mountpoint / "big", "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass

    return timed(BIG / 1e6, read)


def random_read(jobs):
    def load(filesystem):
        filesystem.remount()
        options = ["--rw=randread", "--bs=4k", f"--numjobs={jobs}", "--io_size=80m", f"--size={BIG}"]
        return fio(filesystem, *options)["read"]["iops"]

    return load


def random_write(filesystem):
    def write():
        options = ["--rw=randwrite", "--bs=4k", "--io_size=160m", f"--size={BIG}", "--end_fsync=1"]
        fio(filesystem, *options, "--overwrite=1")

    return timed(160 * MIB / 4096, write)


def synced_write(filesystem):
    options = ["--rw=randwrite", "--bs=4k", "--io_size=16m", f"--size={BIG}", "--fdatasync=1"]
    return fio(filesystem, *options, "--overwrite=1")["write"]["iops"]


def small_path(filesystem, number):
    return filesystem.mountpoint / "small" / f"file-{number:05}"


def create(filesystem):
    (filesystem.mountpoint / "small").mkdir()

    def work():
        for number in range(SMALL_FILES):
            with open(small_path(filesystem, number), "wb", buffering=0) as file:
                file.write(b"x" * 100)

    return timed(SMALL_FILES, work)


def open_read_close(filesystem):
    paths = [str(small_path(filesystem, number)) for number in range(1000)]
    for path in paths:
        Path(path).write_bytes(b"y" * 4096)

    def work():
        for _ in range(5):
            for path in paths:
                file = os.open(path, os.O_RDONLY)
                os.read(file, 4096)
                os.close(file)

    work()
    return timed(5 * len(paths), work)


def tree_archive(path):
    """The tree that is unpacked: names, depths and sizes as in a source tree, always the same."""
    chance = random.Random(7)
    sizes = [min(int(chance.lognormvariate(8.6, 1.4)), 400_000) for _ in range(TREE_FILES)]
    scale = TREE_BYTES / sum(sizes)
    text = chance.randbytes(2 * MIB)
    with tarfile.open(path, "w") as archive:
        for number, size in enumerate(sizes):
            size = int(size * scale)
            depth = number % 5
            directory = "/".join(f"dir{number // 50 % 7 ** (level + 1):03}" for level in range(depth))
            entry = tarfile.TarInfo(f"tree/{directory}/source_{number:05}.c".replace("//", "/"))
            entry.size = size
            archive.addfile(entry, Bytes(text, chance.randrange(MIB), size))


class Bytes:
    """A file of `size` bytes of `text`, from `offset` on and around."""

    def __init__(self, text, offset, size):
        self.text, self.offset, self.left = text, offset, size

    def read(self, count):
        count = min(count, self.left, len(self.text) - self.offset)
        part = self.text[self.offset:self.offset + count]
        self.left -= count
        self.offset = (self.offset + count) % len(self.text)
        return part


def untar(filesystem):
    def work():
        run("tar", "-xf", filesystem.directory.parent / "tree.tar", "-C", filesystem.mountpoint)

    return timed(TREE_FILES, work)


def list_tree(filesystem):
    filesystem.remount()
    return timed(TREE_FILES, lambda: run("ls", "-lR", filesystem.mountpoint / "tree"))


def read_tree(filesystem):
    filesystem.remount()

    def work():
        find = f"find '{filesystem.mountpoint}/tree' -type f -print0 | xargs -0 cat >/dev/null"
        subprocess.run(find, shell=True, check=True)

    rate = timed(TREE_FILES, work)
    filesystem.resident = sum(map(resident, filesystem.processes()))
    return rate


def resident(pid):
    """Bytes of memory that a process has."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def remove_tree(filesystem):
    return timed(TREE_FILES, lambda: run("rm", "-rf", filesystem.mountpoint / "tree"))


def sqlite(filesystem):
    database = sqlite3.connect(filesystem.mountpoint / "db", isolation_level=None)
    database.execute("CREATE TABLE t (n INTEGER, text TEXT)")

    def work():
        for number in range(400):
            database.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 50))

    rate = timed(400, work)
    database.close()
    return rate


# In the order in which they are run: later ones use what earlier ones leave.
ALL = {
    "seq-write": ("sequential write, 512 MiB, fsync", "MB/s", sequential_write),
    "seq-read": ("sequential read, cold", "MB/s", sequential_read),
    "rand-read": ("random read 4 KiB, cold, 1 job", "IOPS", random_read(1)),
    "rand-read-4": ("random read 4 KiB, cold, 4 jobs", "IOPS", random_read(4)),
    "rand-write": ("random write 4 KiB, fsync at end", "IOPS", random_write),
    "synced-write": ("random write 4 KiB, fdatasync each", "IOPS", synced_write),
    "create": ("create and write 5 000 files of 100 B", "files/s", create),
    "open": ("open, read 4 KiB, close, cached names", "opens/s", open_read_close),
    "untar": ("untar 25 000 files, 315 MB", "files/s", untar),
    "ls": ("ls -lR of it, cold", "files/s", list_tree),
    "read-tree": ("read the whole tree, cold", "files/s", read_tree),
    "rm": ("rm -rf the tree", "files/s", remove_tree),
    "sqlite": ("SQLite, 400 single-row transactions", "tx/s", sqlite),
}
# What must have been run before.
NEEDS = {
    "seq-read": ["seq-write"],
    "rand-read": ["seq-write"],
    "rand-read-4": ["seq-write"],
    "rand-write": ["seq-write"],
    "synced-write": ["seq-write"],
    "open": ["create"],
    "ls": ["untar"],
    "read-tree": ["untar"],
    "rm": ["untar"],
}
