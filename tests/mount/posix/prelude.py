# What the scripts of this directory share. Each prints what a program sees; the test runs it on a
# local filesystem and on a mount, and compares.
import ctypes
import errno
import fcntl
import mmap
import os
import stat
import struct
import subprocess
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100


def told(what, work):
    """Prints what came of `work`: its result, or the name of its errno."""
    try:
        result = work()
        print(what, "->", "done" if result is None else result)
        return result
    except OSError as error:
        print(what, "->", errno.errorcode.get(error.errno, error.errno))
        return None


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def make(path, content=b"", mode=0o644):
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC, mode)
    os.write(descriptor, content)
    os.fchmod(descriptor, mode)
    os.close(descriptor)


def content(path):
    with open(path, "rb") as file:
        return file.read()


def permissions(path):
    return oct(stat.S_IMODE(os.lstat(path).st_mode))


def shell(command):
    """Runs a shell command and prints all it says, in the C locale."""
    run = subprocess.run(
        ["sh", "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C"},
    )
    print("$", command)
    for line in run.stdout.decode(errors="replace").splitlines():
        print("   ", line)
    if run.returncode:
        print("    status", run.returncode)


def fallocate(descriptor, mode, offset, length):
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
    checked(libc.fallocate(descriptor, mode, offset, length))


def child(work):
    """Runs `work` in a process of its own, after everything printed so far."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def as_user(uid, groups, work):
    def become():
        os.setgroups(groups[1:])
        os.setresgid(groups[0], groups[0], groups[0])
        os.setresuid(uid, uid, uid)
        work()

    child(become)
