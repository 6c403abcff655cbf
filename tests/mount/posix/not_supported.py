# What fuser 0.18 or the protocol does not have ends in EOPNOTSUPP, never in something half done.
FICLONE, FS_IOC_FIEMAP = 0x40049409, 0xC020660B
COLLAPSE, INSERT, UNSHARE = 8, 32, 64


def refused(what, work, *numbers):
    try:
        work()
    except OSError as error:
        assert error.errno in numbers, (what, error)
    else:
        raise SystemExit(what + " was not refused")


make("f", b"content" * 10000)
file = os.open("f", os.O_RDWR)
refused("O_TMPFILE", lambda: os.open(".", os.O_TMPFILE | os.O_RDWR), errno.EOPNOTSUPP)
for mode in [COLLAPSE, INSERT, UNSHARE]:
    refused(f"fallocate {mode}", lambda: fallocate(file, mode, 4096, 4096), errno.EOPNOTSUPP)
assert content("f") == b"content" * 10000
make("g")
target = os.open("g", os.O_RDWR)
refused("clone", lambda: fcntl.ioctl(target, FICLONE, file), errno.EOPNOTSUPP, errno.ENOTTY)
refused(
    "fiemap",
    lambda: fcntl.ioctl(file, FS_IOC_FIEMAP, bytearray(struct.pack("QQIIII", 0, 1 << 30, 0, 0, 0, 0))),
    errno.EOPNOTSUPP,
    errno.ENOTTY,
)
assert os.fstat(target).st_size == 0

# A hole is told as data: the kernel's page cache alone knows where data is.
os.ftruncate(file, 0)
os.ftruncate(file, 1 << 20)
assert os.lseek(file, 0, os.SEEK_DATA) == 0
assert os.lseek(file, 5000, os.SEEK_DATA) == 5000
assert os.lseek(file, 0, os.SEEK_HOLE) == 1 << 20
refused("data behind the end", lambda: os.lseek(file, 1 << 20, os.SEEK_DATA), errno.ENXIO)
refused("a hole behind the end", lambda: os.lseek(file, 1 << 20, os.SEEK_HOLE), errno.ENXIO)
print("checked")
