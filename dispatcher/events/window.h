/* SPDX-License-Identifier: MIT
 *
 * The last changes of a shard's jobs, in memory: what happened while a client was away.
 *
 *     window_init(&window, 65536);
 *     window_add(&window, &event);                       // in the order of the stream
 *     if (window_covers(&window, after))                 // nothing after it is missing here
 *         while ((change = window_next(&window, &cursor, public_id, after, until))) ...
 *     window_fini(&window);
 *
 * Thousands come back at once when a dispatcher was restarted. Asked of Redis, each of them would
 * cost a walk over the whole stream; here a walk over some megabytes at worst. Grows up to its
 * maximum, then forgets the oldest. Ids are "<ms>-<seq>". Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_EVENTS_WINDOW_H
#define DARKROOM_DISPATCHER_EVENTS_WINDOW_H

#include "common/queue.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct window_id {
    uint64_t ms, sequence;
};

struct window_change {
    struct window_id id;
    char public_id[ID_PUBLIC_SIZE - 1]; /* without a terminator */
    uint8_t state;                      /* enum job_state; 0: erased */
    uint16_t progress;                  /* per mille */
};

struct window {
    struct window_change *changes; /* owned; a ring once it is full */
    size_t first, count, capacity, max;
    struct window_id floor, last; /* covered are ids from floor on; last: the newest entry */
};

void window_init(struct window *window, size_t max_changes);
void window_fini(struct window *window);
/* Forgets everything. */
void window_clear(struct window *window);
/* Without memory it covers less. */
void window_add(struct window *window, const struct queue_event *event);

/* {0, 0} for a text that is no id. */
struct window_id window_id_parse(const char *text);
/* Negative, 0 or positive, as `a` is before, the same as or after `b`. */
int window_id_compare(struct window_id a, struct window_id b);

bool window_covers(const struct window *window, struct window_id after);
/* The next change of the job in (after, until]; *cursor begins at 0. NULL: there is none left.
 * Borrowed until the next window_add(). */
const struct window_change *window_next(const struct window *window, size_t *cursor,
                                        const char *public_id, struct window_id after,
                                        struct window_id until);

#endif
