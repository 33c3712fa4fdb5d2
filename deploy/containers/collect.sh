#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# collect.sh TREE ROOT PROGRAM...: from what `meson install --destdir TREE` made (prefix /usr), the root of a
# container with these programs and what they need, and nothing else: no shell, no package manager.
#
# Run where they were built: libraries are taken from this machine, as ldd names them.
set -euo pipefail

[ $# -ge 3 ] || { echo "usage: collect.sh TREE ROOT PROGRAM..." >&2; exit 64; }
tree=$1 root=$2
shift 2

mkdir -p "$root"/{etc/ssl/certs,usr/bin,usr/lib,usr/lib64,usr/share/darkroom,tmp,var/cache/darkroom,var/lib/darkroom}
ln -sfn usr/lib "$root/lib"
ln -sfn usr/lib64 "$root/lib64"
chmod 1777 "$root/tmp"

for program in "$@"; do
    cp "$tree/usr/bin/$program" "$root/usr/bin/"
    libraries=$(ldd "$tree/usr/bin/$program")
    if grep -q 'not found' <<<"$libraries"; then
        echo "$program: ${libraries}" >&2
        exit 1
    fi
    for library in $(grep -o '/[^ ]*' <<<"$libraries"); do
        mkdir -p "$root$(dirname "$library")"
        cp -Ln "$library" "$root$library"
    done
done

cp -r "$tree/usr/share/darkroom/models" "$root/usr/share/darkroom/"
if [ -e "$root/usr/bin/darkroom-dispatcher" ]; then
    cp -r "$tree/usr/share/darkroom/web" "$root/usr/share/darkroom/"
fi
install -D -m 644 "$tree/usr/share/doc/darkroom/LICENSE" "$root/usr/share/doc/darkroom/LICENSE"

cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
printf 'darkroom:x:65532:65532:Darkroom:/var/lib/darkroom:/nonexistent\n' >"$root/etc/passwd"
printf 'darkroom:x:65532:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
