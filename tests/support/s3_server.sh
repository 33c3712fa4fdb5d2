#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A real S3 server on loopback: Ceph's radosgw in front of one monitor and one in-memory OSD.
#
#     s3_server.sh start DIR       starts it with all its files in DIR and makes a bucket; writes
#                                  DIR/env (S3_ENDPOINT, S3_REGION, S3_BUCKET, S3_CREDENTIALS_FILE)
#     s3_server.sh stop DIR        stops what start has started there, by process id
#     s3_server.sh run COMMAND...  start in a temporary directory, COMMAND with those four in its
#                                  environment, stop; the exit status is COMMAND's
#
# S3_HOST in the environment is the address that it listens on (127.0.0.1), in a network namespace for example.
#
# Where radosgw is not installed (Debian: radosgw ceph-mon ceph-osd ceph-common curl
# python3-minimal) start ends with 77, and run prints a TAP line that skips. Starting takes 15 s.
set -euo pipefail

ACCESS_KEY=TESTACCESSKEY
SECRET_KEY=TESTSECRETKEY/with+signs
REGION=us-east-1
BUCKET=darkroom-test
HOST=${S3_HOST:-127.0.0.1}
EMPTY_SHA256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

skip() {
    echo "1..0 # SKIP $1"
    [ "$MODE" = run ] && exit 0
    exit 77
}

need() {
    local command
    for command in radosgw radosgw-admin ceph ceph-mon ceph-osd monmaptool curl python3; do
        [ -n "$(PATH=$PATH:/usr/sbin:/sbin command -v "$command")" ] ||
            skip "$command is not installed"
    done
}

# free_ports COUNT: held all at once, so that they differ
free_ports() {
    python3 -c '
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held))' "$1"
}

# No cephx: nothing but loopback reaches these ports, and they are gone after the test. The
# monitor's clients must speak crc, or without keys they wait for ever.
write_config() {
    local dir=$1 rgw_port=$2 v2_port=$3 v1_port=$4
    cat >"$dir/ceph.conf" <<EOF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
mon_host = [v2:127.0.0.1:$v2_port,v1:127.0.0.1:$v1_port]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
mon_data = $dir/mon
osd_data = $dir/osd
rgw_data = $dir/rgw
run_dir = $dir/run
admin_socket = $dir/run/\$name.asok
pid_file = $dir/run/\$name.pid
log_file = $dir/log/\$name.log
crash_dir = $dir/log
mon_cluster_log_file = $dir/log/cluster.log
osd_objectstore = memstore
memstore_device_bytes = 1073741824
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
osd_crush_chooseleaf_type = 0
osd_crush_update_on_start = false
rgw_enable_apis = s3, admin
rgw_dns_name = localhost
rgw_frontends = beast endpoint=$HOST:$rgw_port
EOF
}

# until_true SECONDS COMMAND...: polls
until_true() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# launch DIR NAME COMMAND...: in a session of its own, its process id in DIR/NAME.pid
launch() {
    local dir=$1 name=$2
    shift 2
    setsid "$@" >"$dir/$name.out" 2>&1 </dev/null &
    echo $! >"$dir/$name.pid"
}

fail() {
    echo "s3_server.sh: $2" >&2
    tail -n 5 "$1"/*.out >&2 || true
    stop "$1"
    exit 1
}

start() {
    local dir=$1 rgw_port v2_port v1_port conf endpoint
    need
    mkdir -p "$dir"/{mon,osd,rgw,run,log}
    dir=$(cd "$dir" && pwd)
    conf=$dir/ceph.conf
    export PATH=$PATH:/usr/sbin:/sbin CEPH_CONF=$conf
    read -r rgw_port v2_port v1_port < <(free_ports 3)
    write_config "$dir" "$rgw_port" "$v2_port" "$v1_port"
    endpoint=http://$HOST:$rgw_port

    monmaptool --create --addv a "[v2:127.0.0.1:$v2_port,v1:127.0.0.1:$v1_port]" \
        --fsid "$(sed -n 's/^fsid = //p' "$conf")" "$dir/monmap" >"$dir/setup.out" 2>&1
    touch "$dir/keyring"
    ceph-mon -c "$conf" -i a --mkfs --monmap "$dir/monmap" --keyring "$dir/keyring" \
        >>"$dir/setup.out" 2>&1
    launch "$dir" mon ceph-mon -c "$conf" -i a -f
    local osd_id
    osd_id=$(cat /proc/sys/kernel/random/uuid)
    timeout 30 ceph -c "$conf" osd new "$osd_id" 0 >>"$dir/setup.out" 2>&1 ||
        fail "$dir" "the monitor does not answer"
    ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd_id" >>"$dir/setup.out" 2>&1
    timeout 30 ceph -c "$conf" osd crush add osd.0 1.0 root=default host=test \
        >>"$dir/setup.out" 2>&1 || fail "$dir" "the OSD has no place"
    launch "$dir" osd ceph-osd -c "$conf" -i 0 -f
    until_true 30 osd_is_up "$conf" || fail "$dir" "the OSD does not come up"
    timeout 60 radosgw-admin -c "$conf" user create --uid=test --display-name=test \
        --access-key="$ACCESS_KEY" --secret-key="$SECRET_KEY" >>"$dir/setup.out" 2>&1 ||
        fail "$dir" "radosgw-admin cannot make a user"
    launch "$dir" rgw radosgw -c "$conf" -n client.rgw -f
    until_true 40 curl -s -o /dev/null "$endpoint/" || fail "$dir" "radosgw does not answer"

    (umask 077 && printf '%s\n%s\n' "$ACCESS_KEY" "$SECRET_KEY" >"$dir/credentials")
    printf 'user = "%s:%s"\n' "$ACCESS_KEY" "$SECRET_KEY" |
        curl -sS -f -o /dev/null -X PUT -K - --aws-sigv4 "aws:amz:$REGION:s3" \
            -H "x-amz-content-sha256: $EMPTY_SHA256" "$endpoint/$BUCKET" ||
        fail "$dir" "the bucket cannot be made"
    cat >"$dir/env" <<EOF
S3_ENDPOINT=$endpoint
S3_REGION=$REGION
S3_BUCKET=$BUCKET
S3_CREDENTIALS_FILE=$dir/credentials
EOF
}

osd_is_up() {
    timeout 10 ceph -c "$1" osd stat | grep -q '1 up'
}

stop() {
    local dir=$1 name pid
    for name in rgw osd mon; do
        [ -s "$dir/$name.pid" ] || continue
        pid=$(cat "$dir/$name.pid")
        kill "$pid" 2>/dev/null || true
        until_true 5 is_gone "$pid" || kill -9 "$pid" 2>/dev/null || true
        rm -f "$dir/$name.pid"
    done
}

is_gone() {
    ! kill -0 "$1" 2>/dev/null
}

run() {
    local status=0
    need
    S3_DIR=$(mktemp -d "${TMPDIR:-/tmp}/darkroom-s3-XXXXXX")
    trap 'stop "$S3_DIR"; rm -rf "$S3_DIR"' EXIT
    trap 'exit 130' INT TERM
    start "$S3_DIR"
    set -a
    . "$S3_DIR/env"
    set +a
    "$@" || status=$?
    exit "$status"
}

MODE=${1:-}
case $MODE in
start | stop)
    [ $# -eq 2 ] || { echo "usage: s3_server.sh $1 DIR" >&2; exit 64; }
    "$MODE" "$2"
    ;;
run)
    shift
    run "$@"
    ;;
*)
    echo "usage: s3_server.sh start DIR | stop DIR | run COMMAND..." >&2
    exit 64
    ;;
esac
