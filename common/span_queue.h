/* SPDX-License-Identifier: MIT
 *
 * Spans on their way from those who work to the thread that sends them: a ring of fixed size.
 *
 *     rc = span_queue_create(2048, &queue);
 *     span_queue_put(queue, spans, 3);                           // any thread; never waits for
 * room count = span_queue_take(queue, batch, 512, 1000);          // one thread
 *     span_queue_close(queue);
 *
 * What finds no room is dropped and counted: a collector that is away costs spans, never a job's
 * time. The oldest are kept and leave in their order. Any thread, but one that takes. */
#ifndef DARKROOM_COMMON_SPAN_QUEUE_H
#define DARKROOM_COMMON_SPAN_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span;
struct span_queue;

int span_queue_create(size_t capacity, struct span_queue **out_queue);
void span_queue_destroy(struct span_queue **queue); /* harmless on NULL */

/* Copies them, and takes what they own, kept or not. All of one call or none. */
void span_queue_put(struct span_queue *queue, struct span *spans, size_t count);

/* Waits until `count` are there, max_wait_ms are over, or the queue is closed; then moves at most
 * `count`. The spans are owned by the caller. 0: none came in time. */
size_t span_queue_take(struct span_queue *queue, struct span *out_spans, size_t count,
                       int64_t max_wait_ms);

/* Sleeps until it is closed, max_wait_ms at most. True: it is closed. */
bool span_queue_wait_closed(struct span_queue *queue, int64_t max_wait_ms);

/* Nothing is kept from now on; what is inside can be taken. */
void span_queue_close(struct span_queue *queue);

uint64_t span_queue_dropped(struct span_queue *queue);

#endif
