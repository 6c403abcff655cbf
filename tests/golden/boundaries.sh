#!/usr/bin/env bash
# Makes the tree of the golden volume with boundary directories, in DIR; SET_KEY is run for each of them with
# its path and options, and may be `true`. As root.
#
#   tests/golden/boundaries.sh DIR SET_KEY...
#
# What is frozen is never changed.
set -euo pipefail
umask 022
cd "$1"
shift

# text BYTES: so many bytes, no two blocks alike.
text() { { seq 1 "$1" || true; } | head -c "$1"; }

mkdir plain hr legal
"$@" hr --key alias/hr --label hr
"$@" legal --label legal
mkdir -p hr/below/deep hr/key hr/label
"$@" hr/key --key alias/payroll
"$@" hr/label --label pay
printf -v long '%0255d' 255 && mkdir "plain/$long"
"$@" "plain/$long" --key alias/hr --label "$(text 255 | tr '\n' x)"
mkdir hr/key/inner
"$@" hr/key/inner --label inner
# Removed and made again, removed, and taken back.
mkdir again gone inherits
"$@" again --label again && rmdir again && mkdir again
"$@" gone --label gone && rmdir gone
"$@" inherits --label inherits && "$@" inherits --inherit

for directory in . plain hr legal hr/below hr/below/deep hr/key hr/label hr/key/inner "plain/$long" again inherits; do
    text 10000 >"$directory/file"
    text 100 | dd of="$directory/sparse" bs=4096 seek=10 conv=notrunc status=none
    setfattr -n user.comment -v "in $directory" "$directory/file"
    ln "$directory/file" "$directory/hard"
    ln -s file "$directory/link"
done
setfattr -n user.comment -v 'a boundary' hr
chmod 2770 hr && chown 20001:20002 hr

number=0
find . -depth -mindepth 1 -print0 | LC_ALL=C sort -z | while IFS= read -r -d '' path; do
    number=$((number + 1))
    touch -h -d "@$((1000000000 + number)).123456789" "$path"
done
