#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh [--large | --ours] [BUILD]: the queue's figures (docs/benchmarks.md), on redis-servers of its own.
#   (nothing)  our yardsticks, then ours beside BullMQ, Sidekiq, Celery and RQ: about five minutes
#   --ours     our yardsticks alone: about a minute
#   --large    ten million jobs queued, and before it ten million bare keys: 6 GB of memory and about three minutes
# The peers come from npm (pinned in tests/bench/peers) and Debian:
#   (cd tests/bench/peers && npm install --no-save)
#   apt-get install ruby-sidekiq python3-celery python3-rq python3-redis
# Whoever is missing is named and left out.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/../../.." && pwd)
what=all
case ${1:-} in
--large | --ours)
    what=${1#--}
    shift
    ;;
esac
BUILD=$(cd "${1:-$ROOT/build}" && pwd)
BENCH=$BUILD/tests/bench/queue/queue_bench

echo "$(uname -m), $(nproc) cores: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), load $(cut -d' ' -f1 /proc/loadavg)"
redis-server --version | cut -d' ' -f1-3
if [ "$what" = large ]; then
    "$BENCH" bare
    exec "$BENCH" large
fi
"$BENCH"
"$BENCH" --aof everysec --jobs 200000 submit drain
if [ "$what" = all ]; then
    exec /usr/bin/python3 "$(dirname "$0")/compare.py" "$BUILD"
fi
