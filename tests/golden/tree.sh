#!/usr/bin/env bash
# Makes the tree that the golden volumes hold, in DIR. As root: it has devices and trusted attributes.
#
#   tests/golden/tree.sh DIR first|second
#
# What is frozen is never changed: a later format gets a volume of its own, and may get a tree of its own.
set -euo pipefail
umask 022
cd "$1"

# text BYTES: so many bytes, none of them zero, no two blocks alike.
text() { { seq 1 "$1" || true; } | head -c "$1"; }

first() {
    mkdir lengths sparse names links special attributes modes deep
    local length
    for length in 0 1 4095 4096 4097 8192 20000; do text "$length" >"lengths/$length"; done

    # Holes: before a write, behind the end, punched out of what was written.
    text 5000 | dd of=sparse/gap bs=4096 seek=100 conv=notrunc status=none
    text 100 >sparse/longer && truncate -s 1000000 sparse/longer
    text 40000 >sparse/punched && fallocate --punch-hole --offset 8000 --length 20000 sparse/punched
    truncate -s 50000000 sparse/empty

    # Both header copies in use: synced, then longer and synced again, then longer and not synced.
    text 3000 | dd of=lengths/synced conv=fsync status=none
    text 6000 | dd of=lengths/synced oflag=append conv=notrunc,fsync status=none
    text 500 >>lengths/synced

    # 175 bytes are the most that the entry's own name holds; 176 take a file beside it.
    local long
    printf -v long '%0255d' 255 && text 10 >"names/$long"
    printf -v long '%0176d' 176 && text 10 >"names/$long"
    printf -v long '%0175d' 175 && text 10 >"names/$long"
    printf -v long 'd%0254d' 255 && mkdir "names/$long" && text 10 >"names/$long/inside"
    text 10 >'names/Gehälter ☃ 日本語'
    text 10 >$'names/\xff\xfe\x80'
    text 10 >$'names/line\nbreak\ttab\e[31m'
    text 10 >'names/.hidden'
    text 10 >'names/.kmsfs.dir'
    text 10 >'names/.kmsfs'
    text 10 >'names/ '

    # Targets up to 734 bytes are in the link, longer ones in a file of their own.
    ln -s ../lengths/1 links/short
    ln -s "$(text 734 | tr '\n' x)" links/734
    ln -s "$(text 735 | tr '\n' x)" links/735
    ln -s "$(text 4095 | tr '\n' x)" links/4095
    ln -s $'not text: \xff' links/bytes
    ln lengths/4097 links/hard
    ln lengths/4097 "links/hard $(printf '%0200d' 200)"
    ln -P links/735 'links/735 again'

    mkfifo special/fifo
    mknod special/null c 1 3
    mknod special/block b 7 200
    perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => "special/socket", Listen => 1) or die'

    text 10 >attributes/file
    mkdir attributes/directory
    ln -s nowhere attributes/link
    setfattr -n user.comment -v 'a file' attributes/file
    setfattr -n user.empty attributes/file
    setfattr -n user.long -v "$(text 2000)" attributes/file
    setfattr -n user.comment -v 'a directory' attributes/directory
    setfattr -n trusted.golden -v trusted attributes/file attributes/directory
    setfattr -h -n trusted.golden -v 'a link' attributes/link
    setfattr -n security.golden -v security attributes/file
    setfacl -m u:20001:r,g:20002:rw attributes/file
    setfacl -m d:u:20001:rwx,d:g:20002:rx attributes/directory
    text 10 >attributes/directory/inherits

    text 10 >modes/000 && chmod 000 modes/000
    text 10 >modes/4755 && chmod 4755 modes/4755
    text 10 >modes/2755 && chmod 2755 modes/2755
    mkdir modes/1777 && chmod 1777 modes/1777
    mkdir modes/2770 && chmod 2770 modes/2770
    text 10 >modes/owned && chown 20001:20002 modes/owned
    mkdir modes/theirs && chown 20001:20002 modes/theirs

    mkdir -p deep/1/2/3/4/5/6/7/8/9/10 && text 10 >deep/1/2/3/4/5/6/7/8/9/10/bottom
}

second() {
    mkdir rotated
    text 5000 >rotated/new
    text 9000 >>lengths/8192
    # The kernel keeps the times of what is written here; these are the golden ones.
    local number=0 path
    find . -depth -mindepth 1 -print0 | LC_ALL=C sort -z | while IFS= read -r -d '' path; do
        number=$((number + 1))
        touch -h -d "@$((1000000000 + number)).123456789" "$path"
    done
}

"$2"
