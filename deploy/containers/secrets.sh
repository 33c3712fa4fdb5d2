#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# secrets.sh FOLDER: makes the secrets of compose.yaml that are not there yet, for root and the group of the images.
set -euo pipefail

[ $# = 1 ] || { echo "usage: secrets.sh FOLDER" >&2; exit 64; }
umask 077
mkdir -p "$1"
for name in secret worker-token redis-{dispatcher,notifier,worker,operator}.password grafana-admin.password; do
    [ -s "$1/$name" ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$1/$name"
done
[ -s "$1/s3-credentials" ] ||
    printf 'darkroom\n%s\n' "$(od -An -N20 -tx1 /dev/urandom | tr -d ' \n')" >"$1/s3-credentials"
# Where we are not root the group stays, and only its owner reads them.
chmod 440 "$1"/*
[ "$(id -u)" != 0 ] || chgrp 65532 "$1"/*
