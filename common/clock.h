/* SPDX-License-Identifier: MIT
 *
 * The two clocks. Deadlines use the monotonic one; the wall clock is only for what people read.
 * Leases use neither: they live by Redis' own TIME. Any thread. */
#ifndef DARKROOM_COMMON_CLOCK_H
#define DARKROOM_COMMON_CLOCK_H

#include <stdint.h>

/* Milliseconds, respectively microseconds, since an arbitrary start; never goes back. */
int64_t clock_ms(void);
int64_t clock_us(void);

/* Milliseconds, respectively microseconds, since 1970 UTC. */
int64_t clock_wall_ms(void);
int64_t clock_wall_us(void);

/* "2026-01-05T10:11:12.345Z" and its terminator. RFC 3339, UTC. */
#define CLOCK_ISO_SIZE 25
void clock_iso(int64_t wall_ms, char out[CLOCK_ISO_SIZE]);
/* Reads such a time, with or without a fraction of up to three digits; the zone must be Z.
 * ERR_INVALID for anything else. */
int clock_parse_iso(const char *text, int64_t *out_wall_ms);

#endif
