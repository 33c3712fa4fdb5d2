#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh [--jobs N --kills N | --minutes M | --long] [--seed S] [--keep FOLDER] [SCENARIO...]
#
# Kills, stops, cuts off and turns back everything that Darkroom is made of while clients use it, and
# judges what the clients saw. Without options the short version, which takes less than 3 minutes.
#
#   --jobs, --kills, --minutes   how much of the random kills; the other scenarios at full length
#   --long                       every scenario at the length that docs/reliability.md quotes
#   --seed                       repeats the random choices of a run; it is printed with each
#   --keep                       copies every client's history there
#   --upgrade-from REVISION      the scenario `upgrade` from the programs of this revision, which are built for it
#   --list                       what there is
#
# Wants a build in $DARKROOM_BUILD (./build if that is not set). All servers are its own, on loopback
# and in a temporary folder; all end with it, interrupted or not.
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
export DARKROOM_BUILD=${DARKROOM_BUILD:-$ROOT/build}
exec /usr/bin/python3 "$ROOT/tests/chaos/chaos.py" "$@"
