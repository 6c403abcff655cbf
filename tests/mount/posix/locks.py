# flock, POSIX and open-file-description locks, and leases, between processes.
F_OFD_GETLK, F_OFD_SETLK, F_SETLEASE, F_GETLEASE = 36, 37, 1024, 1025


def posix(descriptor, kind, start=0, length=0, command=fcntl.F_SETLK):
    lock = struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)
    answer = fcntl.fcntl(descriptor, command, lock)
    kind, _, start, length, _ = struct.unpack("hhqqi4x", answer)
    return kind, start, length


make("f", b"1" * 1000)
one, two = os.open("f", os.O_RDWR), os.open("f", os.O_RDWR)
told("flock", lambda: fcntl.flock(one, fcntl.LOCK_EX))
told("flock again", lambda: fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB))
told("flock shared", lambda: fcntl.flock(two, fcntl.LOCK_SH | fcntl.LOCK_NB))
told("downgrade", lambda: fcntl.flock(one, fcntl.LOCK_SH))
told("flock shared", lambda: fcntl.flock(two, fcntl.LOCK_SH | fcntl.LOCK_NB))
told("unlock", lambda: fcntl.flock(one, fcntl.LOCK_UN))
told("unlock", lambda: fcntl.flock(two, fcntl.LOCK_UN))

told("posix", lambda: posix(one, fcntl.F_WRLCK, 100, 50))
told("posix within a process", lambda: posix(two, fcntl.F_WRLCK, 100, 50))


def other():
    mine = os.open("f", os.O_RDWR)
    told("other overlaps", lambda: posix(mine, fcntl.F_WRLCK, 149, 1))
    told("other is told", lambda: posix(mine, fcntl.F_WRLCK, 0, 0, fcntl.F_GETLK))
    told("other beside", lambda: posix(mine, fcntl.F_WRLCK, 150, 10))
    told("other reads", lambda: posix(mine, fcntl.F_RDLCK, 120, 1))


child(other)
os.close(two)
print("closing any descriptor lets go")
child(other)

one, two = os.open("f", os.O_RDWR), os.open("f", os.O_RDWR)
told("ofd", lambda: posix(one, fcntl.F_WRLCK, 0, 10, F_OFD_SETLK))
told("ofd in the same process", lambda: posix(two, fcntl.F_WRLCK, 5, 10, F_OFD_SETLK))
told("ofd is told", lambda: posix(two, fcntl.F_WRLCK, 5, 10, F_OFD_GETLK))
child(lambda: told("inherited", lambda: posix(one, fcntl.F_WRLCK, 0, 20, F_OFD_SETLK)))
told("ofd unlock", lambda: posix(one, fcntl.F_UNLCK, 0, 0, F_OFD_SETLK))
told("ofd free", lambda: posix(two, fcntl.F_WRLCK, 5, 10, F_OFD_SETLK))
os.close(one)
os.close(two)

reader = os.open("f", os.O_RDONLY)
told("mandatory reading lock for writing", lambda: posix(reader, fcntl.F_WRLCK))
os.close(reader)


def killed():
    mine = os.open("f", os.O_RDWR)
    fcntl.flock(mine, fcntl.LOCK_EX)
    posix(mine, fcntl.F_WRLCK)


child(killed)
one = os.open("f", os.O_RDWR)
told("after the holder's end", lambda: fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB))
told("after the holder's end", lambda: posix(one, fcntl.F_WRLCK))
