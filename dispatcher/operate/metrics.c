/* SPDX-License-Identifier: MIT */
#include "dispatcher/operate/metrics.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/queue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_SERIES 256

struct series {
    const char *route; /* borrowed */
    unsigned status;
    int64_t count, ms;
};

struct metrics {
    struct series series[MAX_SERIES];
    size_t count;
    int64_t started_ms;
};

int metrics_create(struct metrics **out)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics)
        return ERR_NOMEM;
    metrics->started_ms = clock_wall_ms();
    *out = metrics;
    return 0;
}

void metrics_destroy(struct metrics **metrics)
{
    free(*metrics);
    *metrics = NULL;
}

void metrics_count_request(struct metrics *metrics, const char *route, unsigned status, int64_t ms)
{
    struct series *series = metrics->series;
    size_t i = 0;
    while (i < metrics->count && (series[i].status != status || strcmp(series[i].route, route)))
        i++;
    if (i == MAX_SERIES)
        return;
    if (i == metrics->count)
        series[metrics->count++] = (struct series){.route = route, .status = status};
    series[i].count++;
    series[i].ms += ms;
}

static int64_t resident_bytes(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%*d %lld", &pages) != 1)
        pages = 0;
    fclose(file);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static int put_help(struct buf *out, const char *name, const char *type, const char *help)
{
    return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

int metrics_write_gauge(struct buf *out, const char *name, const char *help, int64_t value)
{
    int rc = put_help(out, name, "gauge", help);
    return rc == 0 ? buf_printf(out, "%s %" PRId64 "\n", name, value) : rc;
}

int metrics_write(const struct metrics *metrics, struct buf *out)
{
    int rc = put_help(out, "darkroom_http_requests_total", "counter",
                      "Requests by route and status; 0: the client left.");
    for (size_t i = 0; rc == 0 && i < metrics->count; i++)
        rc = buf_printf(
            out, "darkroom_http_requests_total{route=\"%s\",status=\"%u\"} %" PRId64 "\n",
            metrics->series[i].route, metrics->series[i].status, metrics->series[i].count);
    if (rc == 0)
        rc = put_help(out, "darkroom_http_request_milliseconds_total", "counter",
                      "Time from the request's first line to its last byte.");
    for (size_t i = 0; rc == 0 && i < metrics->count; i++)
        rc = buf_printf(
            out,
            "darkroom_http_request_milliseconds_total{route=\"%s\",status=\"%u\"} %" PRId64 "\n",
            metrics->series[i].route, metrics->series[i].status, metrics->series[i].ms);
    if (rc == 0)
        rc = metrics_write_gauge(out, "process_resident_memory_bytes", "Resident memory.",
                                 resident_bytes());
    if (rc == 0)
        rc = metrics_write_gauge(out, "process_start_time_seconds", "Start of the process.",
                                 metrics->started_ms / 1000);
    return rc;
}

static const struct {
    const char *name, *type, *labels, *help;
    size_t offset;
} rows[] = {
    {"darkroom_jobs", "gauge", ",state=\"queued\"", "Jobs by model and state.",
     offsetof(struct queue_counters, queued)},
    {"darkroom_jobs", "gauge", ",state=\"running\"", NULL,
     offsetof(struct queue_counters, running)},
    {"darkroom_jobs", "gauge", ",state=\"delayed\"", NULL,
     offsetof(struct queue_counters, delayed)},
    {"darkroom_jobs", "gauge", ",state=\"dead\"", NULL, offsetof(struct queue_counters, dead)},
    {"darkroom_jobs_ended_total", "counter", ",state=\"succeeded\"", "Jobs that ended.",
     offsetof(struct queue_counters, succeeded)},
    {"darkroom_jobs_ended_total", "counter", ",state=\"failed\"", NULL,
     offsetof(struct queue_counters, failed)},
    {"darkroom_jobs_ended_total", "counter", ",state=\"cancelled\"", NULL,
     offsetof(struct queue_counters, cancelled)},
    {"darkroom_jobs_submitted_total", "counter", "", "Jobs accepted.",
     offsetof(struct queue_counters, submitted)},
    {"darkroom_leases_lost_total", "counter", "", "Leases that expired.",
     offsetof(struct queue_counters, lost)},
    {"darkroom_jobs_rated", "gauge", ",rating=\"up\"", "Results that their owners have rated.",
     offsetof(struct queue_counters, rated_up)},
    {"darkroom_jobs_rated", "gauge", ",rating=\"down\"", NULL,
     offsetof(struct queue_counters, rated_down)},
    {"darkroom_oldest_job_milliseconds", "gauge", "", "Age of the oldest waiting job.",
     offsetof(struct queue_counters, oldest_ms)},
    {"darkroom_service_milliseconds", "gauge", "", "Smoothed time of one job.",
     offsetof(struct queue_counters, service_ms)},
    {"darkroom_workers", "gauge", "", "Workers alive.", offsetof(struct queue_counters, workers)},
    {"darkroom_worker_slots", "gauge", "", "Jobs that they can hold.",
     offsetof(struct queue_counters, slots)},
};

int metrics_write_queue(struct buf *out, const char *const *models,
                        const struct queue_counters *counters, size_t count)
{
    int rc = 0;
    for (size_t r = 0; rc == 0 && r < sizeof rows / sizeof rows[0]; r++) {
        if (rows[r].help)
            rc = put_help(out, rows[r].name, rows[r].type, rows[r].help);
        for (size_t i = 0; rc == 0 && i < count; i++) {
            int64_t value;
            memcpy(&value, (const char *)&counters[i] + rows[r].offset, sizeof value);
            rc = buf_printf(out, "%s{model=\"%s\"%s} %" PRId64 "\n", rows[r].name, models[i],
                            rows[r].labels, value);
        }
    }
    return rc;
}
