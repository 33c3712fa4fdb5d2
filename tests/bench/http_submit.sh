#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# http_submit.sh [BUILD] [SECONDS]: requests per second of the dispatcher over loopback with wrk, 64
# connections, wrk, redis-server (AOF, everysec) and dispatcher on the same cores. Four rows: no
# work at all, a look at a job (one round trip to Redis), a submission with a small picture (a file
# written and synced, one script), and the same with its files on tmpfs.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=$(cd "${1:-$ROOT/build}" && pwd)
SECONDS_EACH=${2:-5}
DIR=$(mktemp -d)
SHM=$(mktemp -d -p /dev/shm)
pids=()

finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$DIR" "$SHM"
}
trap finish EXIT

mkdir "$DIR/redis" "$DIR/models"
(umask 077 && for name in secret token; do od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$DIR/$name"; done)
cp "$ROOT"/models/*.json "$DIR/models"

redis-server --port 0 --unixsocket "$DIR/redis.sock" --dir "$DIR/redis" --appendonly yes \
    --appendfsync everysec --save '' --maxmemory-policy noeviction >"$DIR/redis.log" &
pids+=($!)
until redis-cli -s "$DIR/redis.sock" ping >/dev/null 2>&1; do sleep 0.05; done

# start_dispatcher OBJECTS
start_dispatcher() {
    "$BUILD/dispatcher/darkroom-dispatcher" --listen 127.0.0.1:0 --port-file "$DIR/port" \
        --redis "unix:$DIR/redis.sock" --store "local:$1" --models "$DIR/models" --log warn \
        --secret-file "$DIR/secret" --worker-token-file "$DIR/token" --submits-per-minute 0 \
        --max-flow-queued 10000000 2>"$DIR/dispatcher.log" &
    dispatcher=$!
    pids+=("$dispatcher")
    until curl -sf "http://127.0.0.1:$(cat "$DIR/port" 2>/dev/null)/readyz" >/dev/null 2>&1; do sleep 0.05; done
    url=http://127.0.0.1:$(cat "$DIR/port")
}

# row NAME WRK-ARGUMENT...
row() {
    local name=$1
    shift
    wrk -t1 -c64 -d"${SECONDS_EACH}s" --latency "$@" >"$DIR/wrk.txt"
    printf '%-34s %10s/s  p50 %-8s p99 %-8s %s\n' "$name" \
        "$(awk '/Requests\/sec/ {print $2}' "$DIR/wrk.txt")" \
        "$(awk '$1 == "50%" {print $2}' "$DIR/wrk.txt")" "$(awk '$1 == "99%" {print $2}' "$DIR/wrk.txt")" \
        "$(grep -E 'Non-2xx|Socket errors' "$DIR/wrk.txt" | tr -s ' ' || true)"
}

# An 8 x 8 PNG of one colour.
picture=$(/usr/bin/python3 -c 'import base64, sys; sys.path.insert(0, sys.argv[1])
import darkroom; print(base64.b64encode(darkroom.png(8, 8)).decode())' "$ROOT/tests/support")
model=$(basename "$(find "$DIR/models" -name '*.json' | head -1)" .json)
body="{\"model\":\"$model\",\"input\":\"$picture\",\"email\":\"somebody@example.org\"}"
printf 'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [[%s]]\n' "$body" >"$DIR/submit.lua"

start_dispatcher "$DIR/objects"
row 'GET /healthz' "$url/healthz"
answer=$(curl -sf -H 'Content-Type: application/json' -d "$body" "$url/v1/jobs")
id=$(sed 's/.*"id":"\([^"]*\)".*/\1/' <<<"$answer")
token=$(sed 's/.*"view":"\([^"]*\)".*/\1/' <<<"$answer")
row 'GET /v1/jobs/{id}' "$url/v1/jobs/$id?token=$token"
row "POST /v1/jobs, files on disk" -s "$DIR/submit.lua" "$url/v1/jobs"
kill "$dispatcher"
wait "$dispatcher" || true
rm "$DIR/port"
start_dispatcher "$SHM/objects"
row 'POST /v1/jobs, files on tmpfs' -s "$DIR/submit.lua" "$url/v1/jobs"
echo "resident after all that: $(awk '/VmRSS/ {print $2, $3}' "/proc/$dispatcher/status")"
