/* SPDX-License-Identifier: MIT
 *
 * What a client would rather have: the header Prefer (RFC 7240).
 *
 *     int64_t seconds = prefer_wait("respond-async, wait=20", 50);    // 20
 *
 * Preferences that are not known are ignored, and so is one that cannot be read, as the standard
 * wants it. Pure; any thread. */
#ifndef DARKROOM_DISPATCHER_HTTP_PREFER_H
#define DARKROOM_DISPATCHER_HTTP_PREFER_H

#include <stdint.h>

/* The seconds of the first `wait`, at most `most`; 0 where there is none. `list` is the header's
 * lines, joined by commas; NULL: there is no such header. */
int64_t prefer_wait(const char *list, int64_t most);

#endif
