#!/bin/sh
# SPDX-License-Identifier: MIT
# users.sh FOLDER: users.acl with everybody switched on whose password is in FOLDER, as redis-worker.password,
# redis-dispatcher.password and so on (its first line); printed, with hashes in place of passwords. The others stay off.
set -eu

[ $# = 1 ] || { echo "usage: users.sh FOLDER" >&2; exit 64; }
while read -r line; do
    role=$(expr "$line" : 'user darkroom-\([a-z]*\) off ' || true)
    file=$1/redis-$role.password
    if [ -n "$role" ] && [ -e "$file" ]; then
        password=$(head -n 1 "$file" | tr -d '\r\n')
        [ -n "$password" ] || { echo "users.sh: $file is empty" >&2; exit 65; }
        hash=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
        line="user darkroom-$role on #$hash ${line#"user darkroom-$role off "}"
    fi
    printf '%s\n' "$line"
done <"$(dirname "$0")/users.acl"
