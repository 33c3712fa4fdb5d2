#!/bin/sh
# SPDX-License-Identifier: MIT
# users.sh [--no-functions] FOLDER: users.acl with everybody switched on whose password is in FOLDER, as
# redis-worker.password, redis-dispatcher.password and so on (its first line); printed, with hashes in place of
# passwords. The others stay off. --no-functions: for Redis 6.2, which refuses to start with rights unknown to it.
set -eu

rights=
if [ "${1:-}" = --no-functions ]; then
    rights='s/ +fcall//; s/ [-+]function[|a-z]*//g'
    shift
fi
[ $# = 1 ] || { echo "usage: users.sh [--no-functions] FOLDER" >&2; exit 64; }
sed "$rights" "$(dirname "$0")/users.acl" | while read -r line; do
    role=$(expr "$line" : 'user darkroom-\([a-z]*\) off ' || true)
    file=$1/redis-$role.password
    if [ -n "$role" ] && [ -e "$file" ]; then
        password=$(head -n 1 "$file" | tr -d '\r\n')
        [ -n "$password" ] || { echo "users.sh: $file is empty" >&2; exit 65; }
        hash=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
        line="user darkroom-$role on #$hash ${line#"user darkroom-$role off "}"
    fi
    printf '%s\n' "$line"
done
