#!/usr/bin/env bash
# run.sh NAME SCALE: puts one load on the mount that the current directory is in. SCALE is `short`, for CI,
# or `long`, for scripts/soak.sh. Called inside scripts/mounted.sh, which checks afterwards that all that is
# left survives a remount.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
name=$1
case $2 in short) long=0 ;; long) long=1 ;; *) exit 2 ;; esac
# pick SHORT LONG: the one for this run.
pick() { if ((long)); then echo "$2"; else echo "$1"; fi; }

case $name in
fsx-*)
    seeds=$(pick "1" "1 2 3 4")
    for seed in $seeds; do
        fsx -q -f "$here/../fsx/${name#fsx-}.toml" -P /tmp -S "$seed" -N "$(pick 5000 100000)" "file $seed"
    done
    echo "figure: $(wc -w <<<"$seeds") seeds of $(pick 5000 100000) operations"
    ;;
ranges)
    for seed in $(pick "1" "1 2 3 4"); do python3 "$here/ranges.py" "$seed" "$(pick 3000 100000)"; done
    ;;
fio)
    fio --name=verify --directory=. --numjobs=4 --group_reporting --ioengine=psync --rw=randrw \
        --bsrange=512-128k --size="$(pick 16m 512m)" --io_size="$(pick 32m 1g)" --verify=crc32c \
        --verify_fatal=1 --verify_backlog=256 --fsync="$(pick 0 512)" --end_fsync=1
    fio --name=direct --directory=. --numjobs=4 --group_reporting --ioengine=psync --rw=randwrite --direct=1 \
        --bs=4k --size="$(pick 4m 128m)" --verify=crc32c --verify_fatal=1 --do_verify=1
    rm -f -- verify.* direct.*
    ;;
stress-ng)
    # One after the other. Left out: what mounts or wants a file system of its own (binderfs, ramfs, ...), and
    # what measures the machine and not the files (iomix and hdd run as they are).
    stressors=$(pick "dir,dentry,rename,link,symlink,xattr,fallocate,hdd,utime,flock" \
        "access,aio,chattr,chdir,chmod,chown,copy-file,dentry,dir,dirdeep,dirmany,dup,eventfd,fallocate,fcntl,fiemap,file-ioctl,filename,flock,fpunch,fstat,getdent,hdd,inotify,io,iomix,lease,link,locka,lockf,lockofd,mknod,open,rename,seek,symlink,sync-file,touch,utime,verity,xattr")
    each=$(pick 1 $((300 / $(tr ',' '\n' <<<"$stressors" | wc -l) + 1)))
    for stressor in ${stressors//,/ }; do
        # 2: the stressor finds what it needs missing; 3: it is not implemented here.
        stress-ng --verify --temp-path . --"$stressor" 2 --timeout "$each" || (($? == 3 || $? == 2))
    done
    ;;
dbench)
    dbench -c /usr/share/dbench/client.txt -D . -t "$(pick 5 120)" "$(pick 2 8)"
    rm -rf clients
    ;;
git)
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 HOME=/nonexistent
    export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t
    git init -q repository
    cd repository
    for number in $(seq "$(pick 20 200)"); do
        for file in 1 2 3 4 5; do head -c $((number * 100 + file)) /dev/urandom | base64 >"f$((number % 17))-$file"; done
        git add -A
        git commit -qm "commit $number"
    done
    git gc -q
    git fsck --strict --full
    [[ -z $(git status --porcelain) && $(git rev-list --count HEAD) == "$(pick 20 200)" ]]
    ;;
sqlite)
    sqlite3 db 'PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT);' >/dev/null
    rounds=$(pick 30 1000)
    for writer in 1 2 3 4; do
        for _ in $(seq "$rounds"); do
            echo 'PRAGMA busy_timeout=60000; BEGIN IMMEDIATE;
                  INSERT INTO t(text) SELECT hex(randomblob(50)) FROM generate_series(1,20); COMMIT;'
        done | sqlite3 -bail db >/dev/null &
        writers+=($!)
    done
    for writer in "${writers[@]}"; do wait "$writer"; done
    [[ $(sqlite3 db 'PRAGMA integrity_check; SELECT count(*) FROM t;') == "ok
$((rounds * 80))" ]]
    ;;
postgresql)
    programs=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    install -d -o postgres -g postgres -m 700 data
    install -d -o postgres -g postgres -m 755 /tmp/kmsfs-pgsocket.$$
    as() { setpriv --reuid postgres --regid postgres --init-groups env HOME=/nonexistent PATH="$programs:$PATH" "$@"; }
    socket=/tmp/kmsfs-pgsocket.$$
    stop() { as pg_ctl -D data -m fast stop >/dev/null 2>&1 || true; rm -rf "$socket"; }
    trap stop EXIT
    as initdb -D data --auth=trust --data-checksums
    as pg_ctl -D data -w -l data/log -o "-c listen_addresses='' -k $socket" start
    as pgbench -h "$socket" -i -s "$(pick 1 20)" postgres
    as pgbench -h "$socket" -c 4 -j 2 -T "$(pick 3 120)" postgres
    [[ $(as psql -h "$socket" -Atc 'SELECT sum(abalance) = (SELECT sum(delta) FROM pgbench_history) FROM pgbench_accounts' postgres) == t ]]
    as pg_ctl -D data -m fast stop
    as pg_checksums -D data --check
    as pg_ctl -D data -w -l data/log -o "-c listen_addresses='' -k $socket" start
    [[ $(as psql -h "$socket" -Atc 'SELECT count(*) > 0 FROM pgbench_history' postgres) == t ]]
    ;;
many-files) python3 "$here/many_files.py" "$(pick 5000 200000)" ;;
tree) python3 "$here/tree.py" "$(pick 20000 500000)" ;;
*)
    echo "no such load: $name" >&2
    exit 2
    ;;
esac
