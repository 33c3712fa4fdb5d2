#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# try.sh [--stay] [PHOTO]: Darkroom on one machine. Installs what is missing, builds, starts Redis,
# dispatcher, notifier and worker on loopback, hands in a photo and shows what comes back.
#
# Everything that it starts it stops again (with --stay, on Ctrl-C). Everything that it writes is
# under .darkroom/ and build-try/ in this repository. Redis listens on a socket and on no port.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)
STATE=$ROOT/.darkroom
BUILD=$ROOT/build-try
LOGS=$STATE/logs
EMAIL=you@example.org
MODEL=portrait-drawing

. "$ROOT/deploy/packages.sh"

usage() {
    echo "usage: deploy/try.sh [--stay] [PHOTO]"
    echo "  --stay   keep running for the browser until Ctrl-C"
    echo "  PHOTO    JPEG, PNG or WebP; default: the portrait in docs/images/"
}

stay='' photo=''
for word in "$@"; do
    case $word in
    --stay) stay=yes ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 64 ;;
    *) photo=$word ;;
    esac
done
photo=${photo:-$ROOT/docs/images/astronaut.png}
[ -r "$photo" ] || { echo "try.sh: cannot read the photo '$photo'" >&2; exit 66; }

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

fail() {
    echo "try.sh: $1" >&2
    [ -z "${2:-}" ] || tail -5 "$2" >&2
    exit 1
}

# --- what was started here, and only that, is stopped here -----------------------------------
pids=()
stop_all() {
    local i pid
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do # Redis was first: it goes last
        pid=${pids[i]}
        kill -TERM "$pid" 2>/dev/null || continue
        wait "$pid" 2>/dev/null || true
    done
    rm -f "$STATE/url"
}

# start NAME COMMAND...: in a session of its own, so that Ctrl-C reaches only this script, which
# then stops the programs in order; output in logs/NAME.log
start() {
    local name=$1
    shift
    setsid "$@" >"$LOGS/$name.log" 2>&1 </dev/null &
    pids+=($!)
}

# until_true NAME CONDITION...: polls for at most 15 s, gives up early when NAME has ended
until_true() {
    local name=$1 pid=${pids[-1]} tries
    shift
    for ((tries = 0; tries < 300; tries++)); do
        "$@" && return 0
        kill -0 "$pid" 2>/dev/null || fail "$name ended:" "$LOGS/$name.log"
        sleep 0.05
    done
    fail "$name is not ready after 15 s:" "$LOGS/$name.log"
}

