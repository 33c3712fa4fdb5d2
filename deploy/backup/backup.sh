#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# backup.sh [--previous BACKUP] FOLDER
#
# Saves Redis and the object store of a Darkroom that runs into FOLDER, which it makes. FOLDER has redis.rdb, the
# objects as files, `about`, and SHA256SUMS of all of them; it appears under its name only when it is whole. What
# BACKUP has already becomes a second name of the same file. docs/operations.md, "Backup and restore".
#
# DARKROOM_REDIS, DARKROOM_REDIS_PASSWORD_FILE    a user that may read all of Redis (darkroom-backup in users.acl)
# DARKROOM_STORE, DARKROOM_S3_…, DARKROOM_SECRET_FILE    as the dispatchers have them; the secret is not saved
set -euo pipefail
umask 077
export LC_ALL=C
HERE=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
# shellcheck source=deploy/backup/redis_url.sh
. "$HERE/redis_url.sh"

HOLD_MS=900000 # after a backup that was killed nothing is deleted for so long
previous=''
[ "${1:-}" != --previous ] || { previous=${2:-}; shift 2; }
if [ $# -ne 1 ] || [ -z "$1" ]; then
    sed -n '3,12s/^# \{0,1\}//p' "$0" >&2
    exit 64
fi
folder=$1 part=$1.part
[ ! -e "$folder" ] || fail "$folder is there already" 73
[ -z "$previous" ] || [ -f "$previous/SHA256SUMS" ] || fail "$previous is no backup" 66
[ -n "${DARKROOM_STORE:-}" ] || fail "DARKROOM_STORE is not set" 64
[ -r "${DARKROOM_SECRET_FILE:-}" ] || fail "DARKROOM_SECRET_FILE cannot be read" 66
darkroom=${DARKROOM_CLI:-darkroom}
redis_find "${DARKROOM_REDIS:-redis://127.0.0.1:6379/0}" "${DARKROOM_REDIS_PASSWORD_FILE:-}"
shards=$(redis get '{q:00}shards')
[ -n "$shards" ] || fail "there is no Darkroom in this Redis" 65

# hold COMMAND…: of the key that keeps housekeeping from deleting objects, in each shard
hold() {
    local shard
    for ((shard = 0; shard < shards; shard++)); do
        redis "$1" "$(printf '{q:%02x}hold' "$shard")" "${@:2}" >/dev/null
    done
}

keeper=''
end() {
    [ -z "$keeper" ] || kill "$keeper" 2>/dev/null || true
    hold del || true
}
trap end EXIT
trap 'exit 130' INT TERM
hold set 1 PX $HOLD_MS
(
    trap 'kill $!; exit' TERM
    while :; do
        sleep 60 &
        wait $!
        hold set 1 PX $HOLD_MS
    done
) >/dev/null 2>&1 &
keeper=$!

rm -rf "$part"
mkdir -p "$part"
[ -z "$previous" ] || cp -al "$previous/objects" "$part/objects"
started=$(date -u +%Y-%m-%dT%H:%M:%SZ)
# Records first: whatever they name was stored before, and is kept until it has been copied.
redis --rdb "$part/redis.rdb" >/dev/null 2>"$part/said" || fail "Redis gives no copy: $(tail -n 1 "$part/said")"
rm "$part/said"
"$darkroom" objects save "$part/objects" >"$part/SHA256SUMS"
rm -rf "$part/objects/.tmp"
cat >"$part/about" <<ABOUT
started $started
shards $shards
protocol $(redis get '{q:00}protocol')
secret $(secret_sum "$DARKROOM_SECRET_FILE")
ABOUT
(cd "$part" && sha256sum redis.rdb about >>SHA256SUMS)
sync -f "$part/SHA256SUMS"
mv "$part" "$folder"
echo "$folder: $(du -sh --apparent-size "$folder" | cut -f 1), $(grep -c ' objects/' "$folder/SHA256SUMS" || true) objects"
