/* SPDX-License-Identifier: MIT
 *
 * SIGTERM and SIGINT as a flag and a descriptor. The first signal asks for a drain; a second one
 * ends the process at once, for whoever waits at a terminal. SIGPIPE is ignored.
 * Call stop_init() in main before any thread starts; the rest from any thread. */
#ifndef DARKROOM_COMMON_STOP_H
#define DARKROOM_COMMON_STOP_H

#include <stdbool.h>

void stop_init(void);

/* True once a stop was asked for. */
bool stop_requested(void);

/* Readable (poll, epoll) once a stop was asked for; never read from it, so that it stays so. */
int stop_fd(void);

/* What the signal does, for a caller with another reason to drain (a spot notice). */
void stop_request(void);

#endif
