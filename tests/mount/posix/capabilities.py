# A change of content takes a file's capability, whoever makes it and as often as one is set.
def capability(path):
    try:
        return os.getxattr(path, "security.capability").hex()
    except OSError as error:
        return errno.errorcode[error.errno]


VALUE = struct.pack("<IIIII", 0x02000001, 1 << 0, 0, 0, 0)
file = os.open("f", os.O_CREAT | os.O_RDWR, 0o755)
for turn in range(3):
    os.setxattr("f", "security.capability", VALUE)
    print(turn, "set", capability("f"))
    os.pwrite(file, b"x" * 10, 0)
    os.fsync(file)
    print(turn, "written", capability("f"))
for name, change in {
    "truncate": lambda: os.truncate("f", 3),
    "reserve": lambda: fallocate(file, 0, 0, 9000),
    "chown": lambda: os.chown("f", 20001, 20001),
    "chmod": lambda: os.chmod("f", 0o700),
    "rename": lambda: os.rename("f", "g") or os.rename("g", "f"),
}.items():
    os.setxattr("f", "security.capability", VALUE)
    told(name, change)
    print("   ", capability("f"))
