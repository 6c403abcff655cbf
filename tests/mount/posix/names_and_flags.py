# renameat2, linkat, unlink and open in all their ways, and the errors they end in.
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4


def renameat2(source, target, flags):
    checked(libc.renameat2(AT_FDCWD, source.encode(), AT_FDCWD, target.encode(), flags))


def tree():
    return sorted(
        os.path.relpath(os.path.join(at, name))
        for at, below, files in os.walk(".")
        for name in below + files
    )


def kinds():
    return [(name, oct(stat.S_IFMT(os.lstat(name).st_mode))) for name in tree()]


os.makedirs("d/e")
make("f", b"f")
make("g", b"g")
make("d/x", b"x")
os.symlink("f", "s")
for flags in range(8):
    for source, target in [
        ("f", "g"), ("f", "new"), ("none", "g"), ("none", "new"), ("f", "d"), ("d", "f"),
        ("d", "d/e"), ("d/e", "d"), ("s", "f"), ("f", "s"), ("f", "f"), ("d", "d"),
    ]:
        if flags & WHITEOUT and source == target:
            continue
        told(f"rename {flags} {source} {target}", lambda: renameat2(source, target, flags))
        print("   ", kinds())
        shell("rm -rf f g new d s none")
        os.makedirs("d/e")
        make("f", b"f")
        make("g", b"g")
        make("d/x", b"x")
        os.symlink("f", "s")
os.makedirs("full/inside")
os.makedirs("empty")
told("over a full directory", lambda: os.rename("empty", "full"))
told("over an empty directory", lambda: os.rename("full", "empty"))
told("rmdir full", lambda: os.rmdir("empty"))
told("rmdir file", lambda: os.rmdir("f"))
told("unlink directory", lambda: os.unlink("empty"))
told("rmdir dot", lambda: os.rmdir("empty/."))
told("rename dot", lambda: os.rename("empty/.", "x"))
told("link directory", lambda: os.link("empty", "x"))
told("link exists", lambda: os.link("f", "g"))
told("link symlink itself", lambda: os.link("s", "s2", follow_symlinks=False))
told("readlink", lambda: os.readlink("s2"))
told("mkdir exists", lambda: os.mkdir("f"))
told("mkdir below a file", lambda: os.mkdir("f/x"))
told("symlink exists", lambda: os.symlink("t", "f"))
told("slash behind a file", lambda: os.open("f/", os.O_RDONLY))
told("create a directory name", lambda: os.open("new/", os.O_CREAT | os.O_RDWR))
for name, flags in [
    ("f", os.O_CREAT | os.O_EXCL | os.O_RDWR),
    ("s", os.O_NOFOLLOW),
    ("s", os.O_NOFOLLOW | os.O_PATH),
    ("f", os.O_DIRECTORY),
    ("empty", os.O_RDWR),
    ("empty", os.O_CREAT | os.O_RDWR),
    ("none", os.O_RDONLY),
    ("f/x", os.O_RDONLY),
    ("f", os.O_RDONLY | os.O_TRUNC),
]:
    opened = told(f"open {name} {flags:o}", lambda: os.open(name, flags) > 0)
print(content("f"))
os.symlink("loop", "loop")
told("loop", lambda: os.stat("loop"))
told("long name", lambda: os.stat("n" * 256))
told("longest name", lambda: make("n" * 255))
told("long path", lambda: os.stat("d/" * 2048))
for length in [1, 100, 255, 256, 4000, 4095, 4096]:
    told(f"target of {length}", lambda: os.symlink("t" * length, f"t{length}"))
    told("read", lambda: (len(os.readlink(f"t{length}")), os.lstat(f"t{length}").st_size))
for byte in range(1, 256):
    if byte != ord("/"):
        make(b"byte " + bytes([byte]))
print(sorted(n for n in os.listdir(b".") if n.startswith(b"byte")))
