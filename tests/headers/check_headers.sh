#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# check_headers.sh ROOT COMPILER...: every header of the four layers compiles alone, and twice.
# CUDA headers are left to nvcc, headers of a library that is not installed to machines that have it.
set -euo pipefail

cd "$1"
shift
flags=(-std=c17 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wno-unused-parameter -Werror -I. -fsyntax-only)
for package in hiredis libcurl jansson libpng libjpeg libwebp libheif libcrypto libmicrohttpd; do
    read -ra extra < <(pkg-config --cflags "$package" 2>/dev/null || true; echo)
    flags+=("${extra[@]}")
done

count=0 failed=0
while read -r header; do
    count=$((count + 1))
    if printf '#include "%s"\n#include "%s"\ntypedef int not_empty;\n' "$header" "$header" |
        "$@" "${flags[@]}" -x c - 2>"/tmp/check_headers.$$"; then
        echo "ok $count - $header"
    else
        sed 's/^/# /' "/tmp/check_headers.$$"
        echo "not ok $count - $header"
        failed=1
    fi
done < <(find common gpu worker dispatcher -name '*.h' -not -path 'gpu/cuda/*' -not -path '*/node_modules/*' | sort)
rm -f "/tmp/check_headers.$$"
echo "1..$count"
exit "$failed"
