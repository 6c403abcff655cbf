# Namespaces, kinds of nodes, and errors of extended attributes.
make("file", b"x")
os.mkdir("directory")
os.symlink("file", "link")
os.mkfifo("fifo")
os.mknod("device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))


def attributes(path):
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return [(n, os.getxattr(path, n, follow_symlinks=False)) for n in names if "kmsfs" not in n]


for node in ["file", "directory", "link", "fifo", "device"]:
    for name in ["user.a", "trusted.a", "security.a", "system.a", "other.a", "user.", "noname"]:
        for value in [b"", b"first", b"second value", b"3"]:
            told(
                f"{node} {name} {value}",
                lambda: os.setxattr(node, name, value, follow_symlinks=False),
            )
        told("get", lambda: os.getxattr(node, name, follow_symlinks=False))
    told("create", lambda: os.setxattr(node, "trusted.a", b"", os.XATTR_CREATE, follow_symlinks=False))
    told("create", lambda: os.setxattr(node, "trusted.n", b"", os.XATTR_CREATE, follow_symlinks=False))
    told("replace", lambda: os.setxattr(node, "trusted.m", b"", os.XATTR_REPLACE, follow_symlinks=False))
    told("remove", lambda: os.removexattr(node, "trusted.a", follow_symlinks=False))
    told("remove", lambda: os.removexattr(node, "trusted.a", follow_symlinks=False))
    told("list", lambda: attributes(node))
os.chmod("file", 0o666)
os.chmod("directory", 0o1777)


def stranger():
    for node in ["file", "directory"]:
        told("user", lambda: os.setxattr(node, "user.b", b"b"))
        told("trusted", lambda: os.setxattr(node, "trusted.b", b"b"))
        told("security", lambda: os.setxattr(node, "security.b", b"b"))
        told("seen", lambda: attributes(node))


as_user(20001, [20001], stranger)
os.chmod("file", 0o444)
as_user(20001, [20001], lambda: told("read-only", lambda: os.setxattr("file", "user.c", b"c")))
for length in [100, 1000, 3000]:
    told(length, lambda: os.setxattr("file", "user.long", b"l" * length))
    told("kept", lambda: os.getxattr("file", "user.long") == b"l" * length)
told("name of 150", lambda: os.setxattr("file", "user." + "n" * 150, b""))
told("name of 256", lambda: os.setxattr("file", "user." + "n" * 251, b""))
told("value of 64 KiB and one", lambda: os.setxattr("file", "user.v", b"v" * 65537))
os.link("file", "other")
told("by the other name", lambda: attributes("other") == attributes("file"))
os.rename("other", "directory/moved")
told("after a rename", lambda: attributes("directory/moved") == attributes("file"))
