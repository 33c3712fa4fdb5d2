#!/bin/sh
# SPDX-License-Identifier: MIT
# boot.sh ROLE...: a machine that has just started becomes a `worker`, or a `front` (Redis, dispatchers, notifier, nginx,
# scaling). /etc/darkroom/boot.env says what differs:
#
#     RELEASE_URL     of what deploy/release.sh made; any machine may read it
#     RELEASE_SHA256  what it has to be; an image of yours may have it in /usr/local already
#     SECRETS         ids of Secrets Manager, each with the folder for its files: ID=FOLDER…
#
# Harmless when repeated. Nothing secret stands in user data, which everything on the machine can read.
set -eu
umask 077
settings=${DARKROOM_BOOT:-/etc/darkroom/boot.env}
# shellcheck source=/dev/null
. "$settings"
programs=/usr/local

say() { echo "darkroom-boot: $*"; }

# again COMMAND...: the network and the role's credentials may be there a little later than we are.
again() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 30 ] || { say "given up: $1" >&2; return 1; }
        sleep 1
    done
}

release() {
    mark=$programs/share/darkroom/release.sha256
    if [ "$(cat "$mark" 2>/dev/null)" = "$RELEASE_SHA256" ]; then
        say "the release is here"
        return
    fi
    file=$(mktemp)
    again curl --fail --silent --show-error --location --connect-timeout 5 --max-time 120 --output "$file" "$RELEASE_URL"
    if ! echo "$RELEASE_SHA256  $file" | sha256sum --check --status; then
        rm -f "$file"
        say "what is at $RELEASE_URL has another checksum" >&2
        exit 65
    fi
    tar -C "$programs" -xzf "$file" --no-same-owner --no-overwrite-dir
    rm -f "$file"
    echo "$RELEASE_SHA256" >"$mark"
    say "the release is installed"
}

secrets() {
    for pair in $SECRETS; do
        mkdir -p "${pair#*=}"
        again "$programs/bin/darkroom" secrets "${pair%%=*}" "${pair#*=}" >/dev/null
    done
}

users() {
    chmod 755 /etc/darkroom
    systemd-sysusers darkroom.conf
    systemd-tmpfiles --create darkroom.conf
}

# The driver's device files: the worker itself must not make them.
devices() {
    if command -v nvidia-modprobe >/dev/null; then
        nvidia-modprobe -c 0 -u || say "no GPU" >&2
    fi
}

worker() {
    devices
    units="darkroom-worker.service darkroom.target"
}

redis() {
    share=$programs/share/darkroom/redis
    "$share/users.sh" /etc/darkroom >/etc/redis/users.acl
    printf '%s\n' "include $share/redis.conf" "aclfile /etc/redis/users.acl" "bind 127.0.0.1 $ADDRESS" \
        >/etc/redis/darkroom.conf
    grep -q '^include /etc/redis/darkroom.conf' /etc/redis/redis.conf ||
        echo 'include /etc/redis/darkroom.conf' >>/etc/redis/redis.conf
    chown redis:redis /etc/redis/users.acl /etc/redis/darkroom.conf
    systemctl restart redis-server.service
}

proxy() {
    cp "$programs/share/darkroom/nginx/darkroom.conf" "$programs/share/darkroom/nginx/upstream.conf" /etc/nginx/conf.d/
    chmod 644 /etc/nginx/conf.d/darkroom.conf /etc/nginx/conf.d/upstream.conf
    rm -f /etc/nginx/sites-enabled/default
    nginx -t -q
}

make_key() {
    "$programs/bin/darkroom" keys create --name autoscaler --scopes scale \
        --redis redis://darkroom-dispatcher@127.0.0.1:6379/0 --redis-password-file /etc/darkroom/redis-dispatcher.password \
        >/etc/darkroom/scale.key.new && mv /etc/darkroom/scale.key.new /etc/darkroom/scale.key
}

front() {
    redis
    proxy
    [ -s /etc/darkroom/scale.key ] || again make_key
    units="nginx.service darkroom-dispatcher@8080.service darkroom-dispatcher@8081.service darkroom-notifier.service
           darkroom-scale.service darkroom.target"
}

[ $# -gt 0 ] || { echo "usage: boot.sh worker|front" >&2; exit 64; }
release
secrets
users
for role in "$@"; do
    units=
    case $role in
    worker) worker ;;
    front) front ;;
    *) say "no such role: $role" >&2; exit 64 ;;
    esac
    systemctl daemon-reload
    # shellcheck disable=SC2086
    systemctl enable $units
    # shellcheck disable=SC2086
    systemctl restart --no-block $units
done
say "done"
