/* SPDX-License-Identifier: MIT
 *
 * What a dispatcher measures: its requests, and the queue's counters as Prometheus text.
 *
 *     rc = measures_create(&metrics);
 *     measures_count_request(metrics, "submit", 202, 3);
 *     rc = metrics_write(metrics, &text);
 *
 * Names of routes are the router's own, so the number of series is bounded. Loop's thread. */
#ifndef DARKROOM_DISPATCHER_OPERATE_MEASURES_H
#define DARKROOM_DISPATCHER_OPERATE_MEASURES_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct metrics;
struct queue_counters;

int measures_create(struct metrics **out);

/* Status 0: the client left before the answer. */
void measures_count_request(struct metrics *metrics, const char *route, unsigned status,
                            int64_t ms);

/* A submission was refused because the object store did not take its picture. */
void measures_count_store_failure(struct metrics *metrics);

/* Appends the series of `count` models, as the queue counted them. */
int measures_write_queue(struct buf *out, const char *const *models,
                         const struct queue_counters *counters, size_t count);

#endif
