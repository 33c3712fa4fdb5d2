# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# For backup.sh and restore.sh: how redis-cli reaches the Redis that $DARKROOM_REDIS names.
#
#     redis_find "$DARKROOM_REDIS" "$DARKROOM_REDIS_PASSWORD_FILE"    # the file may be ''
#     redis ping

fail() {
    echo "${0##*/}: $1" >&2
    exit "${2:-74}"
}

# redis_words URL: sets $words, the options of redis-cli for unix: and redis[s]://
redis_words() {
    local url=$1 rest database=0 user=''
    words=()
    case $url in
    unix:*)
        rest=${url#unix:}
        [ "$rest" = "${rest%%\?db=*}" ] || database=${rest##*\?db=}
        words=(-s "${rest%%\?db=*}")
        ;;
    redis://* | rediss://*)
        rest=${url#*://}
        [ "$rest" = "${rest#*/}" ] || database=${rest#*/}
        rest=${rest%%/*}
        [ "$rest" = "${rest#*@}" ] || user=${rest%%@*}
        rest=${rest#*@}
        words=(-h "${rest%:*}")
        [ "$rest" = "${rest%:*}" ] || words+=(-p "${rest##*:}")
        [ -z "$user" ] || words+=(--user "$user")
        [ "$url" = "${url#rediss}" ] || words+=(--tls)
        [ -z "${DARKROOM_REDIS_CA_FILE:-}" ] || words+=(--cacert "$DARKROOM_REDIS_CA_FILE")
        ;;
    *) fail "DARKROOM_REDIS: unix:/path or redis://… is wanted, of the one server or its master; of a cluster save each master as its own tools do" 64 ;;
    esac
    words+=(-n "${database:-0}")
}

redis_find() {
    command -v redis-cli >/dev/null || fail "redis-cli is not installed"
    redis_words "$1"
    local password=''
    [ -z "$2" ] || password=$(head -n 1 "$2") || fail "the password of Redis cannot be read" 66
    [ -z "$password" ] || export REDISCLI_AUTH=$password
    [ "$(redis ping 2>&1)" = PONG ] || fail "Redis does not answer: $(redis ping 2>&1)" 69
}

redis() {
    redis-cli "${words[@]}" "$@"
}

# redis_secret FILE: what says that a secret is the same, and nothing else of it
secret_sum() {
    { echo darkroom-backup; cat "$1"; } | sha256sum | cut -c 1-64
}
