# Which operations change which times, and which values times can have.
os.makedirs("d/e")
make("d/f", b"content")
NODES = ["d", "d/f", "d/e", "."]


def seen():
    return {n: os.stat(n) for n in NODES if os.path.exists(n)}


def changed(what, work):
    time.sleep(0.02)
    before = seen()
    told(what, work)
    after = seen()
    for node in NODES:
        if node in before and node in after:
            both = before[node], after[node]
            marks = [
                name
                for name in ["st_mtime_ns", "st_ctime_ns"]
                if getattr(both[0], name) != getattr(both[1], name)
            ]
            back = [n for n in ["st_mtime_ns", "st_ctime_ns"] if getattr(both[0], n) > getattr(both[1], n)]
            print("   ", node, marks, "back" if back else "")


def written(flags, data):
    descriptor = os.open("d/f", flags)
    os.write(descriptor, data)
    os.close(descriptor)


changed("read", lambda: content("d/f"))
changed("list", lambda: os.listdir("d") and None)
changed("write", lambda: written(os.O_WRONLY, b"new"))
changed("append", lambda: written(os.O_WRONLY | os.O_APPEND, b"more"))
changed("write nothing", lambda: written(os.O_WRONLY, b""))
changed("truncate", lambda: os.truncate("d/f", 3))
changed("grow", lambda: os.truncate("d/f", 100000))
changed("empty", lambda: os.close(os.open("d/f", os.O_WRONLY | os.O_TRUNC)))
changed("empty the empty", lambda: os.close(os.open("d/f", os.O_WRONLY | os.O_TRUNC)))
changed("chmod", lambda: os.chmod("d/f", 0o600))
changed("chown", lambda: os.chown("d/f", 20001, -1))
changed("xattr", lambda: os.setxattr("d/f", "user.a", b"a"))
changed("link", lambda: os.link("d/f", "d/g"))
changed("rename", lambda: os.rename("d/g", "d/e/g"))
changed("unlink", lambda: os.unlink("d/e/g"))
changed("create", lambda: make("d/h"))
changed("mkdir", lambda: os.mkdir("d/e/s"))
changed("rmdir", lambda: os.rmdir("d/e/s"))
changed("symlink", lambda: os.symlink("x", "d/s"))
changed("readlink", lambda: os.readlink("d/s"))


def mapped():
    descriptor = os.open("d/f", os.O_RDWR)
    os.ftruncate(descriptor, 8192)
    view = mmap.mmap(descriptor, 8192)
    view[5000] = 7
    view.flush()
    view.close()
    os.fsync(descriptor)
    os.close(descriptor)


changed("store through a mapping", mapped)
for node in ["d/f", "d", "d/s"]:
    for times in [
        (0, 0), (1, 999_999_999), (1_700_000_000_123_456_789, 987_654_321_012_345_678),
        (-1, -1_500_000_000), (2**31 * 10**9, (2**31 + 5) * 10**9), (-(2**31) * 10**9, 1),
    ]:
        told(f"utime {node} {times}", lambda: os.utime(node, ns=times, follow_symlinks=False))
        kept = os.lstat(node)
        print("   ", kept.st_atime_ns, kept.st_mtime_ns)
os.chown("d/f", 20001, 20001)
os.chmod("d/f", 0o666)
as_user(20002, [20002], lambda: told("touch by a writer", lambda: os.utime("d/f")))
as_user(20002, [20002], lambda: told("a time by a writer", lambda: os.utime("d/f", ns=(5, 5))))
as_user(20001, [20001], lambda: told("a time by the owner", lambda: os.utime("d/f", ns=(5, 5))))
os.utime("d/f", ns=(5, 5))
file = os.open("d/f", os.O_WRONLY)
os.write(file, b"written before")
os.utime("d/f", ns=(7, 7))
os.close(file)
print("a time set after a write stays:", os.stat("d/f").st_mtime_ns)
