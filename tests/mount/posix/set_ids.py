# Which set-id bits a change of a file takes, by whoever makes it and however.
KEEP, PUNCH, ZERO = 1, 3, 16


def changes(path):
    def with_file(flags, work):
        descriptor = os.open(path, flags)
        try:
            work(descriptor)
        finally:
            os.close(descriptor)

    page = mmap.mmap(-1, 4096)
    return {
        "write": lambda: with_file(os.O_WRONLY, lambda fd: os.pwrite(fd, b"x", 0)),
        "append": lambda: with_file(os.O_WRONLY | os.O_APPEND, lambda fd: os.write(fd, b"x")),
        "direct": lambda: with_file(os.O_WRONLY | os.O_DIRECT, lambda fd: os.pwritev(fd, [page], 0)),
        "ftruncate": lambda: with_file(os.O_WRONLY, lambda fd: os.ftruncate(fd, 100)),
        "truncate": lambda: os.truncate(path, 100),
        "empty": lambda: with_file(os.O_WRONLY | os.O_TRUNC, lambda fd: None),
        "reserve": lambda: with_file(os.O_WRONLY, lambda fd: fallocate(fd, 0, 0, 70000)),
        "punch": lambda: with_file(os.O_WRONLY, lambda fd: fallocate(fd, PUNCH, 0, 4096)),
        "zero": lambda: with_file(os.O_WRONLY, lambda fd: fallocate(fd, ZERO, 0, 4096)),
        "chown": lambda: os.chown(path, -1, 20055),
    }


WHO = {
    "root": (0, [0]),
    "a stranger": (20001, [20001]),
    "a member of its group": (20001, [20001, 20077]),
}
os.chmod(".", 0o777)
for mode in [0o6666, 0o6676, 0o6766, 0o6777, 0o2666, 0o2676, 0o2777, 0o4777]:
    for who, (uid, groups) in WHO.items():
        for name, change in changes("f").items():
            make("f", b"1" * 65536)
            os.chown("f", 0, 20077)
            os.chmod("f", mode)
            as_user(uid, groups, lambda: told(f"{mode:o} {name} by {who}", change))
            print("   ", permissions("f"))
            os.unlink("f")
        make("f")
        os.chown("f", uid, 20077)
        os.chmod("f", mode)
        as_user(uid, groups + [20055], lambda: told(f"chgrp {mode:o}", lambda: os.chown("f", -1, 20055)))
        print("   ", permissions("f"))
        as_user(uid, groups, lambda: told(f"chmod {mode:o}", lambda: os.chmod("f", mode)))
        print("   ", permissions("f"))
        as_user(uid, groups, lambda: shell("setfacl -m u:55:r f"))
        print("   ", permissions("f"))
        os.unlink("f")
