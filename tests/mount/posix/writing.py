# O_APPEND, O_DIRECT, vectors, holes, limits, large files.
import hashlib
import resource
import signal

make("log", b"")


def appender(letter):
    def work():
        mine = os.open("log", os.O_WRONLY | os.O_APPEND)
        for number in range(200):
            os.write(mine, f"{letter} {number} {'.' * (number % 37)}\n".encode())

    return work


sys.stdout.flush()
pids = []
for letter in "abcd":
    pid = os.fork()
    if pid == 0:
        appender(letter)()
        os._exit(0)
    pids.append(pid)
for pid in pids:
    os.waitpid(pid, 0)
lines = content("log").decode().splitlines()
print(len(lines), sorted(lines)[:3])
for letter in "abcd":
    print(letter, [int(l.split()[1]) for l in lines if l[0] == letter] == list(range(200)))

file = os.open("log", os.O_RDWR | os.O_APPEND)
size = os.fstat(file).st_size
told("pwrite appends", lambda: os.pwrite(file, b"end", 0))
print(os.fstat(file).st_size - size)

make("f", b"0" * 20000)
direct = os.open("f", os.O_RDWR | os.O_DIRECT)
page = mmap.mmap(-1, 8192)
page[:] = b"d" * 8192
told("direct write", lambda: os.pwritev(direct, [page], 4096))
print(content("f") == b"0" * 4096 + b"d" * 8192 + b"0" * (20000 - 4096 - 8192))
told("direct read", lambda: os.preadv(direct, [page], 16384))
print(page[:3616] == b"0" * 3616)
told("direct beyond the end", lambda: os.preadv(direct, [page], 40960))
buffered = os.open("f", os.O_RDWR)
os.pwrite(buffered, b"B" * 100, 50)
told("direct sees buffered", lambda: os.preadv(direct, [page], 0))
print(page[45:155])
page[:] = b"D" * 8192
os.pwritev(direct, [page], 0)
print(os.pread(buffered, 10, 45))
view = mmap.mmap(buffered, 20000)
view[3:6] = b"map"
os.preadv(direct, [page], 0)
print(page[:9])

for sizes in [[1], [4095, 2], [0, 5, 0], [10000, 10000]]:
    parts = [bytes([65 + n]) * size for n, size in enumerate(sizes)]
    told(f"pwritev {sizes}", lambda: os.pwritev(buffered, parts, 100))
    print(os.pread(buffered, sum(sizes), 100) == b"".join(parts))

for offset in [2**32 - 1, 2**32, 2**40 + 17, 5 * 2**40, 8 * 2**40]:
    make("big", b"start")
    big = os.open("big", os.O_RDWR)
    told(f"write at {offset}", lambda: os.pwrite(big, b"here", offset))
    told("fsync", lambda: os.fsync(big))
    print(os.fstat(big).st_size, os.pread(big, 10, offset - 3), os.fstat(big).st_blocks < 10000)
    print(set(os.pread(big, 4096, offset // 2)))
    os.close(big)
told("negative length", lambda: os.ftruncate(buffered, -1))
told("read a directory", lambda: os.read(os.open(".", os.O_RDONLY), 1))

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def limited():
    resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
    mine = os.open("limited", os.O_CREAT | os.O_RDWR)
    told("up to the limit", lambda: os.write(mine, b"1" * 9000))
    told("over the limit", lambda: os.write(mine, b"2" * 9000))
    told("beyond the limit", lambda: os.write(mine, b"3"))
    told("truncate beyond the limit", lambda: os.ftruncate(mine, 20000))
    told("reserve beyond the limit", lambda: fallocate(mine, 0, 0, 20000))
    print(os.fstat(mine).st_size)


child(limited)
file = os.open("modes", os.O_CREAT | os.O_RDWR)
os.write(file, b"m" * 10000)
for mode, offset, length in [
    (0, 0, 12000), (1, 0, 20000), (3, 1000, 5000), (3, 0, 0), (3, 50000, 10), (2, 0, 10),
    (16, 500, 100), (17, 11000, 9000), (16, 11000, 9000), (0, -1, 10), (64, 0, 10), (3, 8192, 4096),
]:
    told(f"fallocate {mode} {offset} {length}", lambda: fallocate(file, mode, offset, length))
    print(os.fstat(file).st_size, hashlib.sha256(content("modes")).hexdigest()[:16])
reading = os.open("modes", os.O_RDONLY)
told("fallocate a reader's", lambda: fallocate(reading, 0, 0, 10))
told("ftruncate a reader's", lambda: os.ftruncate(reading, 0))
source, target = os.open("modes", os.O_RDONLY), os.open("copy", os.O_CREAT | os.O_RDWR)
told("copy_file_range", lambda: os.copy_file_range(source, target, 10000, 100, 50))
told("beyond the end", lambda: os.copy_file_range(source, target, 10000, 10**6, 50))
told("to a reader's", lambda: os.copy_file_range(source, reading, 10, 0, 0))
same = os.open("modes", os.O_RDWR)
told("within a file", lambda: os.copy_file_range(same, same, 100, 0, 5000))
told("over itself", lambda: os.copy_file_range(same, same, 100, 0, 50))
told("to an appender's", lambda: os.copy_file_range(source, os.open("copy", os.O_WRONLY | os.O_APPEND), 10))
told("sendfile", lambda: os.sendfile(target, source, 0, 3000))
print(os.fstat(target).st_size)
told("syncfs", lambda: checked(libc.syncfs(target)) and None)
