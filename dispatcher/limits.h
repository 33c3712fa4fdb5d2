/* SPDX-License-Identifier: MIT
 *
 * A token bucket for each client, in a table of fixed size.
 *
 *     rc = limits_create(&(struct limits_options){.per_minute = 60, .burst = 30}, &limits);
 *     if (!limits_take(limits, &key, clock_ms(), &wait_ms)) ...     // 429, Retry-After
 *
 * A bucket that has filled up again says nothing and is reused. When all places of a client's row
 * are taken by busy clients the fullest bucket gives way, so that memory stays bounded and the
 * greediest stay limited. One thread; time is given, never asked for. */
#ifndef DARKROOM_DISPATCHER_LIMITS_H
#define DARKROOM_DISPATCHER_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

struct client_key;
struct limits;

struct limits_options {
    int64_t per_minute; /* how fast a bucket fills; 0: no limit at all */
    int64_t burst;      /* what it holds */
};

int limits_create(const struct limits_options *options, struct limits **out);
void limits_destroy(struct limits **limits);

/* Takes one token. False: none is left, and the next comes in *out_wait_ms. */
bool limits_take(struct limits *limits, const struct client_key *key, int64_t now_ms,
                 int64_t *out_wait_ms);

#endif
