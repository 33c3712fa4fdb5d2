#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# http_submit.sh [BUILD] [SECONDS]: requests per second of the dispatcher over loopback with wrk, 64
# connections; wrk, redis-server and dispatcher on the same cores. Wants wrk (apt-get install wrk).
# Beside it in the same run, fastify with BullMQ, where its packages lie in tests/bench/peers
# (npm install --no-save there). Each row says what the dispatcher and Redis used of the CPU for one request, too: on
# a machine that others use that is what can be compared.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=$(cd "${1:-$ROOT/build}" && pwd)
SECONDS_EACH=${2:-5}
PEERS=$ROOT/tests/bench/peers
DIR=$(mktemp -d)
SHM=$(mktemp -d -p /dev/shm)
pids=()

finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$DIR" "$SHM"
}
trap finish EXIT

mkdir "$DIR/models"
(umask 077 && for name in secret token; do od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$DIR/$name"; done)
cp "$ROOT"/models/portrait-drawing.json "$DIR/models"
cat >"$DIR/models/dice.json" <<'JSON'
{"name": "dice", "title": "Dice", "description": "Only parameters.", "architecture": "ugatit", "variant": "pytorch",
 "weights": {"file": "dice.safetensors"}, "input": {"kind": "none"},
 "params": {"type": "object", "additionalProperties": false, "properties": {
   "seed": {"type": "integer", "minimum": 0, "maximum": 1000000, "default": 1},
   "prompt": {"type": "string", "maxLength": 500, "default": ""}}},
 "output": {"kind": "image", "content_type": "image/png"}, "batch": {"max": 1}, "cost_ms": 300,
 "max_attempts": 3, "timeout_ms": 60000, "license": "MIT", "training": "None."}
JSON

redis= server=
# start_redis FSYNC: an empty one.
start_redis() {
    stop "$server"
    server=
    stop "$redis"
    rm -rf "$DIR/redis"
    mkdir "$DIR/redis"
    redis-server --port 0 --unixsocket "$DIR/redis.sock" --dir "$DIR/redis" --appendonly yes \
        --appendfsync "$1" --save '' --maxmemory-policy noeviction >"$DIR/redis.log" &
    redis=$!
    pids+=("$redis")
    until redis-cli -s "$DIR/redis.sock" ping >/dev/null 2>&1; do sleep 0.05; done
}

stop() {
    [ -n "$1" ] || return 0
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

await() {
    until curl -s -o "$DIR/null" "http://127.0.0.1:$(cat "$DIR/port" 2>/dev/null)/$1" 2>/dev/null; do sleep 0.05; done
    url=http://127.0.0.1:$(cat "$DIR/port")
}

# start_dispatcher OBJECTS [OPTION...]
start_dispatcher() {
    local objects=$1
    shift
    stop "$server"
    rm -f "$DIR/port"
    "$BUILD/dispatcher/darkroom-dispatcher" --listen 127.0.0.1:0 --port-file "$DIR/port" \
        --redis "unix:$DIR/redis.sock" --store "local:$objects" --models "$DIR/models" \
        --secret-file "$DIR/secret" --worker-token-file "$DIR/token" --submits-per-minute 0 \
        --max-flow-queued 100000000 --max-queued 100000000 "$@" 2>"$DIR/dispatcher.log" &
    server=$!
    pids+=("$server")
    await readyz
}

start_peer() {
    stop "$server"
    rm -f "$DIR/port"
    mkdir -p "$DIR/pictures"
    node "$PEERS/fastify.mjs" "$DIR/redis.sock" "$DIR/pictures" "$DIR/port" &
    server=$!
    pids+=("$server")
    await ''
}

cpu() { awk '{print $14 + $15}' "/proc/$1/stat"; }

# row NAME WRK-ARGUMENT...
row() {
    local name=$1 before_server before_redis
    shift
    before_server=$(cpu "$server")
    before_redis=$(cpu "$redis")
    wrk -t1 -c64 -d"${SECONDS_EACH}s" --latency "$@" >"$DIR/wrk.txt"
    awk -v name="$name" -v server=$(($(cpu "$server") - before_server)) \
        -v redis=$(($(cpu "$redis") - before_redis)) '
        /Requests\/sec/ {rate = $2} $1 == "50%" {p50 = $2} $1 == "99%" {p99 = $2}
        /requests in/ {n = $1} /Non-2xx|Socket errors/ {bad = bad $0}
        END {printf "%-44s %8.0f/s  p50 %-8s p99 %-8s  CPU %6.1f us, Redis %5.1f us %s\n", name, rate, p50, p99,
             server * 1e4 / n, redis * 1e4 / n, bad}' "$DIR/wrk.txt"
}

# Three bodies: 300 bytes of JSON, a form with a picture of 60 KB, JSON with a picture of 8 x 8.
/usr/bin/python3 - "$ROOT/tests/support" "$DIR" <<'PYTHON'
import base64, json, pathlib, random, sys
sys.path.insert(0, sys.argv[1])
import darkroom, workbench
folder = pathlib.Path(sys.argv[2])

def script(name, kind, body):
    (folder / f"{name}.body").write_bytes(body)
    (folder / f"{name}.lua").write_text(
        f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "{kind}"\n'
        f'local file = io.open("{folder}/{name}.body", "rb")\nwrk.body = file:read("*a")\nfile:close()\n')

small = {"model": "dice", "params": {"seed": 42, "prompt": ""}}
small["params"]["prompt"] = "x" * (300 - len(json.dumps(small)))
script("small", "application/json", json.dumps(small).encode())
noise = workbench.rgb_png(141, 141, random.Random(1).randbytes(3 * 141 * 141))
script("form", *darkroom.multipart([("model", "portrait-drawing"), ("input", noise, "a.png")]))
script("file", *darkroom.multipart([("input", noise, "a.png")]))
picture = base64.b64encode(darkroom.png(8, 8)).decode()
script("tiny", "application/json", json.dumps(
    {"model": "portrait-drawing", "input": picture, "email": "somebody@example.org"}).encode())
PYTHON

start_redis everysec
start_dispatcher "$DIR/objects"
row 'GET /healthz: HTTP alone' "$url/healthz"
answer=$(curl -sf -H 'Content-Type: application/json' -d "@$DIR/small.body" "$url/v1/jobs")
id=$(sed 's/.*"id":"\([^"]*\)".*/\1/' <<<"$answer")
token=$(sed 's/.*"view":"\([^"]*\)".*/\1/' <<<"$answer")
row 'GET /v1/jobs/{id}' "$url/v1/jobs/$id?token=$token"
row 'POST 300 bytes of JSON, everysec' -s "$DIR/small.lua" "$url/v1/jobs"
row 'POST a small picture, synced' -s "$DIR/tiny.lua" "$url/v1/jobs"
start_redis always
start_dispatcher "$DIR/objects"
row 'POST 300 bytes of JSON, always' -s "$DIR/small.lua" "$url/v1/jobs"
start_redis everysec
start_dispatcher "$DIR/unsynced" --store-sync=no
row 'POST a form with 60 KB, not synced' -s "$DIR/form.lua" "$url/v1/jobs"
start_dispatcher "$SHM/objects" --store-sync=no
row 'POST a form with 60 KB, tmpfs' -s "$DIR/form.lua" "$url/v1/jobs"

if [ ! -d "$PEERS/node_modules/fastify" ]; then
    echo "fastify with BullMQ: not there (npm install --no-save in tests/bench/peers)"
    exit 0
fi
start_redis everysec
start_peer
row 'fastify + BullMQ: 300 bytes, everysec' -s "$DIR/small.lua" "$url/v1/jobs"
row 'fastify + BullMQ: 60 KB, not synced' -s "$DIR/file.lua" "$url/v1/pictures"
start_redis always
start_peer
row 'fastify + BullMQ: 300 bytes, always' -s "$DIR/small.lua" "$url/v1/jobs"
