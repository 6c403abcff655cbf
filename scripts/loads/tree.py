"""tree.py COUNT: a tree of so many inodes, all of them known to the kernel at once, served by a process
that may open 1024 files. Tells what memory that takes, and what is left when the kernel forgets them."""

import json
import os
import subprocess
import sys

count = int(sys.argv[1])
status = json.loads(subprocess.check_output([os.environ["KMSFS"], "status", "--json", "."]))
status = status[0] if isinstance(status, list) else status
daemon = status["pid"]


def resident():
    with open(f"/proc/{daemon}/status") as file:
        return int(next(l for l in file if l.startswith("VmRSS")).split()[1]) // 1024


def descriptors():
    return len(os.listdir(f"/proc/{daemon}/fd"))


with open(f"/proc/{daemon}/limits") as file:
    limit = next(l for l in file if l.startswith("Max open files")).split()[4]
assert int(limit) == 1024, limit
before = resident()
made = 0
directories = 0
while made < count:
    at = f"tree/{directories // 100:04}/{directories % 100:02}"
    os.makedirs(at)
    made += 1
    directories += 1
    for number in range(min(100, count - made)):
        os.close(os.open(f"{at}/file {number:02}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        made += 1
for at, below, files in os.walk("tree"):
    for file in files:
        os.lstat(os.path.join(at, file))
full, opened = resident(), descriptors()
assert opened < 1024, opened
# Deep inside, where the descriptors of the parents are gone from the cache.
for number in range(0, directories, 97):
    path = f"tree/{number // 100:04}/{number % 100:02}/file 00"
    with open(path, "w") as file:
        file.write(path)
os.sync()
with open("/proc/sys/vm/drop_caches", "w") as file:
    file.write("2")
for number in range(0, directories, 97):
    path = f"tree/{number // 100:04}/{number % 100:02}/file 00"
    with open(path) as file:
        assert file.read() == path
print(f"figure: {made} inodes: {full} MiB resident ({before} before), {opened} descriptors")
print(f"figure: {resident()} MiB once the kernel forgot them")
for at, below, files in os.walk("tree"):
    for file in files:
        os.lstat(os.path.join(at, file))
again = resident()
print(f"figure: {again} MiB with all of them known again")
assert full < 300 + before, "more memory than an inode may cost"
assert again < full * 1.2 + 20, "what was forgotten is not used again"
