#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# release.sh BUILD FOLDER: what `meson install` of a build with prefix /usr/local puts there, and the libraries that the
# programs were linked with, as FOLDER/darkroom-VERSION-MACHINE.tar.gz; prints its SHA-256 and path.
#
#     meson setup build-release --buildtype=release -Dtests=false -Dcuda=enabled && ninja -C build-release
#     deploy/release.sh build-release .
#     tar -C /usr/local -xzf darkroom-0.1.0-x86_64.tar.gz        # on a machine with the same or a newer glibc
#
# The programs look for libraries in ../lib/darkroom first, so any distribution will do (Debian 12, Ubuntu 24.04). The C
# library and NVIDIA's driver are the machine's own. The same build gives the same bytes.
set -euo pipefail

[ $# = 2 ] || { echo "usage: release.sh BUILD FOLDER" >&2; exit 64; }
build=$1 folder=$2
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

introspected=$(meson introspect "$build" --projectinfo --buildoptions --force-object-output)
version=$(jq -r .projectinfo.version <<<"$introspected")
prefix=$(jq -r '.buildoptions[] | select(.name == "prefix").value' <<<"$introspected")
[ "$prefix" = /usr/local ] || { echo "$build has the prefix $prefix, a release wants /usr/local" >&2; exit 65; }
meson install -C "$build" --no-rebuild --quiet --strip --destdir "$temporary/tree"
tree=$temporary/tree/usr/local
mkdir -p "$tree/lib/darkroom"

for program in "$tree"/bin/*; do
    libraries=$(ldd "$program")
    if grep -q 'not found' <<<"$libraries"; then
        echo "$program: $libraries" >&2
        exit 1
    fi
    # Not what belongs to the C library: it and the kernel's loader are one.
    for library in $(grep -o '/[^ ]*' <<<"$libraries" | grep -Ev '/(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|util))\.so\.[0-9]+$'); do
        cp -Lun "$library" "$tree/lib/darkroom/"
    done
    # As RPATH, which libraries of libraries follow too.
    # shellcheck disable=SC2016
    patchelf --force-rpath --set-rpath '$ORIGIN/../lib/darkroom' "$program"
done
chmod -R u=rwX,go=rX "$tree"

name=$folder/darkroom-$version-$(uname -m).tar.gz
tar -C "$tree" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - . | gzip -n -1 >"$name.part"
mv "$name.part" "$name"
sha256sum "$name"
