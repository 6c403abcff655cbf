# open_by_handle_at(2) on a mount: with the kernel's caches dropped it has nothing but the number.
class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]


def handle_of(path):
    handle, mount = Handle(128), ctypes.c_int()
    name = path.encode()
    checked(libc.name_to_handle_at(AT_FDCWD, name, ctypes.byref(handle), ctypes.byref(mount), 0))
    return handle


def opened(handle, flags=os.O_RDONLY):
    return checked(libc.open_by_handle_at(root, ctypes.byref(handle), flags))


def read(handle):
    descriptor = opened(handle)
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


def forget_everything():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


root = os.open(".", os.O_RDONLY)
os.makedirs("outer/inner")
os.mkdir("elsewhere")
names = [f"outer/inner/{n}" + "n" * (n % 200) for n in range(60)]
for number, name in enumerate(names):
    make(name, f"content {number}".encode())
handles = [handle_of(name) for name in names]
directory = handle_of("outer/inner")

forget_everything()
assert [read(h) for h in handles] == [f"content {n}".encode() for n in range(60)]
listed = opened(directory, os.O_RDONLY | os.O_DIRECTORY)
assert len(os.listdir(listed)) == 60
assert os.readlink(f"/proc/self/fd/{listed}").endswith("/outer/inner")
os.close(listed)

os.rename("outer", "elsewhere/outer")
forget_everything()
assert read(handles[7]) == b"content 7"
for number, name in enumerate(names):
    os.link("elsewhere/" + name, f"elsewhere/link {number}")
    os.unlink("elsewhere/" + name)
forget_everything()
assert read(handles[8]) == b"content 8"

kept = os.open("elsewhere/link 9", os.O_RDONLY)
for number in range(60):
    os.unlink(f"elsewhere/link {number}")
forget_everything()
assert read(handles[9]) == b"content 9"
for number in [0, 10, 59]:
    try:
        opened(handles[number])
        raise SystemExit("a removed file was opened")
    except OSError as error:
        assert error.errno == errno.ESTALE, error
print("checked")
