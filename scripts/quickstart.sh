#!/usr/bin/env bash
# Builds kmsfs and shows its main job: a volume is made, mounted, filled with a real source tree,
# refused to another user, locked and unlocked by its KMS key, audited and unmounted.
# Everything happens in a temporary directory; nothing stays, however this script ends.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

install_build_and_fuse
if ((EUID != 0)) && ! [[ -r /dev/fuse && -w /dev/fuse ]]; then
    die "/dev/fuse is closed to ordinary users here: sudo chmod 666 /dev/fuse, or run this as root"
fi
say "Building kmsfs (the first time takes some minutes)"
cargo build --release --locked
PATH="$(realpath "${CARGO_TARGET_DIR:-target}")/release:$PATH"

work=$(mktemp -d /tmp/kmsfs-quickstart.XXXXXX)
vault=$work/vault plain=$work/plain
cleanup() {
    local status=$?
    trap - EXIT INT TERM
    cd /
    if force_unmount "$plain"; then rm -rf "$work"; fi
    if ((status != 0)); then printf '\n%s ended early (status %s)\n' "${0##*/}" "$status" >&2; fi
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

chmod 755 "$work" # another user has to reach the mount point
mkdir "$plain"
export KMSFS_HOME=$work/home KMSFS_PASSFILE=$work/passphrase
(umask 077 && head -c 24 /dev/urandom | base64 >"$KMSFS_PASSFILE")

# The temporary directory's name is of no interest to the reader.
shorten() { sed "s|$work|\$work|g"; }

# typed COMMAND...: prints it as one would type it.
typed() {
    local word line='$'
    for word; do
        [[ $word == *[[:space:]\']* && $# -gt 1 ]] && word="\"$word\""
        line+=" $word"
    done
    printf '%s%s%s\n' "$dim" "$line" "$plain_text" | shorten
}

# show COMMAND...: prints the command and runs it.
show() {
    typed "$@"
    "$@" 2>&1 | shorten
}

# refused COMMAND...: the same for a command that has to fail with "Permission denied".
refused() {
    local said
    typed "$@"
    if said=$("$@" 2>&1); then die "this should have been refused: $*"; fi
    shorten <<<"$said"
    [[ $said == *"Permission denied"* ]] || die "it failed, but for another reason: $*"
}

# An open mount acts on a changed key or policy within a second.
settle() { sleep 1; }

say "1. A KMS key, and a volume whose files it protects"
show kmsfs key create --alias quickstart --description "The key of the quickstart"
show kmsfs init "$vault" --key alias/quickstart

say "2. Mount it: ciphertext in \$work/vault, plaintext in \$work/plain"
for_all=()
if ((EUID == 0)); then for_all=(-o allow_other); fi
show kmsfs mount "$vault" "$plain" "${for_all[@]}"
chmod 755 "$plain"
show kmsfs status "$plain"

# One of this project's own dependencies: real, large, and on this machine since the build.
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
tree=$(find "$registry" -mindepth 3 -maxdepth 3 -type d -path '*/aws-lc-sys-*/aws-lc' -print -quit 2>/dev/null || true)
tree=${tree:-$PWD/src}
say "3. Copy a real source tree in: $(find "$tree" -type f | wc -l) files, $(du -sh "$tree" | cut -f 1)"
typed cp -r "$tree" "$plain/tree"
TIMEFORMAT='(copied in %1R s)'
time cp -r "$tree" "$plain/tree"
show diff -r "$tree" "$plain/tree"
echo "(diff finds no difference)"

say "4. The plaintext view, and the ciphertext behind it"
word=include
show ls "$plain/tree"
typed "grep -rlw $word $plain/tree | wc -l"
grep -rlw "$word" "$plain/tree" | wc -l
show ls "$vault"
typed "grep -rlw $word $vault | wc -l"
found=$({ grep -rlw "$word" "$vault" || true; } | wc -l)
echo "$found"
((found == 0)) || die "the backing directory contains plaintext"
file=$(find "$vault" -type f -size +8k -not -path '*/.kmsfs*' -print -quit)
show kmsfs inspect "$file"
typed "od -A d -t x1z -j 4096 -N 64 FILE"
od -A d -t x1z -j 4096 -N 64 "$file"

secret=$(find "$plain/tree" -type f -size -4k -print -quit)
if ((EUID == 0)); then
    say "5. Another user (nobody): the mode lets everyone read this file, the volume's policy does not"
    show stat -c '%A %U %n' "$secret"
    refused setpriv --reuid 65534 --regid 65534 --clear-groups cat "$secret"
else
    say "5. Policy. (The kernel shows an ordinary user's mount to that user only, so here a policy
   refuses you one file; run this as root to see it refuse another user.)"
    cat >"$work/policy.json" <<POLICY
{ "Version": "2012-10-17",
  "Statement": [
    { "Sid": "Mine", "Effect": "Allow", "Action": "kmsfs:*", "Resource": "*",
      "Principal": { "AWS": "arn:aws:iam::000000000000:user/$(id -un)" } },
    { "Sid": "NotThis", "Effect": "Deny", "Action": "kmsfs:Read", "Principal": "*",
      "Resource": "arn:aws:kmsfs:*:*:volume/*/${secret#"$plain"/}" } ] }
POLICY
    show cat "$work/policy.json"
    show kmsfs policy put --tree "$plain" "$work/policy.json"
    settle
    refused cat "$secret"
fi

other=$(find "$plain/tree" -type f -size +4k -print -quit)
say "6. Disable the KMS key: nothing can be opened. Enable it: everything can"
show kmsfs key disable alias/quickstart
settle
refused head -n 1 "$other"
show kmsfs key enable alias/quickstart
settle
show head -n 1 "$other"

say "7. The audit log: what was refused, the last lines, and the proof that nothing was altered"
show kmsfs audit query --outcome denied
show kmsfs audit tail -n 5
show kmsfs audit verify

say "8. Unmount: only ciphertext is left"
show kmsfs umount "$plain"
show ls -A "$plain"
echo "(nothing)"

say "Done. Next: kmsfs --help, and README.md"
