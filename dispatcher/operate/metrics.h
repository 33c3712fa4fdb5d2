/* SPDX-License-Identifier: MIT
 *
 * Counters of this process, written as Prometheus text (version 0.0.4).
 *
 *     metrics_count_request(metrics, "submit", 202, 3);
 *     rc = metrics_write(metrics, &out);
 *
 * Names of routes are the router's own, so the number of series is bounded. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_OPERATE_METRICS_H
#define DARKROOM_DISPATCHER_OPERATE_METRICS_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct metrics;
struct queue_counters;

int metrics_create(struct metrics **out);
void metrics_destroy(struct metrics **metrics);

/* `route` is borrowed for the life of the process. Status 0: the client left before the answer. */
void metrics_count_request(struct metrics *metrics, const char *route, unsigned status, int64_t ms);

/* Appends what was counted, and the process's memory and start. */
int metrics_write(const struct metrics *metrics, struct buf *out);

/* Appends one gauge with its help. */
int metrics_write_gauge(struct buf *out, const char *name, const char *help, int64_t value);

/* Appends the series of `count` models, as the queue counted them. */
int metrics_write_queue(struct buf *out, const char *const *models,
                        const struct queue_counters *counters, size_t count);

#endif
