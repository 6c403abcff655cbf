"""many_files.py COUNT: so many files in one directory, made, listed, found, renamed and removed."""

import os
import sys

count = int(sys.argv[1])
os.mkdir("many")
directory = os.open("many", os.O_RDONLY)


def name(number):
    return f"file number {number:07}"


for number in range(count):
    os.close(os.open(name(number), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=directory))
    if number % 1000 == 0:
        os.mkdir(f"directory {number:07}", dir_fd=directory)
with os.scandir("many") as entries:
    seen = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
assert len(seen) == count and set(seen) == {name(number) for number in range(count)}
for number in range(0, count, 7):
    assert os.stat(name(number), dir_fd=directory).st_size == 0
for number in range(0, count, 3):
    os.rename(name(number), "r" + name(number), src_dir_fd=directory, dst_dir_fd=directory)
listed = os.listdir("many")
assert len(set(listed)) == len(listed) == count + (count + 999) // 1000
for number in range(count):
    os.unlink(("r" if number % 3 == 0 else "") + name(number), dir_fd=directory)
assert sorted(os.listdir("many")) == [f"directory {n:07}" for n in range(0, count, 1000)]
print(f"figure: {count} files in one directory")
