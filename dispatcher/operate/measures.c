/* SPDX-License-Identifier: MIT */
#include "dispatcher/operate/measures.h"

#include "common/buf.h"
#include "common/metrics.h"
#include "common/queue.h"
#include "common/tracing.h"

#include <stdio.h>
#include <string.h>

/* From an answer out of memory to a long poll's end; event streams are beyond. */
static const double request_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                        0.25,  0.5,    1,     2.5,  5,     10,   60};

static const struct metric requests = {
    .name = "darkroom_http_requests_total",
    .help = "Requests by route and status; 0: the client left.",
    .type = METRIC_COUNTER,
    .labels = {"route", "status"},
};
static const struct metric request_seconds = {
    .name = "darkroom_http_request_seconds",
    .help = "Time from a request's first line to its last byte, by route and class of status.",
    .type = METRIC_HISTOGRAM,
    .labels = {"route", "class"},
    .bounds = request_bounds,
    .bound_count = sizeof request_bounds / sizeof request_bounds[0],
};
static const struct metric store_failures = {
    .name = "darkroom_store_failures_total",
    .help = "Submissions that were refused because the object store failed.",
    .type = METRIC_COUNTER,
};
static const struct metric *const families[] = {&requests, &request_seconds, &store_failures,
                                                &tracing_exported, &tracing_dropped};

int measures_create(struct metrics **out)
{
    int rc = metrics_create(families, sizeof families / sizeof families[0], out);
    if (rc == 0)
        metrics_add(*out, &store_failures, NULL, 0); /* a rate needs to have seen nothing first */
    return rc;
}

void measures_count_request(struct metrics *metrics, const char *route, unsigned status, int64_t ms)
{
    char code[BUF_INT_SIZE + 1], class[] = "0xx";
    code[buf_int_text(status, code)] = 0;
    class[0] = code[0];
    metrics_add(metrics, &requests, (const char *const[]){route, code}, 1);
    metrics_observe(metrics, &request_seconds,
                    (const char *const[]){route, status ? class : "none"}, (double)ms / 1000);
}

void measures_count_store_failure(struct metrics *metrics)
{
    metrics_add(metrics, &store_failures, NULL, 1);
}

#define COUNTER METRIC_COUNTER
#define GAUGE METRIC_GAUGE

/* A row without help goes on with the family before it. */
static const struct {
    const char *name;
    enum metric_type type;
    const char *label, *value, *help;
    size_t offset;
    double unit; /* of what is counted, in the name's */
} rows[] = {
    {"darkroom_jobs", GAUGE, "state", "queued", "Jobs by model and state.",
     offsetof(struct queue_counters, queued), 1},
    {"darkroom_jobs", GAUGE, "state", "running", NULL, offsetof(struct queue_counters, running), 1},
    {"darkroom_jobs", GAUGE, "state", "delayed", NULL, offsetof(struct queue_counters, delayed), 1},
    {"darkroom_jobs", GAUGE, "state", "dead", NULL, offsetof(struct queue_counters, dead), 1},
    {"darkroom_jobs_ended_total", COUNTER, "state", "succeeded", "Jobs that ended.",
     offsetof(struct queue_counters, succeeded), 1},
    {"darkroom_jobs_ended_total", COUNTER, "state", "failed", NULL,
     offsetof(struct queue_counters, failed), 1},
    {"darkroom_jobs_ended_total", COUNTER, "state", "cancelled", NULL,
     offsetof(struct queue_counters, cancelled), 1},
    {"darkroom_jobs_submitted_total", COUNTER, NULL, NULL, "Jobs accepted.",
     offsetof(struct queue_counters, submitted), 1},
    {"darkroom_leases_lost_total", COUNTER, NULL, NULL, "Leases that expired.",
     offsetof(struct queue_counters, lost), 1},
    {"darkroom_jobs_rated", GAUGE, "rating", "up", "Results that their owners have rated.",
     offsetof(struct queue_counters, rated_up), 1},
    {"darkroom_jobs_rated", GAUGE, "rating", "down", NULL,
     offsetof(struct queue_counters, rated_down), 1},
    {"darkroom_oldest_job_seconds", GAUGE, NULL, NULL, "Age of the oldest waiting job.",
     offsetof(struct queue_counters, oldest_ms), 0.001},
    {"darkroom_service_seconds", GAUGE, NULL, NULL, "Smoothed time of one job.",
     offsetof(struct queue_counters, service_ms), 0.001},
    {"darkroom_workers", GAUGE, NULL, NULL, "Workers alive.",
     offsetof(struct queue_counters, workers), 1},
    {"darkroom_worker_slots", GAUGE, NULL, NULL, "Jobs that they can hold.",
     offsetof(struct queue_counters, slots), 1},
};

int measures_write_queue(struct buf *out, const char *const *models,
                         const struct queue_counters *counters, size_t count)
{
    int rc = 0;
    for (size_t r = 0; rc == 0 && r < sizeof rows / sizeof rows[0]; r++) {
        const struct metric metric = {.name = rows[r].name,
                                      .help = rows[r].help,
                                      .type = rows[r].type,
                                      .labels = {"model", rows[r].label}};
        if (rows[r].help)
            rc = metrics_write_head(out, &metric);
        for (size_t i = 0; rc == 0 && i < count; i++) {
            int64_t value;
            memcpy(&value, (const char *)&counters[i] + rows[r].offset, sizeof value);
            rc = metrics_write_value(out, &metric, (const char *const[]){models[i], rows[r].value},
                                     (double)value * rows[r].unit);
        }
    }
    return rc;
}
