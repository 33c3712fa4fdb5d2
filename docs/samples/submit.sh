#!/bin/sh
# SPDX-License-Identifier: MIT
# submit.sh PICTURE RESULT: hands in a picture, waits for the result and saves it. Needs curl and jq.
# DARKROOM_URL says where, DARKROOM_MODEL which model; DARKROOM_KEY is an API key, if there is one.
set -eu
url=${DARKROOM_URL:-http://127.0.0.1:8080} model=${DARKROOM_MODEL:-portrait-drawing}
set -- "$1" "$2" ${DARKROOM_KEY:+-H "Authorization: Bearer $DARKROOM_KEY"}
picture=$1 result=$2
shift 2

# The same key again would be the same job: it is safe to repeat this call when the line breaks.
job=$(curl --fail-with-body -sS "$url/v1/jobs" "$@" -H "Idempotency-Key: $(uuidgen)" -H 'Prefer: wait=20' \
    -F "model=$model" -F "input=@$picture") || { echo "refused: $job" >&2; exit 1; }
id=$(echo "$job" | jq -r .id) token=$(echo "$job" | jq -r .tokens.view)

# Each of these calls is answered when the job has ended, or after 20 seconds.
while state=$(echo "$job" | jq -r .state); [ "$state" = queued ] || [ "$state" = running ] || [ "$state" = delayed ]; do
    job=$(curl --fail-with-body -sS "$url/v1/jobs/$id" -H "Authorization: Bearer $token" -H 'Prefer: wait=20')
done
[ "$state" = succeeded ] || { echo "$job" | jq -c '[.state, .error]' >&2; exit 1; }

# The answer leads to a link that is good for some minutes.
curl --fail -sSL "$url/v1/jobs/$id/result?token=$token" -o "$result"
