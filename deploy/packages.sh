#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Which Debian packages Darkroom needs, and how to install what is missing of them. Sourced by
# deploy/try.sh and tests/run.sh:
#
#     . deploy/packages.sh
#     packages_install "${PACKAGES_RUN[@]}"
#
# Works as root or with sudo; does nothing, and needs no network, when all are there.

# To build and run everything on one machine.
PACKAGES_RUN=(gcc libc6-dev meson ninja-build pkg-config python3-minimal
    libhiredis-dev libmicrohttpd-dev libcurl4-openssl-dev libjansson-dev libpng-dev
    libjpeg62-turbo-dev libwebp-dev libheif-dev libdnnl-dev libhdf5-dev libssl-dev
    redis-server redis-tools ca-certificates nodejs npm)

# For -Dcuda=enabled, beside CUDA itself: what nvcc compiles the host's side with.
PACKAGES_CUDA=(g++)

# What the tests need beyond that: compilers and checkers, a browser, an SMTP and an S3 server,
# Prometheus' promtool, PyTorch as the independent reference.
PACKAGES_TEST=(git g++ clang libclang-rt-14-dev clang-format cppcheck lua5.1 curl openssl
    chromium fonts-wqy-microhei libheif-examples python3-aiosmtpd python3-jsonschema jq uuid-runtime python3-torch python3-numpy python3-h5py python3-pil
    exiv2 prometheus radosgw ceph-mon ceph-osd ceph-common systemd nginx-light patchelf python3-yaml iproute2)

packages_missing() {
    local package installed
    # One call for all: it is asked at each start of try.sh.
    installed=$'\n'$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)$'\n'
    for package in "$@"; do
        # A nodejs that is not Debian's brings its own npm and conflicts with Debian's.
        [ "$package" = npm ] && command -v npm >/dev/null && continue
        [[ $installed == *$'\n'"$package installed"$'\n'* ]] || printf '%s\n' "$package"
    done
}

packages_as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "Installing packages needs root or sudo: $*" >&2
        return 1
    fi
}

# Debian starts a server when it installs one. Ours start their own on a socket of their own, so
# nothing may be left behind on port 6379: services are held back during the installation, and a
# Redis or Prometheus that came with it is not enabled for the next boot either. A policy that was there before
# comes back, however the installation ends: hence the subshell with its own trap.
packages_install_quietly() (
    guard=/usr/sbin/policy-rc.d kept=/usr/sbin/policy-rc.d.darkroom-kept had_redis='' had_prometheus=''
    status=0
    dpkg-query -W redis-server >/dev/null 2>&1 && had_redis=yes
    dpkg-query -W prometheus >/dev/null 2>&1 && had_prometheus=yes
    trap 'packages_as_root rm -f "$guard"
          [ ! -e "$kept" ] || packages_as_root mv "$kept" "$guard"' EXIT
    [ ! -e "$guard" ] || packages_as_root mv "$guard" "$kept"
    printf '#!/bin/sh\nexit 101\n' | packages_as_root tee "$guard" >/dev/null
    packages_as_root chmod 755 "$guard"
    packages_as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
        --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" || status=$?
    # What `systemctl disable` removes; by hand, for a system that has no systemd yet.
    [ -n "$had_redis" ] || packages_as_root rm -f /etc/systemd/system/redis.service \
        /etc/systemd/system/multi-user.target.wants/redis-server.service
    [ -n "$had_prometheus" ] || packages_as_root rm -f \
        /etc/systemd/system/multi-user.target.wants/prometheus.service
    exit "$status"
)

packages_install() {
    local missing log
    mapfile -t missing < <(packages_missing "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0
    log=$(mktemp)
    echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
    if ! { packages_as_root apt-get update -q && packages_install_quietly "${missing[@]}"; } \
        >"$log" 2>&1; then
        tail -20 "$log" >&2
        echo "Could not install: ${missing[*]} (the whole log: $log)" >&2
        return 1
    fi
    rm -f "$log"
}

# packages_unpack PACKAGE FOLDER: the files of a package that is not to be installed, such as one that would take charge of
# this machine at its next start.
packages_unpack() {
    [ ! -d "$2/usr" ] || return 0
    local folder
    folder=$(mktemp -d)
    chmod 755 "$folder"
    if (cd "$folder" && apt-get download -q "$1") >/dev/null 2>&1; then
        dpkg-deb -x "$folder"/*.deb "$2"
    else
        echo "Could not download: $1" >&2
    fi
    rm -rf "$folder"
}
