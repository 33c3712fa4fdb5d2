/* SPDX-License-Identifier: MIT */
#include "common/backoff.h"

#include <sys/random.h>

int64_t backoff_next_ms(struct backoff *backoff)
{
    int64_t span_ms = backoff->base_ms;
    for (int i = 0; i < backoff->attempt && span_ms < backoff->max_ms; i++)
        span_ms *= 2;
    if (span_ms > backoff->max_ms)
        span_ms = backoff->max_ms;
    backoff->attempt++;

    uint32_t jitter = 0;
    /* Without randomness the wait is merely less spread. */
    if (getrandom(&jitter, sizeof jitter, GRND_NONBLOCK) < 0)
        jitter = 0;
    return span_ms - jitter % (uint32_t)(span_ms / 2 + 1);
}

void backoff_reset(struct backoff *backoff)
{
    backoff->attempt = 0;
}