build() {
    if [ ! -f "$BUILD/build.ninja" ]; then
        echo "Building (a minute)"
        meson setup "$BUILD" "$ROOT" --buildtype=release -Dtests=false >"$LOGS/build.log" 2>&1 ||
            fail "meson could not configure:" "$LOGS/build.log"
    fi
    ninja -C "$BUILD" >"$LOGS/build.log" 2>&1 || fail "the build failed:" "$LOGS/build.log"
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

choose_port() {
    local port
    for port in $(seq 8080 8179); do
        port_is_free "$port" && { echo "$port"; return; }
    done
    fail "no free port from 8080 to 8179"
}

make_secrets() {
    local name
    for name in secret worker-token; do
        [ -s "$STATE/$name" ] ||
            (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$STATE/$name")
    done
}

redis_answers() { [ "$(redis-cli -s "$STATE/redis.sock" ping 2>/dev/null)" = PONG ]; }
log_says_ready() { grep -q "$1\.ready" "$LOGS/$1.log" 2>/dev/null; }

start_everything() {
    local port url
    port=$(choose_port)
    url=http://127.0.0.1:$port
    start redis redis-server --port 0 --unixsocket "$STATE/redis.sock" --unixsocketperm 700 \
        --dir "$STATE/redis" --appendonly yes --save '' --maxmemory-policy noeviction
    until_true redis redis_answers
    start dispatcher "$BUILD/dispatcher/darkroom-dispatcher" --listen "127.0.0.1:$port" \
        --redis "unix:$STATE/redis.sock" --store "local:$STATE/objects" --public-url "$url" \
        --models "$ROOT/models" --web "$BUILD/dispatcher/web" \
        --secret-file "$STATE/secret" --worker-token-file "$STATE/worker-token"
    until_true dispatcher log_says_ready dispatcher
    start notifier "$BUILD/dispatcher/darkroom-notifier" --redis "unix:$STATE/redis.sock" \
        --public-url "$url" --models "$ROOT/models" --secret-file "$STATE/secret" \
        --mail-from "darkroom@example.org" --outbox "$STATE/outbox" \
        --mail-per-address-hour 1000
    until_true notifier log_says_ready notifier
    start worker "$BUILD/worker/darkroom-worker" --redis "unix:$STATE/redis.sock" \
        --dispatcher "$url" --models "$ROOT/models" --worker-token-file "$STATE/worker-token"
    until_true worker log_says_ready worker
    echo "$url" >"$STATE/url"
}

newest_mail() { find "$STATE/outbox" -name '*.eml' -newer "$STATE/submitted" -print -quit; }

# The readable part of a mail, decoded.
mail_text() {
    /usr/bin/python3 - "$1" <<'PY'
import email, email.policy, sys
with open(sys.argv[1], "rb") as file:
    mail = email.message_from_binary_file(file, policy=email.policy.default)
for header in ("From", "To", "Subject"):
    print(f"{header}: {mail[header]}")
print()
print(mail.get_body(preferencelist=("plain",)).get_content().strip())
PY
}

show_result() {
    local url=$1 result=$STATE/result.png mail='' tries
    touch "$STATE/submitted"
    say "Handing in $photo"
    XDG_STATE_HOME=$STATE "$BUILD/dispatcher/darkroom" submit "$photo" --server "$url" \
        --model "$MODEL" --email "$EMAIL" --wait -o "$result"
    for ((tries = 0; tries < 200; tries++)); do
        mail=$(newest_mail)
        [ -z "$mail" ] || break
        sleep 0.05
    done
    [ -n "$mail" ] || fail "no mail in $STATE/outbox after 10 s:" "$LOGS/notifier.log"
    say "The e-mail ($mail)"
    mail_text "$mail" | sed 's/^/    /'
    say "The result:  $result"
    echo "It says of itself:"
    "$BUILD/dispatcher/darkroom" info "$result" | sed 's/^/    /'
    say "The page:    $(mail_text "$mail" | grep -o "$url/j/[^ ]*token=[^ ]*" | head -1)"
}

# A model that takes no picture: from the file alone it draws the same one again.
show_digits() {
    local url=$1 digits=$STATE/digits.png
    say "Another model draws $(date +%Y) by hand, and from that file the same again"
    XDG_STATE_HOME=$STATE "$BUILD/dispatcher/darkroom" submit --server "$url" --model digits \
        --param "number=\"$(date +%Y)\"" --param seed=2 -o "$digits" >/dev/null
    XDG_STATE_HOME=$STATE "$BUILD/dispatcher/darkroom" submit --server "$url" --from "$digits" \
        -o "$STATE/digits-again.png" >/dev/null
}

mkdir -p "$LOGS" "$STATE/redis" "$STATE/objects" "$STATE/outbox"
chmod 700 "$STATE"
packages_install "${PACKAGES_RUN[@]}"
make_secrets
build

# One set of processes per state directory: a second try.sh hands its photo to the first.
exec 9>"$STATE/lock"
if flock -n 9; then
    trap stop_all EXIT
    trap 'exit 130' INT TERM
    start_everything
elif [ -s "$STATE/url" ]; then
    echo "Using what another try.sh keeps running at $(cat "$STATE/url")"
    stay=''
else
    fail "another try.sh is just starting or stopping"
fi

show_result "$(cat "$STATE/url")"
show_digits "$(cat "$STATE/url")"
if [ -n "$stay" ]; then
    say "Open $(cat "$STATE/url")/ in a browser; Ctrl-C stops everything."
    wait "${pids[-1]}" || fail "the worker ended:" "$LOGS/worker.log"
fi
