#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh [--minutes N | --short] [--seed S] [--keep FOLDER] [SCENARIO...]
#
# A fleet of hosts, each a network namespace, under a steady load: two dispatchers behind nginx, a notifier, six
# workers, three Redis with a Sentinel each, an S3 server, receivers of mail and webhooks. Lines between them are
# cut, lose and delay frames; hosts vanish and come back; the fleet is replaced program by program. The clients of
# tests/chaos write down what they see, and its checker judges that.
#
#   --minutes   each scenario once, then in random order until so many are over
#   --short     a handful of hosts without S3, one partition and one host that vanishes
#   --seed      repeats the random choices of a run; it is printed with each
#   --keep      copies every client's history and all logs there
#   --list      what there is
#
# Wants a build in $DARKROOM_BUILD (./build if that is not set), root or user namespaces, and /dev/net/tun: where a
# kernel has none of that it says so and skips. Everything happens inside mount, process and network namespaces of
# its own, with its files in a tmpfs of theirs: they end with this script, however it ends.
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
export DARKROOM_BUILD=${DARKROOM_BUILD:-$ROOT/build} PATH=$PATH:/usr/sbin:/sbin

skip() {
    echo "1..0 # SKIP $1"
    exit 0
}

for command in ip nsenter unshare nginx redis-server openssl; do
    command -v "$command" >/dev/null || skip "$command is not installed"
done
own=(unshare --mount --net --pid --ipc --fork --kill-child --mount-proc)
[ "$(id -u)" = 0 ] || own+=(--user --map-root-user)
"${own[@]}" sh -c 'mount -t tmpfs none /run && mkdir /run/netns && ip netns add probe' 2>/dev/null ||
    skip "this machine lets us make no namespaces"
"${own[@]}" sh -c 'ip tuntap add probe mode tap' 2>/dev/null || skip "there is no /dev/net/tun for us"

# A shell in between, which is process 1 in there and takes in what servers leave behind.
exec "${own[@]}" bash -c '
    mount -t tmpfs none /run
    export TMPDIR=/run
    /usr/bin/python3 "$@"
    exit $?' hosts "$ROOT/tests/hosts/hosts.py" "$@"
