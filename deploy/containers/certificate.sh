#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# certificate.sh FOLDER [NAME]: a certificate of its own authority for NAME (localhost) and its key, as certificate.pem and
# key.pem, where there are none yet; as root. To try nginx with TLS: nobody trusts it who was not told to.
set -euo pipefail

[ $# = 1 ] || [ $# = 2 ] || { echo "usage: certificate.sh FOLDER [NAME]" >&2; exit 64; }
folder=$1 name=${2:-localhost}
[ ! -e "$folder/certificate.pem" ] || exit 0
case $name in
*[!0-9.]*) names=DNS:$name ;;
*) names=IP:$name ;;
esac
mkdir -p "$folder"
umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj "/CN=$name" \
    -addext "subjectAltName=$names" -keyout "$folder/key.pem" -out "$folder/certificate.pem"
chmod 644 "$folder/certificate.pem"
