# telldir(3) and seekdir(3): a position names the same entry however the directory changes beside it.
libc.opendir.restype = ctypes.c_void_p
for name in ["readdir64", "telldir", "seekdir", "rewinddir", "closedir"]:
    getattr(libc, name).argtypes = [ctypes.c_void_p] + ([ctypes.c_long] if name == "seekdir" else [])
libc.telldir.restype = ctypes.c_long


class Entry(ctypes.Structure):
    _fields_ = [
        ("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("len", ctypes.c_ushort),
        ("type", ctypes.c_ubyte), ("name", ctypes.c_char * 256),
    ]


libc.readdir64.restype = ctypes.POINTER(Entry)


def next_name():
    entry = libc.readdir64(stream)
    return entry.contents.name.decode() if entry else None


def rest():
    return list(iter(next_name, None))


COUNT = 4000
os.mkdir("d")
for number in range(COUNT):
    make(f"d/{number:05}")
stream = libc.opendir(b"d")
seen, at = [], {}
while True:
    position = libc.telldir(stream)
    name = next_name()
    if name is None:
        break
    at[name] = position
    seen.append(name)
assert sorted(n for n in seen if n[0] != ".") == [f"{n:05}" for n in range(COUNT)]
for name in seen[:: -37]:
    libc.seekdir(stream, at[name])
    assert next_name() == name

# Entries before and behind go, others come; those that stay are found where they were, once each.
removed = set(n for n in seen[::3] if n[0] != ".")
for name in removed:
    os.unlink("d/" + name)
for number in range(1000):
    make(f"d/new {number}")
stay = [n for n in seen if n not in removed]
for name in stay[:: 211]:
    libc.seekdir(stream, at[name])
    following = rest()
    assert following[0] == name, (name, following[:3])
    expected = stay[stay.index(name):]
    assert [n for n in following if not n.startswith("new")] == expected
    assert len(set(following)) == len(following)

# What came since the beginning is seen from the beginning on.
libc.rewinddir(stream)
assert set(rest()) == set(os.listdir("d")) | {".", ".."}
make("d/latest")
libc.rewinddir(stream)
assert "latest" in rest()
os.unlink("d/latest")
libc.rewinddir(stream)
assert "latest" not in rest()
libc.closedir(stream)
print("checked")
