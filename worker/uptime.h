/* SPDX-License-Identifier: MIT
 *
 * Time since exec, dynamic linking included, for the log lines of the start. Any thread. */
#ifndef DARKROOM_WORKER_UPTIME_H
#define DARKROOM_WORKER_UPTIME_H

#include <stdint.h>

/* Milliseconds, to the kernel's tick (10 ms); -1 where /proc is missing. */
int64_t uptime_ms(void);

#endif
