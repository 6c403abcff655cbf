# Set-group-id and sticky directories, default ACLs with and without umask, ACLs of every kind.
shell("mkdir shared && chown 0:20077 shared && chmod 2777 shared")


def create():
    os.umask(0o027)
    make("shared/file", b"x", 0o664)
    os.mkdir("shared/directory", 0o775)
    os.mkfifo("shared/fifo", 0o660)
    os.symlink("nowhere", "shared/link")
    descriptor = os.open("shared/setgid", os.O_CREAT | os.O_RDWR, 0o2775)
    os.close(descriptor)
    for name in sorted(os.listdir("shared")):
        told_of = os.lstat("shared/" + name)
        print("   ", name, oct(told_of.st_mode), told_of.st_uid, told_of.st_gid)


for groups in [[20001], [20001, 20077]]:
    print("created in a set-group-id directory by", groups)
    as_user(20001, groups, create)
    shell("rm -r shared/*")

shell("mkdir sticky && chmod 1777 sticky")
as_user(20001, [20001], lambda: make("sticky/mine"))
as_user(20002, [20002], lambda: told("unlink in sticky", lambda: os.unlink("sticky/mine")))
as_user(20002, [20002], lambda: told("rename in sticky", lambda: os.rename("sticky/mine", "sticky/x")))
as_user(20001, [20001], lambda: told("unlink of one's own", lambda: os.unlink("sticky/mine")))

shell("mkdir plain && setfacl -d -m u::rwx,g::r-x,o::-,u:20001:rwx,g:20077:rx plain")
for umask in [0, 0o022, 0o077]:
    os.umask(umask)
    os.mkdir(f"plain/d{umask:o}", 0o777)
    make(f"plain/f{umask:o}")
    descriptor = os.open(f"plain/o{umask:o}", os.O_CREAT | os.O_RDWR, 0o666)
    os.close(descriptor)
    os.mkfifo(f"plain/p{umask:o}", 0o640)
os.umask(0o022)
shell("cd plain && getfacl -n . * && stat -c '%A %n' *")

shell("mkdir both && chmod 2755 both && chown 20003:20004 both && setfacl -d -m u:20001:rwx both")
as_user(20003, [20005], lambda: told("mkdir", lambda: os.mkdir("both/sub")))
shell("stat -c '%A %u %g' both/sub; getfacl -n both/sub")

make("f", b"#!/bin/sh\necho run\n", 0o640)
shell("setfacl -m u:20001:rx,g:20077:rw,m::rwx f; getfacl -n f; stat -c %A f")
as_user(20001, [20001], lambda: shell("./f; cat f; echo more >> f"))
as_user(20002, [20002, 20077], lambda: shell("cat f; echo more >> f; ./f"))
as_user(20002, [20002], lambda: shell("cat f"))
shell("chmod g-rwx f; getfacl -n f; stat -c %A f")
as_user(20001, [20001], lambda: shell("cat f"))
shell("setfacl -b f; getfacl -n f; setfacl -k plain; getfacl -n plain")
shell("setfacl -m u:20001:rwx,m::r f; chmod 660 f; getfacl -n f")
as_user(20002, [20002], lambda: shell("setfacl -m u:20002:rwx f"))
os.chown("f", 20002, 20002)
as_user(20002, [20002], lambda: shell("setfacl -m u:20003:rwx f; getfacl -n f"))
