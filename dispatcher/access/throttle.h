/* SPDX-License-Identifier: MIT
 *
 * What a submission costs its client: one token, of the API key or of the visitor's address.
 *
 *     void submit_headers(...) { throttle_take(call, open_body); }
 *
 * The buckets are in Redis, counted once however many dispatchers there are (limits.h). Loop's
 * thread only. */
#ifndef DARKROOM_DISPATCHER_ACCESS_THROTTLE_H
#define DARKROOM_DISPATCHER_ACCESS_THROTTLE_H

#include "dispatcher/access/limits.h"

struct call;
struct dispatcher;

/* In every call; of this module. */
struct throttle_wait {
    struct limits_wait limits;
    struct call *call;
    void (*then)(struct call *call);
};

int throttle_create(struct dispatcher *dispatcher, struct limits **out);

/* From a route's `headers`: `then` is called at once or when Redis has answered, the exchange on
 * hold meanwhile. Not at all where no token is left: 429 was answered, with Retry-After. */
void throttle_take(struct call *call, void (*then)(struct call *call));

#endif
