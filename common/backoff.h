/* SPDX-License-Identifier: MIT
 *
 * How long to wait before trying again: doubling, capped, with full jitter, so that a fleet whose
 * server comes back doesn't return in step.
 *
 *     struct backoff backoff = {.base_ms = 50, .max_ms = 2000};
 *     wait(backoff_next_ms(&backoff));    // 25…50, then 50…100, …, 1000…2000
 *     backoff_reset(&backoff);            // after a success
 *
 * Never waits itself. A struct belongs to one thread. */
#ifndef DARKROOM_COMMON_BACKOFF_H
#define DARKROOM_COMMON_BACKOFF_H

#include <stdint.h>

struct backoff {
    int64_t base_ms;
    int64_t max_ms;
    int attempt; /* failures so far */
};

/* Counts a failure; the wait lies in the upper half of the doubled time, so that it grows for
 * sure and never is zero. */
int64_t backoff_next_ms(struct backoff *backoff);

void backoff_reset(struct backoff *backoff);

#endif
