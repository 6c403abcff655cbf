"""ranges.py SEED COUNT: random operations on ranges of a file (write, zero, punch, reserve, copy, truncate,
store through a mapping), each checked against the same operation on a string of bytes in memory."""

import ctypes
import mmap
import os
import random
import sys

KEEP, PUNCH, ZERO = 1, 2, 16
LIMIT = 300_000
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]

seed, count = int(sys.argv[1]), int(sys.argv[2])
dice = random.Random(seed)
path = f"ranges {seed}"
file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
model = bytearray()


def fallocate(mode, start, length):
    if libc.fallocate(file, mode, start, length) < 0:
        raise OSError(ctypes.get_errno(), f"fallocate {mode} {start} {length}")


def grow(end):
    if end > len(model):
        model.extend(bytes(end - len(model)))


def a_range():
    # Half of all ranges begin or end at, or beside, the border of a block.
    def place():
        at = dice.randrange(LIMIT)
        return max(0, at // 4096 * 4096 + dice.choice([-1, 0, 1])) if dice.random() < 0.5 else at

    start, end = sorted([place(), place()])
    longest = dice.choice([1, 100, 5000, 70_000])
    return start, max(1, min(end - start, longest))


for number in range(count):
    start, length = a_range()
    end = start + length
    kind = dice.choice(["write", "write", "zero", "zero", "punch", "punch", "reserve", "copy", "truncate", "map", "read"])
    if kind == "write":
        data = dice.randbytes(length)
        os.pwrite(file, data, start)
        grow(end)
        model[start:end] = data
    elif kind in ("zero", "punch", "reserve"):
        keep = kind == "punch" or dice.random() < 0.3
        fallocate({"zero": ZERO, "punch": PUNCH, "reserve": 0}[kind] | (KEEP if keep else 0), start, length)
        if not keep:
            grow(end)
        if kind != "reserve":
            cut = min(end, len(model))
            if cut > start:
                model[start:cut] = bytes(cut - start)
    elif kind == "copy":
        target = dice.randrange(LIMIT)
        if abs(target - start) >= length:
            copied = os.copy_file_range(file, file, length, start, target)
            if copied:
                data = model[start : start + copied]
                grow(target + copied)
                model[target : target + copied] = data
    elif kind == "truncate":
        os.ftruncate(file, start)
        del model[start:]
        grow(start)
    elif kind == "map" and start < len(model):
        cut = min(end, len(model))
        with mmap.mmap(file, len(model)) as view:
            data = dice.randbytes(cut - start)
            view[start:cut] = data
        model[start:cut] = data
    if dice.random() < 0.01:
        os.fsync(file)
    if dice.random() < 0.005:
        os.close(file)
        file = os.open(path, os.O_RDWR)
    whole = dice.random() < 0.02
    read_from, read_length = (0, len(model) + 1) if whole else a_range()
    seen = os.pread(file, read_length, read_from)
    expected = bytes(model[read_from : read_from + read_length])
    if seen != expected or os.fstat(file).st_size != len(model):
        sys.exit(f"seed {seed}, operation {number}: {kind} {start}+{length}: the file differs from the model")
print(f"figure: seed {seed}, {count} operations on ranges")
