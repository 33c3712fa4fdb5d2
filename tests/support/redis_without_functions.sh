#!/bin/sh
# SPDX-License-Identifier: MIT
# For DARKROOM_REDIS_SERVER: a redis-server that knows no FCALL, as before 7.0, so that scripts go by their hash.
exec redis-server "$@" --rename-command FCALL ''
