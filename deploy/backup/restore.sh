#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# restore.sh [--check | --force] [--address HOST] BACKUP
#
# Puts a backup of backup.sh into a Redis without data and into an object store, and looks whether all fits together.
# Stop dispatchers, notifiers and workers before. docs/operations.md, "Backup and restore".
#
# --check     only looks whether the backup is whole, and of a version that this program knows
# --force     what the Redis has is thrown away; without, it has to be empty
# --address   by which the Redis reaches this machine (127.0.0.1): it fetches the records from here
#
# DARKROOM_REDIS, DARKROOM_REDIS_PASSWORD_FILE    of a user who may make it a replica (CONFIG, REPLICAOF)
# DARKROOM_STORE, DARKROOM_S3_…, DARKROOM_SECRET_FILE    as the dispatchers have them
set -euo pipefail
umask 077
export LC_ALL=C
HERE=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
# shellcheck source=deploy/backup/redis_url.sh
. "$HERE/redis_url.sh"

force='' check='' address=127.0.0.1
while [ $# -gt 1 ]; do
    case $1 in
    --force) force=1 ;;
    --check) check=1 ;;
    --address) address=$2 && shift ;;
    *) break ;;
    esac
    shift
done
if [ $# -ne 1 ] || [ -z "$1" ]; then
    sed -n '3,14s/^# \{0,1\}//p' "$0" >&2
    exit 64
fi
backup=$1
[ -f "$backup/SHA256SUMS" ] || fail "$backup is no backup" 66
[ -r "${DARKROOM_SECRET_FILE:-}" ] || fail "DARKROOM_SECRET_FILE cannot be read" 66
darkroom=${DARKROOM_CLI:-darkroom}

(cd "$backup" && sha256sum --quiet --strict -c SHA256SUMS >&2) || fail "$backup is damaged: see above" 65
grep -q ' redis.rdb$' "$backup/SHA256SUMS" || fail "$backup has no records" 65
about() {
    sed -n "s/^$1 //p" "$backup/about"
}
[ "$(about secret)" = "$(secret_sum "$DARKROOM_SECRET_FILE")" ] ||
    fail "DARKROOM_SECRET_FILE is not the secret of this backup: its links, tokens and addresses would be worthless" 65
shards=$(about shards)

# The records in a server of their own, from which the real one fetches them.
work=$(mktemp -d)
source_pid=''
end() {
    [ -z "$source_pid" ] || { kill "$source_pid" && wait "$source_pid"; } 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM
cp "$backup/redis.rdb" "$work/redis.rdb"
openssl rand -hex 24 >"$work/password"
start_source() {
    port=$((20000 + RANDOM % 12000))
    redis-server - >"$work/log" 2>&1 <<SOURCE &
port $port
bind $address
dir $work
dbfilename redis.rdb
save ""
appendonly no
repl-diskless-sync-delay 0
maxmemory-policy noeviction
requirepass $(cat "$work/password")
SOURCE
    source_pid=$!
    local try
    for ((try = 0; try < 600; try++)); do
        [ "$(REDISCLI_AUTH=$(cat "$work/password") redis-cli -h "$address" -p "$port" ping 2>/dev/null)" != PONG ] || return 0
        kill -0 "$source_pid" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}
start_source || start_source || fail "a redis-server with the backup does not start: $(
    grep -o "Can't handle RDB format version.*" "$work/log" || tail -n 1 "$work/log")"
source_cli() {
    REDISCLI_AUTH=$(cat "$work/password") redis-cli -h "$address" -p "$port" "$@"
}
# Each program asks whether the data are of a version for it; the status tells.
DARKROOM_REDIS=redis://$address:$port/0 DARKROOM_REDIS_PASSWORD_FILE=$work/password \
    "$darkroom" keys list >/dev/null || exit $?
records=$(source_cli dbsize)
echo "$backup: of $(about started), $records keys, $(grep -c ' objects/' "$backup/SHA256SUMS" || true) objects, all as they were saved"
[ -z "$check" ] || exit 0

[ -n "${DARKROOM_STORE:-}" ] || fail "DARKROOM_STORE is not set" 64
redis_find "${DARKROOM_REDIS:-redis://127.0.0.1:6379/0}" "${DARKROOM_REDIS_PASSWORD_FILE:-}"
if [ "$(redis dbsize)" != 0 ]; then
    [ -n "$force" ] || fail "this Redis is not empty; --force throws away what it has" 73
    # But not what belongs to a newer version than we know.
    "$darkroom" keys list >/dev/null || exit $?
fi
# A Redis reads what an older one has written, not what a newer one has; Valkey names the Redis that it is like.
version_of() {
    "$@" info server | tr -d '\r' | sed -n 's/^redis_version:\([0-9]*\.[0-9]*\).*/\1/p'
}
here=$(version_of source_cli) there=$(version_of redis)
[ "$(printf '%s\n' "$here" "$there" | sort -V | head -n 1)" = "$here" ] ||
    fail "redis-server $here of this machine is newer than the Redis, $there, which cannot read from it: restore with one of $there or older" 76
# Objects first, so that no record is there without them.
"$darkroom" objects load "$backup/objects"
before=$(redis config get masterauth | tail -n 1)
redis config set masterauth "$(cat "$work/password")" >/dev/null
redis replicaof "$address" "$port" >/dev/null
field() {
    redis info "$1" | tr -d '\r' | sed -n "s/^$2://p"
}
for ((try = 0; try < 6000; try++)); do
    [ "$(field replication master_link_status)" != up ] || [ "$(field replication master_sync_in_progress)" != 0 ] || break
    sleep 0.1
done
status=$(field replication master_link_status)
redis replicaof no one >/dev/null
redis config set masterauth "$before" >/dev/null
[ "$status" = up ] || fail "this Redis could not fetch the records from $address:$port: see its log"
# The append-only file is written anew with them.
for ((try = 0; try < 6000; try++)); do
    [ "$(field persistence aof_rewrite_in_progress)$(field persistence aof_rewrite_scheduled)" != 00 ] || break
    sleep 0.1
done
for ((shard = 0; shard < shards; shard++)); do
    redis del "$(printf '{q:%02x}hold' "$shard")" >/dev/null
done
"$darkroom" fsck --shards "$shards"
